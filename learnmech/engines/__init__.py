"""Engines: where runs are performed: here, in processes, on Dask, SLURM or Ray."""

from learnmech.engines.base import Engine
from learnmech.engines.gathering import over_cores, performed
from learnmech.engines.naming import opened

__all__ = ["Engine", "opened", "over_cores", "performed"]
