"""Costs: what the twin of each exhibit took where it was measured, by `python -m benchmarks.exhibits`: seconds of CPU, for estimates alone."""

# {name: (its own run with what it compiles, what its theories, its checks and their further runs took beyond)}
COSTS: dict[str, tuple[float, float]] = {}
