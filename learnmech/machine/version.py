"""The version: the one place where it stands (pyproject.toml takes it from here)."""

VERSION = "0.5.0"
