"""Generalization: what kernels and features learn of a target from n samples, said from spectra,
before anything is trained."""

from learnmech.generalization.eigenlearning import (
    Eigenlearning,
    best_ridge,
    eigenlearning,
    kappa_of,
    of_linear,
    shifted,
)
from learnmech.generalization.hermite_modes import HermiteSpectrum, hermite_spectrum, profile_of
from learnmech.generalization.known_spectra import (
    circle,
    cube,
    power_law_best,
    power_law_error,
    power_law_kappa,
    power_law_spectrum,
    sphere,
)
from learnmech.generalization.measured import measured
from learnmech.generalization.pool import OfPool, of_pool
from learnmech.generalization.random_features import (
    OfFeatures,
    first_inputs,
    least_squares,
    random_features,
    random_features_of_pool,
)
from learnmech.generalization.scaling_laws import PowerLaw, power_law
from learnmech.generalization.spectrum import Certificate, Spectrum

__all__ = [
    "Certificate",
    "Eigenlearning",
    "HermiteSpectrum",
    "OfFeatures",
    "OfPool",
    "PowerLaw",
    "Spectrum",
    "best_ridge",
    "circle",
    "cube",
    "eigenlearning",
    "first_inputs",
    "hermite_spectrum",
    "kappa_of",
    "least_squares",
    "measured",
    "of_linear",
    "of_pool",
    "power_law",
    "power_law_best",
    "power_law_error",
    "power_law_kappa",
    "power_law_spectrum",
    "profile_of",
    "random_features",
    "random_features_of_pool",
    "shifted",
    "sphere",
]
