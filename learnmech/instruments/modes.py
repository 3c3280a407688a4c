"""Modes: the end-to-end map of a linear network, seen on the singular vectors of the target."""

import jax.numpy as jnp

from learnmech.errors import refused
from learnmech.instruments.base import Counted, Instrument
from learnmech.language.quantity import Quantity


def _linear_only(instrument, system):
    if not system.architecture.is_linear:
        raise refused(
            type(instrument).__name__,
            "a network linear in its inputs",
            repr(system.architecture),
            "Use architectures.DeepLinear, or watch Outputs",
        )


class EndToEnd(Instrument):
    """The end-to-end map W (k, d) of a linear network."""

    check = _linear_only

    def quantities(self, system, params):
        return (Quantity("end_to_end", ("output", "input"), "output/input", "W", "end-to-end map"),)

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        return {"end_to_end": moment.system.architecture.matrix(moment.state.params)}


class ModeStrengths(Counted):
    """a_m = u_m' W v_m: the response of the network to the data's input modes, on the singular
    vectors of S_yx = U diag(s) V'.

    For a linear network a_m = u_m' W v_m. For any other a_m = u_m' (F'X/n) v_m with F the outputs
    on the training inputs, which is the same where the inputs are whitened.  `count` keeps the
    strongest (0: all).  Source: Saxe et al. 2014.
    """

    def quantities(self, system, params):
        labels = ("mode", tuple(range(1, self.kept(system) + 1)))
        return (
            Quantity(
                "mode_strength",
                ("mode",),
                "output/input",
                "a",
                "strength of each singular mode of the target",
                (labels,),
            ),
        )

    def read(self, moment):
        system, params = moment.system, moment.state.params
        modes, count = system.modes, self.kept(system)
        if system.architecture.is_linear:
            W = system.architecture.matrix(params)
        else:
            W = system.outputs(params, system.train.X).T @ system.train.X / system.train.X.shape[0]
        return {
            "mode_strength": jnp.einsum("km,kd,dm->m", modes.U[:, :count], W, modes.V[:, :count])
        }


class ModeFractions(Counted):
    """c_m = u_m'(F'X/n)v_m/s_m: the fraction of each singular mode of S_yx = Y'X/n = U diag(s) V'
    that the outputs F on the training inputs hold.

    1 where a mode is learned, on any inputs: at the least squares of a linear network, and wherever
    the data are fitted, F'X/n = S_yx. NaN for modes that are not there, s_m below 100 round-offs of
    the first. `count` keeps the strongest (0: all). What is to be made of it over a run says
    `lm.staircase`.  Source: Saxe et al. 2014, 2019.
    """

    def quantities(self, system, params):
        labels = ("mode", tuple(range(1, self.kept(system) + 1)))
        return (
            Quantity(
                "mode_fraction",
                ("mode",),
                "1",
                "c",
                "fraction of each singular mode of the target that is learned",
                (labels,),
            ),
        )

    def read(self, moment):
        system, count = moment.system, self.kept(moment.system)
        U, s, V = (part[..., :count] for part in (system.modes.U, system.modes.s, system.modes.V))
        X = system.train.X
        # u'(F'X/n)v mode by mode, so that no (k, d) matrix is made of many inputs
        learned = (
            jnp.sum((system.outputs(moment.state.params, X) @ U) * (X @ V), axis=0) / X.shape[0]
        )
        there = s > 100 * jnp.finfo(s.dtype).eps * s[:1]
        return {"mode_fraction": jnp.where(there, learned / jnp.where(there, s, 1), jnp.nan)}


class SingularValues(Counted):
    """Singular values of the end-to-end map of a linear network, the largest first (`count`, 0:
    all)."""

    def check(self, system):
        _linear_only(self, system)
        super().check(system)

    def quantities(self, system, params):
        labels = ("rank", tuple(range(1, self.kept(system) + 1)))
        return (
            Quantity(
                "singular_value",
                ("rank",),
                "output/input",
                "sigma",
                "singular values of the end-to-end map",
                (labels,),
            ),
        )

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        s = jnp.linalg.svd(moment.system.architecture.matrix(moment.state.params), compute_uv=False)
        return {"singular_value": s[: self.kept(moment.system)]}
