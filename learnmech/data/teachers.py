"""Teachers: targets from another network, linear or not."""

import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.architectures.mlp import Mlp
from learnmech.data.base import Data, Drawn, View, whiten
from learnmech.data.population import LinearGaussian, Taught
from learnmech.errors import refused
from learnmech.language.parts import Knob, knob, part, structure


def _inputs(who, rng, n, d, test, whitened):
    """Standard normal inputs; whitened ones have S_xx = I on the training set."""
    if whitened and n < d:
        raise refused(
            who, f"n >= d = {d} to be whitened", f"n = {n}", "Draw more samples, or do not whiten"
        )
    X, X_test = rng.standard_normal((n, d)), rng.standard_normal((test, d))
    if whitened:
        X, transform = whiten(X)
        X_test = X_test @ transform
    return X, X_test


class LinearTeacher(Data):
    """y = U diag(strengths) V'x + noise with random orthonormal U (k, m) and V (d, m): a target of
    given singular values.

    With whitened inputs and no noise the singular values of S_yx are the strengths exactly.
    """

    strengths: tuple[float, ...] = structure(
        default=(3.0, 2.0, 1.0),
        meaning="singular values of the teacher's map, at most min(d, k) of them",
    )
    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=8, at_least=1, meaning="inputs")
    k: int = structure(default=5, at_least=1, meaning="outputs")
    noise: Knob = knob(
        default=0.0, at_least=0, meaning="standard deviation of the noise on targets"
    )
    whitened: bool = structure(
        default=True, meaning="whether S_xx = I exactly on the training set, which needs n >= d"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        modes = len(self.strengths)
        if not 1 <= modes <= min(self.d, self.k):
            raise refused(
                "LinearTeacher",
                f"1 to {min(self.d, self.k)} strengths, as many modes as min(d, k)",
                modes,
                "Drop some, or raise d and k",
            )
        if min(self.strengths) < 0:
            raise refused(
                "LinearTeacher",
                "strengths >= 0, as singular values are",
                min(self.strengths),
                "Give its absolute value",
            )

    def draw(self, rng):
        modes = len(self.strengths)
        U = np.linalg.qr(rng.standard_normal((self.k, modes)))[0]
        V = np.linalg.qr(rng.standard_normal((self.d, modes)))[0]
        B = (U * np.array(self.strengths)) @ V.T
        X, X_test = _inputs("LinearTeacher", rng, self.n, self.d, self.test, self.whitened)
        noise, noise_test = (
            float(self.noise) * rng.standard_normal((n, self.k)) for n in (self.n, self.test)
        )
        test = View(X_test, X_test @ B.T + noise_test) if self.test else None
        population = LinearGaussian(np.ones(self.d), B, np.asarray(float(self.noise)))
        return Drawn(
            View(X, X @ B.T + noise), test, population=None if self.whitened else population
        )

    @classmethod
    def example(cls):
        return cls(strengths=(2.0, 1.0), n=12, d=3, k=2, test=5)


class NetworkTeacher(Data):
    """y = teacher(x) + noise: a random network of any architecture on standard normal inputs.

    The teacher's outputs are scaled to mean square `power` on the training set.
    """

    teacher: Architecture = part(
        default=Mlp(hidden=(16,)), meaning="the network whose outputs are the targets"
    )
    n: int = structure(default=100, at_least=1, meaning="training samples")
    d: int = structure(default=8, at_least=1, meaning="inputs")
    k: int = structure(default=1, at_least=1, meaning="outputs")
    power: Knob = knob(
        default=1.0, above=0, meaning="mean square of the teacher's outputs on the training set"
    )
    noise: Knob = knob(
        default=0.0, at_least=0, meaning="standard deviation of the noise on targets"
    )
    whitened: bool = structure(
        default=False, meaning="whether S_xx = I exactly on the training set, which needs n >= d"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def draw(self, rng):
        params = self.teacher.init(rng, self.d, self.k)
        X, X_test = _inputs("NetworkTeacher", rng, self.n, self.d, self.test, self.whitened)
        # one that holds an anchor refuses what does not fit
        teacher = self.teacher.anchored(params)
        Y, Y_test = (np.asarray(teacher.forward(params, view), np.float64) for view in (X, X_test))
        size = np.sqrt(np.mean(Y**2))
        if size == 0:
            raise refused(
                "NetworkTeacher",
                "a teacher whose outputs are not all 0",
                repr(self.teacher),
                "Choose another teacher",
            )
        Y, Y_test = (np.sqrt(float(self.power)) * side / size for side in (Y, Y_test))
        noise, noise_test = (
            float(self.noise) * rng.standard_normal((n, self.k)) for n in (self.n, self.test)
        )
        test = View(X_test, Y_test + noise_test) if self.test else None
        if self.whitened or teacher.stochastic or teacher.mixes_samples:
            return Drawn(View(X, Y + noise), test)
        scale = np.asarray(np.sqrt(float(self.power)) / size)
        population = Taught(teacher, params, scale, np.asarray(float(self.noise)), self.d)
        return Drawn(View(X, Y + noise), test, population=population)

    @classmethod
    def example(cls):
        return cls(teacher=Mlp(hidden=(3,)), n=12, d=3, k=2, test=5)
