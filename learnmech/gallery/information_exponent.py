"""The information exponent: how long a direction stays hidden on the sphere."""

import numpy as np

from learnmech.architectures.single_index import SingleIndex
from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import compare
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.given import Given
from learnmech.instruments.losses import PopulationLoss
from learnmech.instruments.overlaps import Overlaps
from learnmech.rules.descent import SGD
from learnmech.runs.running import run
from learnmech.theories.single_index import SphereFlow

D, BEGIN, EXPONENTS = 50, 0.2, (1, 2, 3)
NOISE = (
    "the noise of steps is up to 0.1 of the cosine at the start, and grows with it as it escapes"
)


def _of(exponent, steps=700):
    """One normalized Hermite polynomial, taught by itself."""
    index = SingleIndex(tuple(float(k == exponent) for k in range(exponent + 1)))
    return Experiment(
        index,
        NetworkTeacher(index, n=1000, d=D),
        SGD(rate=0.002, batch=1024, sampling="fresh"),
        Clock(steps=steps, marks=31),
    )


def _begun(experiment):
    """From w at the given cosine, beside the teacher's direction along the first axis that is not
    its own."""
    teacher = prepare(experiment).data.population.params["layer1"]["weight"][0]
    teacher = teacher / np.linalg.norm(teacher)
    beside = np.random.default_rng(0).standard_normal(len(teacher))
    beside -= (beside @ teacher) * teacher
    w = BEGIN * teacher + np.sqrt(1 - BEGIN**2) * beside / np.linalg.norm(beside)
    return experiment.with_value("initial", Given(w))


def _experiment():
    return _begun(_of(EXPONENTS[-1]))


def _half(times, m):
    after = np.flatnonzero(m >= 0.5)
    return float(np.interp(0.5, m[: after[0] + 1], times[: after[0] + 1])) if len(after) else np.nan


def _verify(shown):
    curves, checks, halves = {}, [], []
    for exponent in EXPONENTS:
        own = exponent == EXPONENTS[-1]
        record = shown.record if own else run(_begun(_of(exponent)), shown.exhibit.watch)
        said = compare(record, SphereFlow())
        seen, there = (one["teacher_cosine"].values[:, 0, 0] for one in (said.seen, said.said))
        times = record["teacher_cosine"]["time"].values
        curves[exponent] = times, seen, there
        halves.append((_half(times, seen), _half(times, there)))
        checks.append(
            Check(
                f"exponent {exponent}: the time to a cosine of 1/2",
                *halves[-1],
                0.1,
                NOISE,
            )
        )
    checks.append(
        Check(
            "exponent 3 takes so many times as long as exponent 1",
            halves[-1][0] / halves[0][0],
            2.5,
            0.0,
            "from a cosine of 0.2 the closed forms say some three times as long",
            "above",
        )
    )
    return tuple(checks), {"curves": curves}


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    for place, (exponent, (times, seen, said)) in enumerate(shown.extra["curves"].items()):
        laid(axis, times, seen, said, place, f"exponent {exponent},")
    axis.set(xlabel="time, t [param²/loss]", ylabel="cosine with the teacher, m [1]")
    axis.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The higher the first Hermite degree of a target, the longer its direction stays hidden;"
        " flow on the sphere tells how long"
    ),
    source="Ben Arous et al. 2021",
    experiment=_experiment,
    watch=(PopulationLoss(), Overlaps()),
    theories=(SphereFlow(),),
    reason=NOISE,
    verify=_verify,
    draw=_draw,
)
