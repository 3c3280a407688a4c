"""The gallery: one file per exhibit."""
