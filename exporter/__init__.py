"""Prometheus exporter for voice-AI calling campaigns on Anyreach and OSVI."""

__version__ = "0.1.0"
