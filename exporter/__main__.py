"""`python -m exporter` is `campaign-exporter`."""

import sys

from exporter import signals

INTERRUPTED = 130


def main() -> int:
    """Run one command; returns the process's exit status."""
    # Before the command line is imported, which takes a while.
    signals.hold(daemon={"check", "discover"}.isdisjoint(sys.argv))
    try:
        from exporter.cli import main

        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
