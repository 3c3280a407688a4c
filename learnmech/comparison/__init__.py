"""Comparison: what was seen beside what theory said, and runs beside one another."""
