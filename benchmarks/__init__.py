"""Measurements that anyone can repeat: `python -m benchmarks`, and `python -m benchmarks.soak` for the long run."""
