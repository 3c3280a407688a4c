"""Modes: the end-to-end map of a linear network, seen on the singular vectors of the target."""

import jax.numpy as jnp

from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.parts import structure
from learnmech.quantity import Quantity


def _linear_only(instrument, system):
    if not system.architecture.is_linear:
        raise refused(type(instrument).__name__, "a network linear in its inputs", repr(system.architecture), "Use architectures.DeepLinear, or watch Outputs")


class EndToEnd(Instrument):
    """The end-to-end map W (k, d) of a linear network."""

    check = _linear_only

    def quantities(self, system, params):
        return (Quantity("end_to_end", ("output", "input"), "output/input", "W", "end-to-end map"),)

    def read(self, moment):
        return {"end_to_end": moment.system.architecture.matrix(moment.state.params)}


class ModeStrengths(Instrument):
    """a_m = u_m' W v_m: the response of the network to the data's input modes, on the singular vectors of S_yx = U diag(s) V'.

    For a linear network a_m = u_m' W v_m. For any other a_m = u_m' (F'X/n) v_m with F the outputs on the training inputs, which is the same
    where the inputs are whitened.  `count` keeps the strongest (0: all).  Source: Saxe et al. 2014.
    """

    count: int = structure(0, at_least=0)

    def _kept(self, system):
        most = min(system.train.Y.shape[1], system.train.X.shape[1])
        return self.count or most, most

    def check(self, system):
        count, most = self._kept(system)
        if count > most:
            raise refused("ModeStrengths", f"count <= {most}, the modes of this data", f"{count}", "Lower count, or set it to 0 for all")

    def quantities(self, system, params):
        labels = ("mode", tuple(range(1, self._kept(system)[0] + 1)))
        return (Quantity("mode_strength", ("mode",), "output/input", "a", "strength of each singular mode of the target", (labels,)),)

    def read(self, moment):
        system, params = moment.system, moment.state.params
        modes, count = system.modes, self._kept(system)[0]
        if system.architecture.is_linear:
            W = system.architecture.matrix(params)
        else:
            W = system.outputs(params, system.train.X).T @ system.train.X / system.train.X.shape[0]
        return {"mode_strength": jnp.einsum("km,kd,dm->m", modes.U[:, :count], W, modes.V[:, :count])}
