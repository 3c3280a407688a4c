"""Costs: what each exhibit took where it was measured, by `python -m benchmarks.exhibits`: seconds of CPU, for estimates alone."""

# {name: (the twin's own run with what it compiles, what its checks and theories took beyond; the same two in full)}
COSTS: dict[str, tuple[float, float, float, float]] = {}
