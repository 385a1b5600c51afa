"""The page that Prometheus scrapes: metric families, lines, formats."""
