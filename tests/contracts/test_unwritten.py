"""Parts that lack what their family asks for say so in a sentence."""

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.architectures.base import Architecture
from learnmech.data.base import Data
from learnmech.errors import Refused
from learnmech.instruments.base import Instrument


class Bare(Architecture):
    """Nothing of its own."""


class Empty(Data):
    """Nothing of its own."""


class Blind(Instrument):
    """Nothing of its own."""


def around(**parts):
    made = {
        "architecture": architectures.DeepLinear(hidden=(2,)),
        "data": data.Gaussian(n=6, d=2),
        "rule": rules.GradientDescent(rate=0.1),
        "clock": lm.Clock(steps=2),
    }
    return lm.Experiment(**(made | parts))


def test_a_class_with_a_name_that_has_changed_its_meaning_is_refused_where_it_is_made():
    with pytest.raises(Refused, match="Shaken needs `stochastic`, but got `draws`, its name up to"):

        class Shaken(architectures.Mlp):
            draws = True


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda: lm.prepare(around(architecture=Bare())), "Bare needs a `init` of its own"),
        (lambda: Bare().forward({}, np.ones((1, 2))), "Bare needs a `forward` of its own"),
        (lambda: lm.prepare(around(data=Empty())), "Empty needs a `draw` of its own"),
        (lambda: lm.run(around(), (Blind(),)), "Blind needs a `quantities` of its own"),
    ],
)
def test_a_missing_method_is_named_with_what_to_do(act, sentence):
    with pytest.raises(Refused, match=sentence):
        act()
