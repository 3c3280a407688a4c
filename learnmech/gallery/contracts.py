"""Contracts: what every part promises, put to the test on a user's own parts."""

import dataclasses
import fnmatch
import tempfile

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import ON_AVERAGE, approach, judged, measured_order, quantity_of
from learnmech.comparison.readers import watching
from learnmech.comparison.verdicts import compare
from learnmech.data.base import Data
from learnmech.errors import refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare, stream_of
from learnmech.gallery.trials import (
    gradient_error,
    mapped_by,
    numbers_of_none,
    priced_by,
    tiny,
    turned_off_in,
    visible_to,
)
from learnmech.initial.base import InitialCondition
from learnmech.instruments.base import Instrument
from learnmech.instruments.losses import Loss
from learnmech.interventions.base import Intervention
from learnmech.language import catalog, text
from learnmech.language.parts import Part
from learnmech.language.quantity import exponent
from learnmech.losses import Loss as LossFunction
from learnmech.losses import Squared
from learnmech.rules.base import Rule
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import fork, run
from learnmech.simplifications.base import Simplification
from learnmech.simplifications.facts import FACTS, facts_of
from learnmech.sweeps import compare_means, sweep
from learnmech.theories.base import Theory

# The seeds of a mean, whose bounds are in their errors.
MEAN_SEEDS = 200


def _exact(claim: str, holds: bool) -> Check:
    return Check(claim, float(holds), 1.0, 0.0, "holds or does not")


def of_file(path: str) -> dict[str, tuple[Check, ...]]:
    """{part: checks} for every part in a user's file."""
    found = catalog.add_source(path)
    if not found:
        raise refused(
            "check",
            "parts of learnmech's families in the file",
            f"none in {path}",
            "Subclass Architecture, Data, Rule, Instrument or Theory",
        )
    return {f"{member.family}: {member.kind}": of_part(member) for member in found}


def of_part(member: catalog.Member) -> tuple[Check, ...]:
    """What the member's family promises, on its example."""
    cls = catalog.load(member)
    by_family = {
        "architectures": _architecture,
        "data": _data,
        "initial": _initial,
        "losses": _loss,
        "rules": _rule,
        "instruments": _instrument,
        "theories": lambda experiment: _theory(cls, experiment),
        "interventions": _intervention,
        "simplifications": _simplification,
        "scalings": lambda scaling: (),
        "schedules": lambda schedule: (),
    }
    example = cls.example()
    part = example if member.family != "theories" else cls()
    written = text.table_of(part)
    base = {
        "theories": Theory,
        "architectures": Architecture,
        "data": Data,
        "initial": InitialCondition,
    }
    base |= {
        "losses": LossFunction,
        "rules": Rule,
        "instruments": Instrument,
        "interventions": Intervention,
        "simplifications": Simplification,
    }
    family = base.get(member.family, Part)
    same = family is Part or text.to_text(text.part_of(family, written))[0] == text.to_text(part)[0]
    first = (
        _exact("has a first line for the catalogue", bool(member.summary)),
        _exact("text -> value -> text is the identity", same),
    )
    return first + tuple(by_family[member.family](example))


DIFFERENCES = (
    "central differences of step 1e-5 in float64 are good to about 1e-10 of the loss over the step,"
    " 1e-6 with a margin for curvature"
)


def _architecture(example):
    experiment = mapped_by(example)
    start = prepare(experiment)
    outputs = start.system.outputs(start.state.params, start.system.train.X)
    yield _exact(
        "forward gives outputs of the shape that the targets ask for",
        outputs.shape[1:] == start.data.spaces[1].scores.shape,
    )
    yield _exact("forward gives finite outputs", bool(jnp.isfinite(outputs).all()))
    seen = start.system.architecture.signals(start.state.params, start.system.train.X)
    yield _exact("every signal passes through tap, the outputs as `output`", "output" in seen)
    if example.is_linear:
        map_error = jnp.abs(
            outputs - start.system.train.X @ example.matrix(start.state.params).T
        ).max()
        yield Check(
            "matrix(params) is the map that forward applies",
            float(map_error),
            0.0,
            1e-12,
            "round-off of a few products in float64",
        )
    yield Check(
        "the gradient is that of the loss", gradient_error(experiment), 0.0, 1e-6, DIFFERENCES
    )


def _data(example):
    one, two = (example.draw(stream_of(example.seed, "data")) for _ in range(2))
    yield _exact(
        "the same seed draws the same samples",
        np.array_equal(one.train.X, two.train.X) and np.array_equal(one.train.Y, two.train.Y),
    )
    if one.of_vectors:
        yield _exact(
            "X is (n, d), Y is (n, k), float64",
            one.train.X.ndim == one.train.Y.ndim == 2
            and len(one.train.X) == len(one.train.Y)
            and one.train.X.dtype == np.float64,
        )
    for space, values in zip(one.spaces, (one.train.X, one.train.Y), strict=True):
        space.check(type(example).__name__, "samples", values)
    yield _exact(
        "all samples are finite",
        bool(np.isfinite(one.train.X).all() and np.isfinite(one.train.Y).all()),
    )


def _initial(example):
    one, two = (prepare(tiny(initial=example)).params for _ in range(2))
    yield _exact("the same seed draws the same start", bool(eqx.tree_equal(one, two)))


def _loss(example):
    yield Check(
        "the gradient is that of the loss",
        gradient_error(priced_by(example)),
        0.0,
        1e-6,
        DIFFERENCES,
    )


def _rule(example):
    clock = Clock(time=1.0, marks=5) if example.flows else Clock(steps=20, marks=5)
    once, twice = (run(tiny(rule=example, clock=clock)) for _ in range(2))
    yield _exact(
        "two runs end in the same bits",
        all(np.array_equal(once.final[p], twice.final[p]) for p in once.final),
    )
    yield Check(
        "the loss goes down on a small problem",
        float(once["loss"][-1]),
        float(once["loss"][0]),
        0.0,
        "a learning rule learns",
        "below",
    )


def _intervention(example):
    plain = tiny()
    bare, touched = run(plain), run(dataclasses.replace(plain, events=(example,)))
    before, behind = int(float(example.at)) - 1, int(float(example.at)) + 2
    yield _exact(
        "nothing moves before its step", bool(eqx.tree_equal(bare.at(before), touched.at(before)))
    )
    twin = fork(bare, before, (example,))
    yield _exact(
        "a fork is the run from the start, to the bit",
        all(np.array_equal(twin.final[p], touched.final[p]) for p in twin.final),
    )
    yield _exact(
        "a state behind it is replayed to the bit",
        bool(eqx.tree_equal(twin.at(behind), touched.at(behind))),
    )


def _instrument(example):
    plain = visible_to(example)
    watch = (example,) if isinstance(example, Loss) else (Loss(), example)
    bare, watched = run(plain), run(plain, watch=watch)
    yield _exact(
        "watching does not move the learner by a bit",
        all(np.array_equal(bare.final[p], watched.final[p]) for p in bare.final),
    )
    start = prepare(plain)
    for quantity in example.quantities(start.system, start.state.params):
        seen = watched[quantity.name]
        labels = dict(quantity.labels)
        shaped = seen.ndim == len(quantity.axes) + 1 and all(
            seen.sizes[axis] == len(labels[axis]) for axis in labels
        )
        yield _exact(f"{quantity.name} has its axes {quantity.axes}", shaped)
        yield _exact(f"{quantity.name} is finite", bool(np.isfinite(seen).all()))
        yield _exact(
            f"{quantity.name} says its units, symbol and meaning", all(quantity.attributes.values())
        )
    yield _exact(
        "what it reads of a state that is no number is none either (arrays are shown as they are)",
        not numbers_of_none(start, watch, example),
    )
    if not isinstance(example, Loss):
        half = GradientDescent(rate=float(plain.rule.rate) / 2)
        doubled = run(
            dataclasses.replace(plain, loss=Squared(scaling="mean"), rule=half), watch=(example,)
        )
        for quantity in example.quantities(start.system, start.state.params):
            power = 2.0 ** exponent(quantity.units, "loss")
            gap = np.abs(
                doubled[quantity.name].values - power * watched[quantity.name].values
            ).max()
            size = np.abs(watched[quantity.name].values).max() or 1.0
            yield Check(
                f"{quantity.name} scales with the loss as its units say",
                float(gap / size),
                0.0,
                1e-9,
                "round-off over 20 steps in float64",
            )


def _simplification(example):
    known = {fact: set(values) for fact, values in FACTS.items()}
    named = {fact: set(values) for fact, values in example.needs.items()}
    named |= {fact: {value} | named.get(fact, set()) for fact, value in example.turns.items()}
    yield _exact(
        "needs and turns facts of the closed list",
        all(values <= known.get(fact, set()) for fact, values in named.items()),
    )
    full, lacking = turned_off_in(example)
    yield _exact("says why it does not apply where it does not", all(lacking))
    start = prepare(full)
    rung = prepare(example.apply(start))
    found = facts_of(rung)
    yield _exact(
        "turns what it says", all(found[fact] == value for fact, value in example.turns.items())
    )
    yield _exact(
        "applied twice it is the same experiment as once",
        example.apply(rung).fingerprint == rung.experiment.fingerprint,
    )
    with tempfile.TemporaryDirectory() as folder:
        read = Experiment.load(rung.experiment.save(folder))
    yield _exact(
        "the simpler experiment is read back from its text",
        read.fingerprint == rung.experiment.fingerprint,
    )
    # written in another way the same function is off by round-offs of the precision it is in
    least = 100 * float(np.finfo(full.precision).eps)
    for name, measured in example.keeps.items():
        before, after = measured(start), measured(rung)
        yield Check(
            f"keeps {name}",
            float(np.abs(after - before).max()),
            0.0,
            max(1e-12, least) * float(np.abs(before).max()),
            "round-off of a few products",
        )
    ended = run(rung, (Loss(),))
    yield _exact("the simpler experiment runs", bool(np.isfinite(ended["loss"]).all()))


def _theory(cls, experiment):
    theory = cls()
    start = prepare(experiment)
    said = theory.predict(start)
    yield _exact("names its source", bool(theory.source))
    yield _exact(
        "predicts what it says it predicts",
        all(any(fnmatch.fnmatch(str(q), name) for name in theory.predicts) for q in said.data_vars),
    )
    yield _exact(
        "every condition holds on its own example",
        all(c.holds for c in theory.conditions(start) if c.seen is None),
    )
    if theory.limits and not theory.over_seeds:
        for limit in theory.limits:
            yield from _limit(experiment, theory, limit)
        return
    if theory.over_seeds:
        laid = compare_means(
            experiment, sweep(experiment, {}, MEAN_SEEDS, watching((theory,), start)), theory
        )
    else:
        laid = compare(run(start, watching((theory,), start)), theory)
    for row in laid.rows:
        yield Check(
            f"{row.quantity} as measured",
            row.error,
            0.0,
            row.tolerance,
            f"the tolerance of {cls.__name__}",
        )


def _limit(experiment, theory, limit):
    seeds = ON_AVERAGE if limit.order < 0 else None
    quantity = limit.quantity or quantity_of(theory)
    found = measured_order(
        experiment,
        theory,
        limit.knob,
        approach(experiment, limit.knob, limit.order),
        quantity,
        seeds,
    )
    said = f"the error of {quantity} goes as {limit.knob}^{limit.order:g}"
    verdict = judged(found, limit)
    reason = "the next order of the limit over a range of 10, or three standard errors"
    if limit.bound:
        edge = limit.order - np.sign(limit.order) * verdict.allowed
        yield Check(
            f"{said} at least",
            found.slope,
            edge,
            0.0,
            reason,
            "above" if limit.order > 0 else "below",
        )
    else:
        yield Check(said, found.slope, limit.order, verdict.allowed / abs(limit.order), reason)
    yield _exact(
        f"{said}, nearest the limit and over a factor of 10 too", verdict.verdict == "holds"
    )
