"""The main job: handwritten digits, learned mode by mode as theory says."""

from learnmech.architectures.linear import DeepLinear
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.overlay import panel
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.initial.balanced import Aligned
from learnmech.instruments.conserved import Balance
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.modes import EndToEnd, ModeStrengths, SingularValues
from learnmech.instruments.spectra import Alignment, Ranks
from learnmech.instruments.weights import Distance, Norms, Weights
from learnmech.rules.descent import GradientDescent
from learnmech.theories.modes import Decoupled


def _experiment():
    data = Digits(train=1437, components=30, whitened=True)
    return Experiment(
        DeepLinear(hidden=(32,)),
        data,
        GradientDescent(rate=0.02),
        Clock(time=60.0, marks=151),
        Aligned(strength=1e-4),
    )


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.4, width=11.0)
    for axis, quantity in zip(axes, ("mode_strength", "loss"), strict=True):
        panel(axis, shown.comparisons[0], quantity, curves=9)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Handwritten digits: a deep linear network learns nine singular modes, each when theory"
        " says"
    ),
    source="Saxe, McClelland & Ganguli 2014, on scikit-learn's digits",
    experiment=_experiment,
    twin={"data.train": 200, "data.components": 12, "clock.marks": 31},
    watch=(
        Loss(),
        TestLoss(),
        ModeStrengths(count=9),
        EndToEnd(),
        SingularValues(),
        Norms(),
        Distance(),
        Balance(),
        Alignment(),
        Ranks(),
        Weights(every=10),
    ),
    theories=(Decoupled(),),
    reason=STEPS,
    draw=_draw,
)
