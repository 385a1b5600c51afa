"""`python -m exporter` is `campaign-exporter`."""

import sys

from exporter import signals


def main() -> int:
    """Run one command; returns the process's exit status."""
    # Before the command line is imported, which takes a while. What is no daemon ends by any signal.
    if sys.argv[1:2] not in (["check"], ["discover"]):
        signals.hold()
    from exporter.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
