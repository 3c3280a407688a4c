"""Linear theory over tanh: up to which strength of the targets it holds, width by width.

tanh z = z - z^3/3. A mode of strength a through unit vectors R of h hidden units has z_i^2 ~ a
R_i^2, and what the cube takes away goes as a sum_i R_i^4: 3/(h + 2) of a where R points anywhere.
Time, rate and start are scaled with the targets, so that linear theory says one and the same curve
at every node of the map.
"""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.alignment import relative_error
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.initial.balanced import Aligned
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import ModeStrengths
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.studies.maps import refined
from learnmech.theories.modes import Decoupled

MODES, BEGUN, RATE = (3.0, 2.0, 1.0), 1e-3, 0.02
NARROWEST, WIDEST, SEEDS, TOLERANCE = 4, 256, 4, 0.05
DIMENSION = 6
RANGE, NODES = (0.03, 30.0), 17
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1)  # of s/(h + 2)


def _experiment():
    return Experiment(
        DeepLinear((WIDEST,)),
        LinearTeacher(strengths=MODES, n=100, d=DIMENSION, k=4),
        GradientDescent(rate=RATE),
        Clock(steps=300, marks=61),
        Aligned(strength=BEGUN),
    )


def _off(experiment, strength, width, seed, gathered=False):
    """The error of linear theory on the loss of a tanh network, the targets' strengths times one
    number; `gathered` turns the hidden layer so that the modes stand on six units."""
    changes = {
        "data.strengths": [strength * s for s in MODES],
        "rule.rate": RATE / strength,
        "initial.strength": BEGUN * strength,
        "architecture.hidden": [int(width)],
        "seed": seed,
    }
    linear = experiment
    for path, value in changes.items():
        linear = linear.with_value(path, value)
    start = prepare(linear)
    params = {name: {"weight": np.asarray(one["weight"])} for name, one in start.params.items()}
    if gathered:
        along = np.linalg.svd(params["layer1"]["weight"], full_matrices=False)[0]
        onto = np.eye(*along.shape)
        params["layer1"]["weight"] = onto @ along.T @ params["layer1"]["weight"]
        params["layer2"]["weight"] = params["layer2"]["weight"] @ along @ onto.T
    tanh = {"kind": "mlp", "hidden": [int(width)], "activation": "tanh"}
    bent = linear.with_value("architecture", tanh).with_value("initial", Given.of(params))
    seen, said = run(bent, (Loss(),))["loss"].values, Decoupled().predict(start)["loss"].values
    return relative_error(seen, said)[0]


def _verify(shown):
    plain, widest = shown.experiment, shown.experiment.architecture.hidden[0]
    nodes = NODES if widest >= WIDEST else 9
    strengths = np.geomspace(*RANGE, nodes)
    widths = np.rint(np.geomspace(NARROWEST, widest, nodes // 2 + 1)).astype(int)
    blurs = {}

    def ask(places):
        for row, column in places:
            g = [
                np.log(_off(plain, strengths[row], widths[column], seed) / TOLERANCE)
                for seed in range(SEEDS)
            ]
            blurs[row, column] = 1.25 * np.std(g, ddof=1) / np.sqrt(SEEDS)
            yield float(np.median(g))

    found = refined(ask, (nodes, len(widths)), blurred=blurs.__getitem__)
    line = np.stack(
        [
            np.exp(np.interp(along, np.arange(len(values)), np.log(values)))
            for along, values in zip(found.crossings().T, (strengths, widths), strict=True)
        ],
        axis=1,
    )
    blur = float(np.median([one for node, one in blurs.items() if abs(found.values[node]) < 1]))
    shares = np.array(
        [
            [[_off(plain, c * (h + 2), h, seed) for seed in range(SEEDS)] for c in SHARES]
            for h in (widths[0], widths[-1])
        ]
    )
    some = widths[widths >= 2 * DIMENSION][[0, -2, -1]]
    gathered = np.array(
        [[_off(plain, 0.1, h, seed, gathered=True) for seed in range(SEEDS)] for h in some]
    )
    slopes = [np.polyfit(np.log(line[:, 1] + more), np.log(line[:, 0]), 1)[0] for more in (2, 0)]
    allowed = 2 * np.sqrt(2) * blur / np.log((widths[-1] + 2) / (widths[0] + 2))
    order = fitted_order(SHARES[:3], shares[-1][:3])
    turned = fitted_order(some, gathered)
    checks = (
        Check(
            "the line: strength goes as (h + 2)^p, p",
            float(slopes[0]),
            1.0,
            allowed,
            f"both its ends off by the blur of a median of {SEEDS} seeds, twice; as h^p"
            f" {slopes[1]:.2f}",
        ),
        Check(
            "strength over h + 2 on the line, the largest over the least",
            float(np.ptp(np.log(line[:, 0] / (line[:, 1] + 2)))),
            2 * np.sqrt(2) * blur + np.log(strengths[1] / strengths[0]) / 4,
            0.0,
            "in ln: the blur of two medians, and a quarter of a step between nodes",
            "below",
        ),
        Check(
            "the widest: the error goes as the strength^p, p",
            order.slope,
            1.0,
            max(0.1, 3 * order.standard_error),
            "the cube of tanh; three standard errors, 0.1 at least, as of all orders",
        ),
        Check(
            "modes on six units of any width: the error goes as h^p, p",
            turned.slope,
            0.0,
            max(0.1, 3 * turned.standard_error),
            "what counts is how many units share a mode, not how many there are",
        ),
    )
    extra = {"line": line, "shares": shares, "widths": widths, "gathered": (some, gathered)}
    return checks, extra


def _draw(shown):
    figure, (where, why) = sheet(columns=2, height=4.6, width=11.5)
    extra = shown.extra
    strengths, widths = extra["line"].T
    constant = np.exp(np.mean(np.log(strengths / (widths + 2))))
    at = np.geomspace(extra["widths"][0], extra["widths"][-1], 30)
    where.plot(widths, strengths, MARKERS[0], color=COLORS[0], label="measured")
    where.plot(at, constant * (at + 2), color=COLORS[1], label="slope of h + 2, predicted")
    where.plot(at, constant * at, ":", color="#333333", label="of h alone")
    where.set(
        xscale="log",
        yscale="log",
        xlabel="width, h [units]",
        ylabel=f"strength at which linear theory is off by {TOLERANCE:.0%},\nover (3, 2, 1) [1]",
    )
    where.legend(loc="upper left")
    shares = np.array(SHARES)
    for look, (width, errors) in enumerate(
        zip((extra["widths"][0], extra["widths"][-1]), extra["shares"], strict=True)
    ):
        bars = errors.std(1, ddof=1) / np.sqrt(SEEDS)
        why.errorbar(
            shares * 1.05 ** (2 * look - 1),
            errors.mean(1),
            bars,
            fmt=MARKERS[look],
            color=COLORS[look],
            label=f"h = {width}",
        )
    small = extra["shares"][:, 0].mean()
    why.plot(shares, shares / shares[0] * small, color="#333333", linewidth=1, label="slope 1")
    some, gathered = extra["gathered"]
    words = f"six of {some[0]} to {some[-1]}"
    alone = {"marker": "^", "linestyle": "", "color": "#333333", "markerfacecolor": "none"}
    why.plot(0.1 / (some + 2), gathered.mean(1), label=words, **alone)
    why.set(
        xscale="log",
        yscale="log",
        xlabel="strength over units, s/(h + 2) [1]",
        ylabel="error of linear theory on the loss [1]",
        ylim=(1e-3, 1.0),
    )
    why.legend(title="modes on units", loc="lower right")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Linear theory of a tanh network holds up to a strength of the targets that grows with the"
        " units which share a mode: s ~ h + 2 from aligned starts"
    ),
    source="Saxe, McClelland & Ganguli 2014 for the linear theory",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=3)),
    theories=(Decoupled(),),
    reason=STEPS,
    twin={"architecture.hidden": (64,), "clock": {"steps": 300, "marks": 16}},
    verify=_verify,
    draw=_draw,
)
