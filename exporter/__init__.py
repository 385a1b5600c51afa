"""Prometheus exporter for voice-AI calling campaigns on Anyreach and OSVI."""

__version__ = "0.1.0"
__revision__ = ""
"""The commit that a release was built from, put in by its build; empty in a checkout."""
