"""Maps: where over two knobs a theory holds, measured, and where its conditions say it does."""

from learnmech.studies.maps.errors import Map, map_error
from learnmech.studies.maps.lattice import Lattice, refined

__all__ = ["Lattice", "Map", "map_error", "refined"]
