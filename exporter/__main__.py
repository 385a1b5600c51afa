"""`python -m exporter` is `campaign-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
