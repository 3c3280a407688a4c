"""Twins: two runs that differ in what was done to one of them, and how far they are apart, layer
by layer, over time."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.errors import refused
from learnmech.experiment.clock import Marks
from learnmech.experiment.tables import table
from learnmech.language import trees
from learnmech.language.quantity import Quantity
from learnmech.machine.late import late
from learnmech.record.base import Record
from learnmech.record.given import recorded
from learnmech.record.replay import position_of, stages_at

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

# Marks that are compared unless others are asked for.
MARKS = 200


def twins(
    one: Record | str | Path, other: Record | str | Path, when: Iterable[float] | None = None
) -> "xr.Dataset":
    """How far two runs of one architecture are apart, at marks both have reached: at these steps
    (for flows times), or at up to 200 spread over all.

    Both are replayed. `weight_distance` and `gradient_distance` (layer) are Euclidean, of
    parameters w_l and of the gradient of each run's own training loss; `signal_distance` (signal)
    and `function_distance` are root mean squares over the training inputs of the first run of the
    Euclidean distance of pre- and post-activations, and of outputs. `distance` d is that of all
    parameters, and `weight_share` (layer) how much of d^2 is in each layer: where the perturbation
    is. `growth_rate` is the finite-time Lyapunov exponent ln(d(t)/d(t_0))/(t - t_0) since the first
    of these marks at which they are apart, per step (for flows per time), NaN before.
    """
    one, other = recorded("twins", one), recorded("twins", other)
    _check(one, other)
    positions = _positions(one, other, when)
    seen = []
    for (here, state), (there, twin) in zip(
        stages_at(one, positions), stages_at(other, positions), strict=True
    ):
        seen.append(
            jax.tree.map(np.asarray, _apart(here.system, state.params, there.system, twin.params))
        )
    values = {name: np.stack([at[name] for at in seen]) for name in seen[0]}
    timeline = one.timeline
    marks = Marks(
        np.array([timeline.time_at(position) for position in positions]),
        None if timeline.flows else np.asarray(positions),
    )
    values["growth_rate"] = _growth(
        values["distance"], marks.times if timeline.flows else np.asarray(positions, np.float64)
    )
    return table(
        _quantities(
            tuple(trees.layers_of(timeline.start.state.params)), _signals(one), timeline.flows
        ),
        values,
        marks,
    )


def _quantities(layers, signals, flows):
    layer, signal = (("layer", layers),), (("signal", signals),)
    return (
        Quantity("distance", (), "param", "|dw|", "distance of all parameters"),
        Quantity(
            "weight_distance",
            ("layer",),
            "param",
            "|dw_l|",
            "distance of the parameters of each layer",
            layer,
        ),
        Quantity(
            "weight_share",
            ("layer",),
            "1",
            "|dw_l|^2/|dw|^2",
            "share of each layer in the squared distance",
            layer,
        ),
        Quantity(
            "gradient_distance",
            ("layer",),
            "loss/param",
            "|dg_l|",
            "distance of the gradient of each layer",
            layer,
        ),
        Quantity(
            "signal_distance", ("signal",), "1", "rms |dh|", "distance of each signal", signal
        ),
        Quantity("function_distance", (), "output", "rms |df|", "distance of the outputs"),
        Quantity(
            "growth_rate",
            (),
            "loss/param^2" if flows else "1/step",
            "ln(d/d_0)/(t - t_0)",
            "finite-time Lyapunov exponent",
        ),
    )


def _check(one, other):
    ours, theirs = one.timeline, other.timeline
    shapes = [
        [
            (path, np.shape(leaf))
            for path, leaf in trees.leaves_by_path(timeline.start.state.params).items()
        ]
        for timeline in (ours, theirs)
    ]
    if shapes[0] != shapes[1]:
        raise refused(
            "twins",
            "two runs of one architecture",
            "parameters of other names or shapes",
            "Compare a run with its fork",
        )
    if ours.flows != theirs.flows:
        raise refused(
            "twins",
            "two runs that both step or both flow",
            "one of each",
            "Compare a run with its fork",
        )


def _positions(one, other, when):
    ours, theirs = one.timeline, other.timeline
    if when is not None:
        positions = sorted(
            {position_of(record, at) for at in np.atleast_1d(when) for record in (one, other)}
        )
        if ours.flows and any(
            ours.time_at(position) != theirs.time_at(position) for position in positions
        ):
            raise refused(
                "twins", "times of marks that both have", f"{when}", "Run both on one clock"
            )
        return positions
    begun = max(int((r.provenance.get("parent") or {}).get("place", 0)) for r in (one, other))
    reached = min(one.position, other.position)
    common = [
        int(p) for p in np.intersect1d(ours.positions, theirs.positions) if begun <= p <= reached
    ]
    if ours.flows:
        common = [
            position for position in common if ours.time_at(position) == theirs.time_at(position)
        ]
    if not common:
        raise refused(
            "twins",
            "marks that both have reached",
            "none",
            "Run both on one clock, or say at which steps",
        )
    return [
        common[i]
        for i in np.unique(
            np.linspace(0, len(common) - 1, min(len(common), MARKS)).round().astype(int)
        )
    ]


def _signals(record):
    start = record.start
    return _forward(
        start.system.architecture.signal_shapes(start.state.params, start.system.train.X)
    )


def _forward(names):
    """The signals but the outputs, as they follow each other: layer1.pre, layer1.post,
    layer2.pre, ..."""
    return tuple(
        sorted(
            (name for name in names if name != "output"),
            key=lambda name: trees.natural(name.replace(".pre", ".in")),
        )
    )


@eqx.filter_jit
def _apart(system, params, other_system, other):
    layers = trees.layers_of(params)
    moved = system.architecture.learned(trees.subtract(other, params))
    slopes = [s.value_and_gradient(p)[1] for s, p in ((system, params), (other_system, other))]
    turned = trees.subtract(slopes[1], slopes[0])
    here, there = (
        s.architecture.signals(p, system.train.X)
        for s, p in ((system, params), (other_system, other))
    )
    weights = jnp.stack([trees.norm(moved[layer]) for layer in layers])
    total = jnp.sqrt(jnp.sum(weights**2))
    return {
        "distance": total,
        "weight_distance": weights,
        "weight_share": jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), jnp.nan)
        ** 2,
        "gradient_distance": jnp.stack([trees.norm(turned[layer]) for layer in layers]),
        "signal_distance": jnp.array(
            [
                _rms(there[name] - here[name]) if name in there else jnp.nan * total
                for name in _forward(here)
            ],
            total.dtype,
        ),
        "function_distance": _rms(there["output"] - here["output"]),
    }


def _rms(x):
    return jnp.sqrt(jnp.mean(jnp.sum(x * x, axis=-1)))


def _growth(distance, at):
    apart = np.flatnonzero(distance > 0)
    rate = np.full(len(distance), np.nan)
    if len(apart):
        first = apart[0]
        with np.errstate(divide="ignore"):
            rate[first + 1 :] = np.log(distance[first + 1 :] / distance[first]) / (
                at[first + 1 :] - at[first]
            )
    return rate
