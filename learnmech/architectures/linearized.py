"""The linearized network: any architecture replaced by its tangent at an anchor."""

import jax

from learnmech.architectures.base import keep, refuse_running
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.wrapper import Anchored
from learnmech.language import trees
from learnmech.language.parts import Numbers, array


class Linearized(Anchored):
    """The tangent of an architecture: f(anchor) + J(anchor) (params - anchor), and so every signal;
    linear in the parameters, J fixed.

    `anchor` are parameters as one flat array (each array raveled, in the natural order of paths);
    None: the start's own. Signals are the tangents of the signals; the outputs do not go through
    them. One forward-mode product, never a Jacobian.  Source: Lee et al. 2019.
    """

    anchor: Numbers | None = array(
        default=None,
        meaning="the parameters of the tangent as one flat array; the start's own unless given",
    )

    def coherent(self):
        refuse_running("Linearized", self.of)

    def forward(self, params, X, tap=keep):
        return self._tangent(lambda at, tap: self.of.forward(at, X, tap), params, tap)

    def elsewhere(self, params, X, among, tap=keep):
        return self._tangent(lambda at, tap: self.of.elsewhere(at, X, among, tap), params, tap)

    def _tangent(self, of, params, tap):
        anchor, names = self.held(params), []

        def values(at):
            seen = []

            def note(name, value):
                if name != "output":
                    names.append(name)
                    seen.append(value)
                return value

            return of(at, note), seen

        (outputs, signals), (slope, slopes) = jax.jvp(
            values, (anchor,), (trees.subtract(params, anchor),)
        )
        for name, value, moved in zip(names, signals, slopes, strict=True):
            tap(name, value + moved)
        return tap("output", outputs + slope)

    def tangent_at(self, params):
        return self.of.tangent_at(self.held(params))

    def matrix(self, params):
        """W(anchor) + dW(anchor) (params - anchor), of a network linear in its inputs."""
        anchor = self.held(params)
        value, slope = jax.jvp(self.of.matrix, (anchor,), (trees.subtract(params, anchor),))
        return value + slope

    @classmethod
    def example(cls):
        return cls(Mlp.example())
