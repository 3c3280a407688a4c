# What __init__.py gives when asked; written by `python -m learnmech.language.stubs`.
from . import alignment as alignment
from . import angles as angles
from . import decay as decay
from . import empirical as empirical
from . import frames as frames
from . import infinite as infinite
from . import learner as learner
from . import own as own
from . import pairs as pairs
from . import positions as positions
from . import posterior as posterior
from . import recursion as recursion
from . import resolution as resolution
