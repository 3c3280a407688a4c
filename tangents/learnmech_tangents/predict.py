"""Predict: what training with a kernel does to outputs, under the names and with the conventions of
neural-tangents' predict.

Loss 1/(2 y.size) sum (f - y)^2, a mean over samples and outputs. Flow with `learning_rate`: at step
t, fractions allowed, f has moved for the time learning_rate * t, df/dt = -learning_rate/y.size K (f
- y). t=None is infinity. Here the loss is c sum (f - y)^2 with c = 1/(2n) by default (half-mean),
so that with k outputs this time is k times longer: learning_rate * t = k * time. Leading axes of t
come first in what is returned.
"""

from learnmech_tangents.descent import ODEState, gradient_descent
from learnmech_tangents.ensemble import gradient_descent_mse_ensemble
from learnmech_tangents.inference import Gaussian, gp_inference
from learnmech_tangents.mse import gradient_descent_mse, max_learning_rate

__all__ = [
    "Gaussian",
    "ODEState",
    "gp_inference",
    "gradient_descent",
    "gradient_descent_mse",
    "gradient_descent_mse_ensemble",
    "max_learning_rate",
]
