"""Lazy over width: why the line at which a network leaves its tangent goes as alpha ~ 1/h at large
alpha, as h^-1/2 at small, and ends at a width where the outputs are not centered.

In f = h^-1/2 sum_i v_i s(w_i.x) training to a residual r moves v and w by J'c/alpha, h^-1/2/alpha
each. With v_i -> -v_i the kernel is the same and f_0 turns its sign; of alpha (f - f_0) beyond the
tangent, what is of second order is h^(-3/2)/alpha times a sum over units that turns its sign with
v: at random, so that it is h^1/2, in all 1/(alpha h). What is of third order is 1/(alpha h)^2 times
a sum that does not: h, in all 1/(alpha^2 h), the drift of the mean-field dial 1/(alpha h^1/2). Not
centered, the residual at the start is alpha f_0 where alpha is large, and c goes with alpha: off by
1/h at every alpha. The rate is divided by alpha^2, so that time is the same everywhere.
"""

import jax
import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss, Outputs
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.studies.maps import map_error
from learnmech.theories.tangent import Lazy

ALPHA, WIDTH = "architecture.alpha", "architecture.of.width"
TOLERANCE, SEEDS = 0.01, 6
ALPHAS = (0.05, 20.0)
WIDEST, NARROWEST, NODES = 8192, 4, 17
UNCENTERED = (1.0, 20.0), (4, 256)
# of the two parts: at alpha = 5, where the next orders of 1/alpha are below 1% of them; over widths
# down to a 16th, since narrow ones scatter too much (at 64 the even part is 2.5 times its limit)
FAR, REPEATS = 5.0, 12
DIALS = (0.05, 0.2, 1.0, FAR)


def _experiment():
    network = Mlp(hidden=(WIDEST,), activation="tanh", scaling=NTK(bias=0.0))
    return Experiment(
        Dialed(network, alpha=1.0),
        Gaussian(n=12, d=4, k=1),
        GradientDescent(rate=0.1),
        Clock(steps=60, marks=7),
    )


def _off(start):
    """(outputs less the tangent's, (m, n), the largest output said)."""
    said = Lazy().predict(start)["outputs"].values[..., 0]
    return run(start, (Outputs(),))["outputs"].values[..., 0] - said, np.abs(said).max()


def _parts(experiment):
    """What changes its sign with the readout's at the start, and what does not, over the scale."""
    start = prepare(experiment)
    turned = jax.tree.map(np.asarray, start.params)
    turned["layer2"] = {"weight": -turned["layer2"]["weight"]}
    mirror = prepare(experiment.with_value("initial", Given.of(turned)))
    (one, scale), (other, _) = _off(start), _off(mirror)
    return (one - other) / 2 / scale, (one + other) / 2 / scale


def _at(experiment, alpha, width, seed):
    made = experiment.with_value(ALPHA, float(alpha)).with_value(WIDTH, int(width))
    return made.with_value("seed", seed)


def _sizes(pairs):
    """(2, places, seeds) the largest entries of both parts, of the pairs at some places."""
    return np.array([[[np.abs(one).max() for one in pair] for pair in seeds] for seeds in pairs]).T


def _said(parts, alphas):
    """The width at which the error is the tolerance, at each alpha: h = med |O/alpha + E/alpha^2|
    over the tolerance, from O = alpha h odd and E = alpha^2 h even."""
    return np.array(
        [
            np.median([np.abs(odd / alpha + even / alpha**2).max() for odd, even in parts])
            for alpha in alphas
        ]
    ) / (TOLERANCE)


def _slope(line, low, high):
    """p of h ~ alpha^p, along the part of a line between these alphas."""
    x, y = np.log(line[(line[:, 0] >= low) & (line[:, 0] <= high)]).T
    return float(np.polyfit(x, y, 1)[0])


def _verify(shown):
    plain = shown.experiment.with_value("architecture.centered", True)
    widest = plain.architecture.of.hidden[0]
    wide = (widest // 16, widest // 4, widest)
    nodes, repeats = (NODES, REPEATS) if widest >= WIDEST else (5, REPEATS // 2)
    ranges = {True: (ALPHAS, (NARROWEST, widest), nodes), False: (*UNCENTERED, nodes // 2 + 1)}
    maps = {
        centered: map_error(
            "lazy",
            plain.with_value("architecture.centered", centered),
            {ALPHA: alphas, WIDTH: widths},
            "outputs",
            size,
            SEEDS,
            TOLERANCE,
        )
        for centered, (alphas, widths, size) in ranges.items()
    }
    places = dict.fromkeys([*((FAR, width) for width in wide), *((a, widest) for a in DIALS)])
    pairs = {
        place: [_parts(_at(plain, *place, seed)) for seed in range(repeats)] for place in places
    }
    over_width = _sizes([pairs[FAR, width] for width in wide]).swapaxes(1, 2)
    over_alpha = _sizes([pairs[alpha, widest] for alpha in DIALS]).swapaxes(1, 2)
    parts = [(FAR * widest * odd, FAR**2 * widest * even) for odd, even in pairs[FAR, widest]]
    checks = []
    for name, part, power in (("odd", 0, -1.0), ("even", 1, -2.0)):
        order = fitted_order(DIALS[2:], over_alpha[part][2:])
        checks.append(
            Check(
                f"part {name} in the readout's sign: power of alpha, alpha >= {DIALS[2]:g}",
                order.slope,
                power,
                0.01,
                "the next term is 1/alpha^2 of it, below 1% at this width",
            )
        )
        order = fitted_order(wide, over_width[part])
        checks.append(
            Check(
                f"part {name} in the readout's sign: power of the width",
                order.slope,
                -1.0,
                max(0.1, 3 * order.standard_error),
                f"three standard errors over {repeats} seeds, 0.1 at least, as of all orders",
            )
        )
    line, other = maps[True].line, maps[False].line
    ratios = np.log(line[:, 1] / _said(parts, line[:, 0]))
    # medians of the map's own seeds and of those of the parts, each scattering as one size does
    spread = np.log([np.abs(odd).max() for odd, _ in parts]).std(ddof=1)
    blur = 1.25 * spread * np.sqrt(1 / SEEDS + 1 / repeats)
    checks.append(
        Check(
            "centered: width on the line over that said by the parts, rms of its logarithm",
            float(np.sqrt(np.mean(ratios**2))),
            2 * blur,
            0.0,
            f"twice what medians of {SEEDS} and {repeats} seeds scatter by",
            "below",
        )
    )
    for words, found, low, high in (
        ("centered, alpha >= 2", line, 2.0, ALPHAS[1]),
        ("centered, alpha <= 0.2", line, ALPHAS[0], 0.2),
        ("not centered, alpha >= 2", other, 2.0, ALPHAS[1]),
    ):
        at = np.geomspace(low, high, 9)
        said = 0.0 if found is other else _slope(np.stack([at, _said(parts, at)], 1), low, high)
        checks.append(
            Check(
                f"{words}: the line goes as h ~ alpha^p, p",
                _slope(found, low, high),
                said,
                2 * blur / np.log(high / low) / (abs(said) or 1.0),
                "both ends of it off by what medians scatter by",
            )
        )
    extra = {"maps": maps, "parts": parts, "over_alpha": over_alpha, "widest": widest}
    return tuple(checks), extra


def _draw(shown):
    figure, (where, why) = sheet(columns=2, height=4.8, width=11.5)
    maps, parts, widest = (shown.extra[name] for name in ("maps", "parts", "widest"))
    for look, (centered, found) in enumerate(maps.items()):
        where.plot(
            *found.line.T,
            MARKERS[look],
            color=COLORS[look],
            markersize=5,
            markerfacecolor=COLORS[look] if centered else "none",
            label=f"{'f - f₀' if centered else 'f itself'} multiplied: measured",
        )
    alphas = np.geomspace(*ALPHAS, 50)
    said = _said(parts, alphas)
    where.plot(alphas, said, color="black", linewidth=1.5, label="first two orders, predicted")
    for power, ends, dash in ((-1, (3.0, 20.0), "--"), (-2, (0.05, 0.2), ":")):
        at = np.array(ends)
        anchor = said[np.argmin(np.abs(alphas - at[1 if power == -2 else 0]))]
        line = 2.2 * anchor * (at / at[1 if power == -2 else 0]) ** power
        where.plot(at, line, dash, color="#555555", linewidth=1.5, label=f"slope {power}")
    where.set(
        xscale="log",
        yscale="log",
        xlabel="multiplier of the outputs, α [1]",
        ylabel=f"width at which the tangent is off by {TOLERANCE:.0%}, h [units]",
    )
    where.legend()
    dials = np.array(DIALS)
    for look, (name, sizes, power) in enumerate(
        zip(("odd", "even"), shown.extra["over_alpha"], (1, 2), strict=True)
    ):
        scaled = sizes * widest
        bars = scaled.std(1, ddof=1) / np.sqrt(scaled.shape[1])
        size = np.mean([np.abs(pair[look]).max() for pair in parts])
        at = np.geomspace(dials[0], dials[-1], 20)
        why.plot(at, size / at**power, linestyle=DASHES[look], color=COLORS[look], linewidth=1.4)
        words = f"{name} in the readout's sign; line $\\alpha^{{-{power}}}$"
        why.errorbar(
            dials, scaled.mean(1), bars, fmt=MARKERS[look], color=COLORS[look], label=words
        )
    why.set(
        xscale="log",
        yscale="log",
        xlabel="multiplier of the outputs, α [1]",
        ylabel=f"part of the error times h, at h = {widest} [units]",
    )
    why.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A two-layer network is off its tangent by a random part 1/(αh) and a drift 1/(α²h): the"
        " line where lazy ends turns from h ~ 1/α² to h ~ 1/α, and stops at a width without"
        " centering"
    ),
    source="Chizat et al. 2019; Dyer & Gur-Ari 2020 for 1/h",
    experiment=_experiment,
    watch=(Loss(), Outputs()),
    twin={WIDTH: 4096},
    verify=_verify,
    draw=_draw,
)
