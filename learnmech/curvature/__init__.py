"""Curvature: the shape of the landscape around a point, seen through products of its curvature with vectors."""
