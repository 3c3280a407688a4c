"""Studies: what many runs answer together: which axes of an experiment matter, where a theory
holds, and in which variables curves are one."""
