"""Flat minima: the noise of batches carries SGD down the trace of the Hessian, at a predicted
pace, and throws it from minima that are too sharp."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.curvature import Trace
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import SGD
from learnmech.sweeps import sweep
from learnmech.theories.sgd_flatness import (
    SgdFlatness,
    basin,
    drifting_chain,
    mean_square_edge,
    unequal_chain,
)

RATIO, SEEDS, SLOW_TIME = 4.0, 64, 6.0
RATES = (0.1, 0.05, 0.025)
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)
WATCH = (Loss(), Trace())


def _experiment(noise=0.5, rate=RATES[-1], batch=1, clock=None):
    source = Gaussian(n=20, d=1, map=np.ones((1, 1)), noise=noise)
    clock = Clock(time=SLOW_TIME / rate, marks=7) if clock is None else clock
    return Experiment(
        DeepLinear(hidden=(1,)),
        source,
        SGD(rate=rate, batch=batch),
        clock,
        unequal_chain(source, RATIO),
    )


def _drifts(shown):
    """{rate: (slow time, mean trace, its standard error, said)} of runs and theory at fixed rate
    * t, and the limit of small rates at those times."""
    found, limit = {}, None
    for rate in (rate for rate in RATES if rate >= float(shown.experiment.rule.rate)):
        experiment = shown.experiment.with_value("rule.rate", rate).with_value(
            "clock", Clock(time=SLOW_TIME / rate, marks=7)
        )
        traces = sweep(experiment, {}, SEEDS, WATCH)["hessian_trace"]
        start = prepare(experiment)
        said = SgdFlatness().predict(start)["hessian_trace"].values
        times = traces["time"].values
        found[rate] = (
            rate * times,
            traces.values.mean(0),
            traces.values.std(0, ddof=1) / np.sqrt(SEEDS),
            said,
        )
        limit = drifting_chain(start, times)
    return found, limit


def _thrown(batch, shares):
    """(rate, start's trace, (rate, seed) traces at the end, said where stable, the edge) of runs
    whose samples are all but fitted."""
    experiment = _experiment(noise=0.02, batch=batch, clock=Clock(steps=2000, every=2000))
    start = prepare(experiment)
    place = basin(start.system, start.params)
    edge = mean_square_edge(place, 1 / batch)
    rates = [edge * share for share in shares]
    ends = sweep(experiment, {"rule.rate": rates}, 16, WATCH)["hessian_trace"].values[..., -1]
    said = [
        (
            float(
                SgdFlatness().predict(prepare(experiment.with_value("rule.rate", rate)))[
                    "hessian_trace"
                ][-1]
            )
            if rate < edge
            else np.nan
        )
        for rate in rates
    ]
    return np.array(rates), float(np.trace(place.hessian)), ends, np.array(said), edge


def _verify(shown):
    drifts, limit = _drifts(shown)
    rates = np.array(list(drifts))
    farthest = [int(np.abs(seen - limit).argmax()) for _, seen, _, _ in drifts.values()]
    gaps, bars = np.array(
        [
            (abs(seen - limit)[at], bar[at])
            for at, (_, seen, bar, _) in zip(farthest, drifts.values(), strict=True)
        ]
    ).T
    slope = fitted_order(rates, gaps / limit[0]).slope
    away = np.log(rates) - np.log(rates).mean()
    error = float(np.sqrt(np.sum((away * bars / gaps) ** 2)) / np.sum(away**2))
    worst = max(
        float(np.abs((seen - said)[1:] / bar[1:]).max()) for _, seen, bar, said in drifts.values()
    )
    checks = [
        Check(
            "mean trace of the Hessian on its way: farthest from the prediction, in standard"
            " errors",
            worst,
            4.0,
            0.0,
            "some twenty normal numbers",
            "below",
        ),
        Check(
            "its distance from the limit of small rates goes as rate^p, p (standard error over"
            f" seeds {error:.1g})",
            slope,
            1.0,
            max(0.1, 3 * error),
            "the next order over this range, or three standard errors",
        ),
    ]
    thrown = {}
    whole = len(rates) == len(RATES)
    for batch in (1, 4) if whole else (1,):
        thrown[batch] = found = _thrown(batch, SHARES if whole else SHARES[3:7:3])
        checks += _ends(batch, *found)
    return tuple(checks), {"drifts": drifts, "limit": limit, "thrown": thrown}


def _ends(batch, rates, trace, ends, said, edge):
    stays = rates < edge
    bars = ends.std(1, ddof=1) / np.sqrt(ends.shape[1])
    gap = float((np.abs(ends.mean(1) - said) / bars)[stays].max())
    sharpest = float((ends.max(1) * rates)[~stays].max() / (trace * edge))
    reason = "few normal numbers"
    yield Check(
        f"batch {batch}, rates below the threshold: mean trace at the end, farthest from the"
        " prediction, in standard errors",
        gap,
        4.0,
        0.0,
        reason,
        "below",
    )
    reason = "where the second moment grows no run stays: all end where it does not"
    yield Check(
        f"batch {batch}, rates above it: the sharpest end of all runs, over where the rate is the"
        " threshold",
        sharpest,
        1.0,
        0.0,
        reason,
        "below",
    )


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.4, width=11.5)
    drifts, limit = shown.extra["drifts"], shown.extra["limit"]
    for place, (rate, (slow, seen, bars, said)) in enumerate(drifts.items()):
        axes[0].plot(slow, said, color=COLORS[place], linestyle=DASHES[place + 1])
        axes[0].errorbar(
            slow,
            seen,
            bars,
            fmt=MARKERS[place],
            color=COLORS[place],
            markersize=5,
            capsize=3,
            label=f"rate {rate:g}, mean of {SEEDS} runs",
        )
    axes[0].plot(slow, limit, color="#333333", linewidth=1.2, label="rate → 0, predicted")
    axes[0].set_xlabel("slow time, rate × t [(param²/loss)²]; broken lines predicted")
    axes[0].set_ylabel("trace of the Hessian [loss/param²]")
    axes[0].legend(fontsize=9)
    for place, (batch, (rates, trace, ends, said, edge)) in enumerate(
        shown.extra["thrown"].items()
    ):
        color = COLORS[place + 3]
        fine = np.linspace(edge, 1.25 * rates[-1], 60)
        axes[1].plot(
            rates * trace,
            said / trace,
            color=color,
            linestyle=DASHES[place],
            label=f"batch {batch}: drift predicted",
        )
        axes[1].plot(fine * trace, edge / fine, color=color, linestyle=":", linewidth=2.2)
        axes[1].plot(
            rates[:, None] * trace + 0 * ends,
            ends / trace,
            MARKERS[place + 3],
            color=color,
            markersize=3.5,
            alpha=0.5,
        )
    axes[1].plot([], [], "k:", linewidth=2.2, label="stable in mean square below this")
    axes[1].plot([], [], "k.", label="runs of 2000 steps, measured")
    axes[1].axvline(2, color="#9A9A9A", linewidth=1.2)
    axes[1].annotate(
        "descent\nstays up\nto here",
        (2, 0.93),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=8.5,
        color="#555555",
    )
    axes[1].set_xlabel("rate × trace of the Hessian at the start [1]")
    axes[1].set_ylabel("trace of the Hessian at the end,\nover the start's [1]")
    axes[1].set_ylim(0.2, 1.08)
    axes[1].legend(fontsize=8.5, loc="lower left", ncols=2)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Among equally good minima SGD drifts to flatter ones at a pace its noise sets, and cannot"
        " stay where the rate is above the mean-square threshold"
    ),
    source="Damian, Ma & Lee 2021; Li, Wang & Arora 2022; Wu et al. 2018",
    experiment=_experiment,
    watch=WATCH,
    verify=_verify,
    draw=_draw,
    twin={"rule.rate": RATES[1], "clock": {"time": SLOW_TIME / RATES[1], "marks": 7}},
)
