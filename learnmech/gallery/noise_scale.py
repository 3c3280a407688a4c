"""The noise scale: at which batch the noise of a gradient is as large as itself, and what a step
gains at each batch."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.instruments.losses import PopulationLoss
from learnmech.instruments.modes import EndToEnd
from learnmech.instruments.noise_scale import NoiseScale
from learnmech.rules.descent import SGD
from learnmech.sweeps import sweep
from learnmech.theories.noise_scale import gaussian_noise

BATCHES, SEEDS = (1, 8, 64, 512), 150


def _experiment():
    return Experiment(
        DeepLinear(),
        Gaussian(n=2000, d=20, covariance="power-law", noise=0.5),
        SGD(rate=0.1, batch=64, sampling="fresh-gradient"),
        Clock(steps=40, marks=5),
        GaussianStart(scale=0.0),
    )


def _verify(shown):
    population = prepare(shown.experiment).data.population
    lam, s2 = np.asarray(population.root) ** 2, float(population.noise) ** 2
    maps = shown.record["end_to_end"].values[:, 0] - np.asarray(population.map)[0]
    said = [gaussian_noise(lam, off, s2) for off in maps]
    read = {
        name: (shown.record[name].values, shown.record[f"{name}_error"].values)
        for name in ("noise_scale", "curved_noise_scale")
    }
    lines = {
        "noise_scale": np.array([one.simple for one in said]),
        "curved_noise_scale": np.array([one.curved for one in said]),
    }
    gains = []
    for batch in BATCHES:
        one = shown.experiment.with_value("rule.batch", batch)
        one = one.with_value("rule.rate", said[0].best_rate(batch)).with_value(
            "clock", {"steps": 1}
        )
        losses = sweep(one, {}, SEEDS, (PopulationLoss(),))["population_loss"].values
        gain = losses[:, 0] - losses[:, 1]
        gains.append((gain.mean(), gain.std(ddof=1) / np.sqrt(SEEDS)))
    gain, bar = np.array(gains).T
    wanted = np.array([said[0].gain(said[0].best_rate(batch), batch) for batch in BATCHES])
    four = "in standard errors: the largest of a few dozen draws of a normal variable"
    checks = [
        Check(
            f"{words} along the run, from {len(shown.record.start.data.train.X)} samples: largest"
            " distance",
            float((np.abs(read[name][0] - lines[name]) / read[name][1]).max()),
            0.0,
            4.0,
            four,
        )
        for name, words in (("noise_scale", "tr C/|g|²"), ("curved_noise_scale", "tr HC/g'Hg"))
    ]
    checks.append(
        Check(
            "what one step gains at its best rate, at four batches: largest distance",
            float((np.abs(gain - wanted) / bar).max()),
            0.0,
            4.0,
            four,
        )
    )
    fine = np.geomspace(0.7, 1000, 100)
    return tuple(checks), {
        "read": read,
        "lines": lines,
        "gain": gain,
        "bar": bar,
        "fine": fine,
        "line": [said[0].gain(said[0].best_rate(batch), batch) for batch in fine],
        "most": said[0].square ** 2 / said[0].bend / 2,
        "scale": said[0].curved,
    }


def _draw(shown):
    figure, (along, step) = sheet(columns=2, height=4.2, width=11.5)
    x, steps = shown.extra, shown.record["noise_scale"]["step"].values
    names = {"noise_scale": "tr C/|g|²", "curved_noise_scale": "tr HC/g'Hg"}
    for place, (name, words) in enumerate(names.items()):
        seen, bars = x["read"][name]
        along.plot(steps, x["lines"][name], color=COLORS[place], label=f"{words} predicted")
        along.errorbar(
            steps,
            seen,
            bars,
            fmt="os"[place],
            color=COLORS[place],
            markersize=4.5,
            capsize=2,
            label="measured",
        )
    along.set(yscale="log", xlabel="step [1]", ylabel="noise scale [samples]")
    along.legend()
    step.plot(x["fine"], np.array(x["line"]) / x["most"], color=COLORS[2], label="predicted")
    step.errorbar(
        BATCHES,
        x["gain"] / x["most"],
        x["bar"] / x["most"],
        fmt="^",
        color=COLORS[2],
        markersize=5,
        label="measured",
    )
    step.axvline(x["scale"], color="#333333", linewidth=0.9, linestyle="--", label="tr HC/g'Hg")
    step.axhline(0.5, color="#9A9A9A", linewidth=0.8, linestyle=":")
    step.set(
        xscale="log",
        xlabel="batch, B [samples]",
        ylabel="gain of a step, over the most [1]",
    )
    step.legend(loc="upper left")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "The noise scale grows as the loss falls, and at a batch of its size one step gains half of"
        " what it could without noise"
    ),
    source="McCandlish et al. 2018",
    experiment=_experiment,
    watch=(PopulationLoss(), EndToEnd(), NoiseScale(curved=True)),
    verify=_verify,
    draw=_draw,
)
