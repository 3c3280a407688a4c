"""Figures: what was seen as dots, what was said as lines."""
