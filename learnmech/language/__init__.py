"""The language: what a value is, how it is written, found again and shown."""
