# What __init__.py gives when asked; written by `python -m learnmech.language.stubs`.
from . import balanced as balanced
from . import base as base
from . import gaussian as gaussian
from . import given as given
from . import layers as layers
from .balanced import Aligned as Aligned
from .balanced import Balanced as Balanced
from .balanced import LambdaBalanced as LambdaBalanced
from .balanced import Orthogonal as Orthogonal
from .gaussian import Gaussian as Gaussian
from .gaussian import SmallGaussian as SmallGaussian
from .gaussian import ZeroReadout as ZeroReadout
from .given import Given as Given
from .layers import GaussianPerLayer as GaussianPerLayer
