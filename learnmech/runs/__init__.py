"""Runs: an experiment marched from mark to mark, and what it will cost."""
