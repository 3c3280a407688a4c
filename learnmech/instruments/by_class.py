"""By class: which classes are told apart, which are taken for which, and whether the network knows
how often it is right."""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.errors import refused
from learnmech.instruments.answers import OfClasses
from learnmech.instruments.base import where_finite
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity
from learnmech.losses import CrossEntropy, Logistic


class TestByClass(OfClasses):
    """Accuracy and loss of the test samples of each class, the loss without ridge; of the training
    samples where there is no test view. A class without samples reads NaN."""

    __test__ = False

    def quantities(self, system, params):
        labels = (("class", self.classes(system, params)),)
        return (
            Quantity(
                "class_accuracy", ("class",), "1", "A_c", "share of a class put right", labels
            ),
            Quantity("class_loss", ("class",), "loss", "L_c", "loss of a class's samples", labels),
        )

    def read(self, moment):
        system, view = moment.system, self.view(moment.system)
        outputs, given, own = self.answers(moment)
        width = len(self.classes(system, moment.state.params))
        among = jax.nn.one_hot(own, width, dtype=outputs.dtype)
        count = jnp.sum(among, axis=0)

        def price(output, target, weight):
            alone = type(view)(view.X[:1], target[None], None if weight is None else weight[None])
            return system.price(output[None], alone)

        prices = jax.vmap(price)(outputs, view.Y, view.weight)
        hits = (given == own).astype(outputs.dtype)
        # a mean over samples is one over those of the class; a sum stays one
        share = count if system.loss_function.is_mean else jnp.where(count > 0, 1, 0)
        return {"class_accuracy": hits @ among / count, "class_loss": prices @ among / share}


class Confusion(OfClasses):
    """The confusion matrix: the share of each class's test samples that is given each class; of the
    training samples where there is no test view. Rows add up to 1; a class without samples is
    NaN."""

    def quantities(self, system, params):
        names = self.classes(system, params)
        labels = (("class", names), ("given", names))
        meaning = "share of a class's samples that is given each class"
        return (Quantity("confusion", ("class", "given"), "1", "C", meaning, labels),)

    def read(self, moment):
        outputs, given, own = self.answers(moment)
        width = len(self.classes(moment.system, moment.state.params))
        rows, columns = (jax.nn.one_hot(one, width, dtype=outputs.dtype) for one in (own, given))
        found = rows.T @ columns / jnp.sum(rows, axis=0)[:, None]
        return {"confusion": where_finite(found, outputs)}


class Calibration(OfClasses):
    """The calibration error (ECE): sum over bins of (share of samples)|accuracy - confidence|, in
    `bins` of equal width from 0 to 1 by confidence, on the test view where there is one.

    Confidence is the largest probability: softmax under CrossEntropy, of one output under Logistic
    the sigmoid of |f|, of other losses the largest output as it is, within 0 and 1. A confidence on
    an edge is in the bin below it. Beside it accuracy, confidence and share of samples in each bin;
    a bin without samples has a share of 0, and its middle for both. The error depends on the bins,
    and of few samples is biased upwards.
    Source: Guo et al. 2017.
    """

    bins: int = structure(default=15, at_least=1, meaning="bins of confidence, of equal width")

    def check(self, system):
        super().check(system)
        if isinstance(system.loss_function, Logistic) and system.train.Y.shape[-1] > 1:
            raise refused(
                "Calibration",
                "one output under Logistic",
                system.train.Y.shape[-1],
                "Use CrossEntropy",
            )

    def quantities(self, system, params):
        edges = np.linspace(0, 1, self.bins + 1)
        labels = (("bin", tuple(round(float(x), 6) for x in (edges[1:] + edges[:-1]) / 2)),)
        return (
            Quantity("calibration_error", (), "1", "ECE", "how far confidence is off accuracy"),
            Quantity("bin_accuracy", ("bin",), "1", "A_b", "accuracy in a bin", labels),
            Quantity("bin_confidence", ("bin",), "1", "p_b", "mean confidence in a bin", labels),
            Quantity("bin_share", ("bin",), "1", "n_b/n", "share of samples in a bin", labels),
        )

    def read(self, moment):
        outputs, given, own = self.answers(moment)
        confidence = _confidence(moment.system.loss_function, outputs)
        place = jnp.clip(jnp.ceil(confidence * self.bins) - 1, 0, self.bins - 1)
        among = jax.nn.one_hot(place.astype(int), self.bins, dtype=outputs.dtype)
        count, hits = jnp.sum(among, axis=0), (given == own).astype(outputs.dtype)
        right, sure = hits @ among, confidence @ among
        middle = (jnp.arange(self.bins, dtype=outputs.dtype) + 0.5) / self.bins
        filled = jnp.where(count > 0, count, 1)
        return {
            "calibration_error": jnp.sum(jnp.abs(right - sure)) / len(outputs),
            "bin_accuracy": jnp.where(count > 0, right / filled, middle),
            "bin_confidence": jnp.where(count > 0, sure / filled, middle),
            "bin_share": count / len(outputs),
        }


def _confidence(loss, outputs):
    if isinstance(loss, CrossEntropy):
        return jnp.max(jax.nn.softmax(outputs, axis=-1), axis=-1)
    if isinstance(loss, Logistic):
        return jax.nn.sigmoid(jnp.abs(outputs[..., 0]))
    return jnp.clip(jnp.max(jnp.abs(outputs) if outputs.shape[-1] == 1 else outputs, axis=-1), 0, 1)
