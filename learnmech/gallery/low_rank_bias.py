"""Low-rank bias: depth and a small start complete a matrix."""

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.completion import Completion
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import SmallGaussian
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.modes import SingularValues
from learnmech.instruments.spectra import Ranks
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run

SIZES = (0.01, 0.03, 0.1, 0.2, 0.4)


def _experiment():
    data = Completion(rows=20, columns=20, rank=2, seen=0.5, strength=10.0)
    return Experiment(
        DeepLinear(hidden=(20, 20)),
        data,
        GradientDescent(rate=0.02),
        Clock(steps=20000, marks=101),
        SmallGaussian(std=0.03),
    )


def _verify(shown):
    hidden, ranks = [], []
    for size in SIZES:
        record = run(
            shown.experiment.with_value("initial.std", size), (Loss(), TestLoss(), Ranks())
        )
        zero = float(shown.record["test_loss"].values[0])
        hidden.append(float(record["test_loss"].values[-1]) / zero)
        ranks.append(float(record["map_effective_rank"].values[-1]))
    rank = float(shown.experiment.data.rank)
    learned = "of what predicting 0 would cost"
    return (
        Check(
            f"error on hidden entries from start {SIZES[0]:g}, {learned}",
            hidden[0],
            0.01,
            0.0,
            "recovery: a hundredth of the matrix's power",
            "below",
        ),
        Check(
            f"error on hidden entries from start {SIZES[-1]:g}, {learned}",
            hidden[-1],
            0.5,
            0.0,
            "no recovery: half of the matrix's power or more",
            "above",
        ),
        Check(
            f"effective rank found from start {SIZES[0]:g}",
            ranks[0],
            rank,
            0.05,
            "a residue of small singular values remains",
        ),
    ), {"hidden": hidden, "ranks": ranks}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.0, width=11.0)
    sigma = shown.record["singular_value"]
    for place in range(5):
        left.plot(
            sigma["time"],
            sigma[:, place],
            linestyle=DASHES[place],
            color=COLORS[place],
            label=f"σ_{place + 1}",
        )
    left.axhline(
        float(shown.experiment.data.strength), color="#555555", linewidth=0.8, label="of the matrix"
    )
    left.set_xlabel(TIME)
    left.set_ylabel(
        f"singular values of the map,\nstart {float(shown.experiment.initial.std):g} [output/input]"
    )
    left.legend(ncols=2)
    right.loglog(
        SIZES,
        shown.extra["hidden"],
        MARKERS[0],
        color=COLORS[0],
        linestyle="-",
        label="error on hidden entries",
    )
    right.set_xlabel("size of the start [param]")
    right.set_ylabel("error on hidden entries\nover their squares [1]")
    ranks = right.twinx()
    ranks.semilogx(
        SIZES,
        shown.extra["ranks"],
        MARKERS[1],
        color=COLORS[1],
        linestyle=DASHES[1],
        label="effective rank",
    )
    ranks.set_ylabel("effective rank [1]")
    ranks.set_ylim(bottom=0)
    ranks.grid(False)
    lines = [*right.get_lines(), *ranks.get_lines()]
    right.legend(lines, [line.get_label() for line in lines])
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A deep linear network from a small start completes a matrix by one of low rank; from a"
        " large start it does not"
    ),
    source="Arora et al. 2019; Gunasekar et al. 2017",
    experiment=_experiment,
    watch=(Loss(), TestLoss(), SingularValues(), Ranks()),
    verify=_verify,
    draw=_draw,
)
