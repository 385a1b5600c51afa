"""Grafana dashboards as code; `python -m grafana.build` writes what Grafana reads."""
