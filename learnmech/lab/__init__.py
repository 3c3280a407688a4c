"""The lab: one page on which a run is seen, taken hold of, and laid beside theory."""
