"""Benchmarks: learnmech beside its peers, the same work on both sides. Run by `python -m
benchmarks`."""
