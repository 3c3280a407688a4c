"""Losses and outputs, on the training and the test view."""

import jax.numpy as jnp
import numpy as np

from learnmech.data.base import is_ids
from learnmech.errors import refused
from learnmech.instruments.base import Instrument, where_finite
from learnmech.instruments.signals import signal_axes
from learnmech.language.quantity import Quantity
from learnmech.losses.base import refuse_where


class Loss(Instrument):
    """The training loss, ridge included; of all training samples and the whole network, whatever
    part of them a step sees."""

    def quantities(self, system, params):
        return (Quantity("loss", (), "loss", "L", "training loss"),)

    def rests_on(self, quantity):
        return "itself"

    def read(self, moment):
        whole_view = (
            not getattr(moment.rule, "batch", 0) and not moment.system.architecture.stochastic
        )
        return {"loss": moment.loss if whole_view else moment.system.loss(moment.state.params)}


class BatchLoss(Instrument):
    """The loss of the batch, and of the network, which this step sees."""

    def quantities(self, system, params):
        return (Quantity("batch_loss", (), "loss", "L_B", "loss of the step's own batch"),)

    def rests_on(self, quantity):
        return "itself"

    def read(self, moment):
        return {"batch_loss": moment.loss}


class ProbeLoss(Instrument):
    """The loss of the samples that were drawn once, ridge included, where every step draws others.

    Under sampling = `fresh` no step sees them: it is an estimate of the population's loss.
    """

    def quantities(self, system, params):
        return (Quantity("probe_loss", (), "loss", "L_probe", "loss of samples that no step sees"),)

    def rests_on(self, quantity):
        return "itself"

    def read(self, moment):
        return {"probe_loss": moment.system.loss(moment.state.params)}


class PopulationLoss(Instrument):
    """The loss of all samples that there could be, ridge included, where it is known in closed form
    (`System.population_loss`): a mean of squares, of a linear network on Gaussian inputs or on
    tokens, or of a committee or a single index taught by one of its kind."""

    def check(self, system):
        if not system.knows_its_population:
            raise refused(
                "PopulationLoss",
                "a mean squared loss of a linear network on Gaussian inputs and linear targets, or"
                " of a network taught by one of its kind",
                f"{system.loss_function!r} of {system.architecture!r}",
                "Watch ProbeLoss, the loss of samples that were drawn once",
            )

    def quantities(self, system, params):
        meaning = "loss of all samples that there could be"
        return (Quantity("population_loss", (), "loss", "E L", meaning),)

    def rests_on(self, quantity):
        return "itself"

    def read(self, moment):
        return {"population_loss": moment.system.population_loss(moment.state.params)}


class TestLoss(Instrument):
    """The loss on the test view, without ridge."""

    __test__ = False

    def check(self, system):
        if system.test is None:
            raise refused(
                "TestLoss",
                "data with a test view",
                "none",
                "Give the data a test set, or do not watch TestLoss",
            )

    def quantities(self, system, params):
        return (Quantity("test_loss", (), "loss", "L_test", "test loss"),)

    def rests_on(self, quantity):
        return "itself"

    def read(self, moment):
        return {"test_loss": moment.system.test_loss(moment.state.params)}


class Accuracy(Instrument):
    """The share of samples put in the right class: the largest output where the largest target is,
    or the id is, of one output the sign; on the test view too.

    Refuses targets that are no classes: rows that are no probabilities, and that are not the one
    row which all samples of a class share (one-hot, +1 and -1; centered or not).
    """

    def check(self, system):
        what = "targets that are classes"
        remedy = "Give one-hot targets or +1 and -1, or do not watch accuracy"
        for side, view in (("train", system.train), ("test", system.test)):
            if view is not None and not is_ids(view.Y):
                refuse_where(
                    ~_of_classes(np.asarray(view.Y)), "Accuracy", what, view.Y, side, remedy
                )

    def quantities(self, system, params):
        train = Quantity("accuracy", (), "1", "A", "share of training samples in the right class")
        test = Quantity(
            "test_accuracy", (), "1", "A_test", "share of test samples in the right class"
        )
        return (train,) if system.test is None else (train, test)

    def read(self, moment):
        system, params = moment.system, moment.state.params
        seen = {"accuracy": _share(system.outputs(params, system.train.X), system.train)}
        return (
            seen
            if system.test is None
            else seen
            | {"test_accuracy": _share(system.outputs(params, system.test.X), system.test)}
        )


def _of_classes(Y):
    """(n,) whether a row of targets (n, k) belongs to a class: it is a row of probabilities, or
    has one largest entry and is the same wherever that is."""
    n, k = Y.shape
    if k == 1:
        Y = np.hstack([Y, -Y])
    order = np.sort(Y, axis=1)
    own = Y.argmax(axis=1)
    first = np.array([np.argmax(own == one) for one in range(Y.shape[1])])[own]
    chance = (
        (Y >= 0).all(axis=1)
        & (np.abs(Y.sum(axis=1) - 1) <= max(1e-9, 4 * k * np.finfo(Y.dtype).eps))
        & (k > 1)
    )
    return chance | ((order[:, -1] > order[:, -2]) & (Y == Y[first]).all(axis=1))


def _share(outputs, view):
    if is_ids(view.Y):
        hit = jnp.argmax(outputs, axis=-1) == view.Y
    else:
        chosen, right = (
            (side[..., 0] > 0) if side.shape[-1] == 1 else jnp.argmax(side, axis=-1)
            for side in (outputs, view.Y)
        )
        hit = chosen == right
    asked = None if view.mask is None else view.mask.reshape(hit.shape)
    return where_finite(jnp.mean(hit, dtype=outputs.dtype, where=asked), outputs)


class Outputs(Instrument):
    """The network's outputs on the training view, and on the test view where there is one."""

    def quantities(self, system, params):
        rank = len(system.architecture.signal_shapes(params, system.train.X)["output"].shape)
        axes = ("output",) if rank == 2 else signal_axes(system.architecture, "output", rank)[1:]
        train = Quantity(
            "outputs", ("sample", *axes), "output", "f", "outputs on the training inputs"
        )
        test = Quantity(
            "test_outputs", ("test_sample", *axes), "output", "f_test", "outputs on the test inputs"
        )
        return (train,) if system.test is None else (train, test)

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        system, params = moment.system, moment.state.params
        seen = {"outputs": system.outputs(params, system.train.X)}
        return (
            seen
            if system.test is None
            else seen | {"test_outputs": system.outputs(params, system.test.X)}
        )
