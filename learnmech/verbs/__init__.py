"""Verbs: what a face can do with learnmech, from plain data to plain data."""
