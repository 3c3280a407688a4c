# What __init__.py gives when asked; written by `python -m learnmech.language.stubs`.
from . import complementarity as complementarity
from . import copies as copies
from . import eigenpairs as eigenpairs
from . import lanczos as lanczos
from . import operators as operators
from . import samplewise as samplewise
from . import slices as slices
from . import spectrum as spectrum
