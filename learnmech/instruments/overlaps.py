"""Overlaps: how the hidden weights of a student lie to one another and to those of its teacher."""

import jax.numpy as jnp

from learnmech.data.population import Taught
from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language.quantity import Quantity


class Overlaps(Instrument):
    """The order parameters of a student: Q = W W'/d among its first layer's rows, R = W W*'/d with
    those of its teacher, and the cosines between the two.

    Needs data of a network teacher whose first layer takes the same inputs.  Source: Saad & Solla
    1995.
    """

    def check(self, system):
        population = system.population
        theirs = population.params.get("layer1", {}) if isinstance(population, Taught) else {}
        if "weight" not in theirs or theirs["weight"].ndim != 2:
            raise refused(
                "Overlaps",
                "a teacher with a first layer of weights",
                "none that more samples could be drawn from",
                "Use data.NetworkTeacher, not whitened",
            )

    def quantities(self, system, params):
        unit, own = "param^2", "overlap of the student's own hidden weights"
        between = ("unit", "teacher_unit")
        if "weight" not in params.get("layer1", {}):
            raise refused(
                "Overlaps", "a first layer of weights", "none", "Watch another instrument"
            )
        return (
            Quantity("student_overlap", ("unit", "unit'"), unit, "Q", own),
            Quantity("teacher_overlap", between, unit, "R", "overlap with the teacher's weights"),
            Quantity("teacher_cosine", between, "1", "m", "cosine with the teacher's weights"),
        )

    def read(self, moment):
        W = moment.state.params["layer1"]["weight"]
        theirs = jnp.asarray(moment.system.population.params["layer1"]["weight"], W.dtype)
        own, cross = W @ W.T / W.shape[1], W @ theirs.T / W.shape[1]
        sizes = jnp.sqrt(jnp.diag(own)), jnp.sqrt(jnp.sum(theirs**2, axis=1) / W.shape[1])
        cosine = cross / (sizes[0][:, None] * sizes[1])
        return {"student_overlap": own, "teacher_overlap": cross, "teacher_cosine": cosine}
