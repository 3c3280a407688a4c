"""What every theory promises: predictions without running, and the conditions under which they
hold."""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from learnmech.errors import Refused, refused, unwritten
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.language.parts import Part
from learnmech.losses import Squared
from learnmech.losses.classes import CrossEntropy
from learnmech.machine.late import late

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


class Condition(NamedTuple):
    """What a theory needs: a claim, the value found, the bound it is held against, and whether it
    holds.

    `seen`, where given, decides it from the record instead (a Dataset of what was seen): -> (value,
    holds), holds None where the record does not tell. One that is not `decided` does not hold, and
    nothing is known to be wrong either: no theory fails on its account, and none is outside its
    domain. `fact` is what an experiment is in this respect, of `simplifications.facts.FACTS`, and
    `wants` the values at which it may hold: by these a path to the domain is looked for.
    """

    claim: str
    value: float | str
    bound: float | str
    holds: bool
    seen: "Callable[[xr.Dataset], tuple[float | str, bool | None]] | None" = None
    decided: bool = True
    fact: str = ""
    wants: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """It in one line: the claim, and what was found (bound ...)."""
        return f"{self.claim}: {_short(self.value)} (bound {_short(self.bound)})"

    def settled(self) -> "Condition":
        """Itself; undecided, and not holding, where the value or the bound is no number, or
        where nothing decides it."""
        if self.holds is None or any(
            isinstance(x, (float, np.floating)) and math.isnan(x) for x in (self.value, self.bound)
        ):
            return self._replace(holds=False, decided=False)
        return self._replace(holds=bool(self.holds))


def _short(value) -> str:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


class Limit(NamedTuple):
    """A theory that is a limit: error ~ knob^order along a knob (a dotted path,
    `architecture.width` for every hidden width).

    A positive order: exact as the knob -> 0. A negative order: exact as it -> infinity (a width,
    -1/2); a limit in the width holds on average over seeds. `bound`: the order is that of a bound,
    so the error vanishes at least as fast. `quantity`: whose error it is (None: the loss, or the
    first predicted).
    """

    knob: str
    order: float
    bound: bool = False
    quantity: str | None = None


class Theory(Part):
    """Names of quantities it predicts, its source, its domain, and the predictions. Subclasses give
    all four.

    `predicts` may name families of quantities, as in `layer*.weight`. `tolerance` is the largest
    relative error at which a comparison says that the theory holds. A theory `over_seeds` speaks of
    the mean over many runs, and its tolerance is in standard errors; it is a mean over what the
    rule draws `from_start`, or over the starts too. A `limit` is held to its order. One `of_events`
    speaks of runs that are changed on the way. A `dear` one takes as long to predict as a run
    takes: it is not asked where one of its conditions fails. One `of_ids` speaks of samples of any
    kind; others of vectors of real numbers alone. One `of_fresh` speaks of steps that see samples
    which no step saw, and of these alone.
    """

    source: ClassVar[str]
    predicts: ClassVar[tuple[str, ...]]
    limits: ClassVar[tuple[Limit, ...]] = ()
    over_seeds: ClassVar[bool] = False
    from_start: ClassVar[bool] = True
    of_events: ClassVar[bool] = False
    dear: ClassVar[bool] = False
    of_ids: ClassVar[bool] = False
    of_fresh: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1e-6

    def domain(self, start: Start) -> Iterable[Condition]:
        """The conditions of validity, decided at the start wherever possible: all that are
        `known`, and where those hold what is `further` needed, up to the first that fails. A
        theory whose conditions cost nothing gives them here; one of which some are dear gives
        `known` and `further` instead."""
        known = tuple(self.known(start))
        if not all(condition.holds for condition in known):
            return known
        return (*known, *_up_to_the_first(self.further(start)))

    def known(self, start: Start) -> Iterable[Condition]:
        """The conditions that are known at once, from what the experiment is."""
        raise unwritten(self, "known")

    def further(self, start: Start) -> Iterable[Condition]:
        """Those that take work (an eigenvalue, a kernel, a whole course), each asked only where
        all before it hold: `yield` them, the cheapest first, or a tuple of those that one piece
        of work decides."""
        return ()

    def conditions(self, start: Start) -> tuple[Condition, ...]:
        """Its domain; that it speaks of the events on the way, and that no step draws a network of
        its own. These come before what is `further` needed.

        This never raises: a refusal within, or an arithmetic surprise, is a condition that does not
        hold, and says so.
        """
        if not (self.of_ids or start.data.of_vectors):
            return (
                Condition(
                    "inputs and targets are vectors of real numbers",
                    start.data.said_of_spaces,
                    "vectors",
                    False,
                ),
            )
        count = len(start.experiment.events)
        undisturbed = (
            (Condition("nothing is changed on the way (events)", count, 0, False),)
            if count and not self.of_events
            else ()
        )
        network = start.system.architecture
        same = (
            (
                Condition(
                    "every step sees the same network (no dropout)",
                    repr(network),
                    "no dropout",
                    False,
                    fact="deterministic",
                    wants=("yes",),
                ),
            )
            if network.stochastic
            else ()
        )
        fresh = (
            (Condition("steps come back to the training samples", "fresh", "not fresh", False),)
            if sees_fresh(start) and not self.of_fresh
            else ()
        )
        whole = type(self).domain is not Theory.domain
        known = (
            *_asked(lambda: self.domain(start) if whole else self.known(start)),
            *undisturbed,
            *same,
            *fresh,
            *self._by_gradients(start),
        )
        if whole or not all(condition.holds for condition in known):
            return known
        return (*known, *_asked(lambda: _up_to_the_first(self.further(start))))

    def _by_gradients(self, start):
        """Of what running statistics decide, the outputs on test inputs and the statistics
        themselves, no theory speaks."""
        momentum = start.system.architecture.running_momentum
        if momentum is None or not {"test_loss", "test_outputs", "layer*"} & set(self.predicts):
            return ()
        return (
            Condition(
                "gradients move everything (no running statistics)",
                f"running_momentum={float(momentum):g}",
                "none kept",
                False,
            ),
        )

    def predict(self, start: Start, clock: Clock | None = None) -> "xr.Dataset":
        """The quantities at the clock's marks (None: the experiment's own), without running.
        Refuses a start it cannot speak of."""
        raise unwritten(self, "predict")

    def beside(self, seen: "xr.DataArray") -> "xr.DataArray":
        """What of a reading along a run is laid beside the prediction: the reading itself; a
        theory of averages over time takes them here."""
        return seen


def _up_to_the_first(conditions: Iterable[Condition]) -> Iterable[Condition]:
    """The conditions up to the first that does not hold: those behind it are not asked. Those
    that come as a group are decided together."""
    for one in conditions:
        group = (one,) if isinstance(one, Condition) else tuple(one)
        yield from group
        if not all(each.settled().holds for each in group):
            return


def _asked(ask: Callable[[], Iterable[Condition]]) -> tuple[Condition, ...]:
    """The conditions as they come, each settled; what is raised on the way is one more, that
    does not hold."""
    found: list[Condition] = []
    try:
        with np.errstate(all="ignore"):  # what comes of it, a NaN, is said as undecided
            for one in ask():
                found.append(one.settled())
    except Refused as refusal:
        found.append(
            Condition("what its conditions look at can be had here", str(refusal), "so", False)
        )
    # one theory never ends the others; what is not a refusal is told by its own name, since it may
    # be a fault of ours
    except Exception as surprise:
        said = (
            f"could not be decided here: {type(surprise).__name__}:"
            f" {' '.join(str(surprise).split())}"
        )
        found.append(
            Condition("its conditions can be decided here", said, "so", False, decided=False)
        )
    return tuple(found)


def predict(
    experiment: Experiment | Start, theory: Theory, clock: Clock | None = None
) -> "xr.Dataset":
    """What a theory says of an experiment, without running it."""
    return theory.predict(
        experiment if isinstance(experiment, Start) else prepare(experiment), clock
    )


def linear_network(start: Start) -> Condition:
    """The condition of a network linear in its inputs."""
    linear = start.system.architecture.is_linear
    return Condition(
        "the network is linear in its inputs",
        type(start.system.architecture).__name__,
        "linear",
        linear,
        fact="linear-in-inputs",
        wants=("yes",),
    )


def squared_loss(start: Start) -> Condition:
    """The condition of a squared loss without weights on the samples."""
    loss, view = start.experiment.loss, start.data.train
    plain = isinstance(loss, Squared) and view.weight is None
    return Condition(
        "the loss is squared, every error counting the same",
        type(loss).__name__,
        "Squared",
        plain,
        fact="loss-kind",
        wants=("squared",),
    )


def cross_entropy(start: Start) -> Condition:
    """The condition of cross-entropy without weights on the samples."""
    loss, view = start.experiment.loss, start.data.train
    return Condition(
        "the loss is cross-entropy, every error counting the same",
        type(loss).__name__,
        "CrossEntropy",
        isinstance(loss, CrossEntropy) and view.weight is None,
        fact="loss-kind",
        wants=("classes",),
    )


def sees_fresh(start: Start) -> bool:
    """Whether every step sees samples that no step saw."""
    return getattr(start.rule, "sampling", "").startswith("fresh")


def fresh_batches(start: Start) -> Condition:
    """The condition of batches drawn anew from a population at every step."""
    found = getattr(start.rule, "sampling", "none")
    return Condition("every step sees samples that no step saw", found, "fresh", sees_fresh(start))


def mean_loss(start: Start) -> Condition:
    """The condition of a loss that is a mean over samples, as a population has one."""
    loss = start.experiment.loss
    return Condition(
        "the loss is a mean over samples",
        getattr(loss, "scaling", "none"),
        "half-mean or mean",
        bool(loss.is_mean),
    )


def ridge_of(start: Start) -> float:
    """The ridge of the loss, 0 where there is none."""
    return float(getattr(start.experiment.loss, "ridge", None) or 0.0)


def no_ridge(start: Start) -> Condition:
    """The condition of no ridge in the loss."""
    ridge = ridge_of(start)
    return Condition("no ridge in the loss", ridge, 0.0, ridge == 0)


def rule_is(start: Start, *kinds: type) -> Condition:
    """The condition of one of these learning rules, at a constant rate, without decay or
    clipping."""
    names = " or ".join(kind.__name__ for kind in kinds)
    plain = start.rule.flows or start.rule.plain
    found = (
        type(start.rule).__name__
        if plain
        else f"{type(start.rule).__name__} with a schedule, decay or clipping"
    )
    holds = plain and isinstance(start.rule, kinds)
    fact, wants = _of_rule(start, kinds)
    return Condition(f"the rule is {names}", found, names, holds, fact=fact, wants=wants)


def _of_rule(start: Start, kinds: tuple[type, ...]) -> tuple[str, tuple[str, ...]]:
    """(the fact by which a rule is not one of these kinds, what it should be): its rate, its
    batches, or what it does with the gradient, in this order."""
    rule = start.rule
    if not (rule.flows or rule.plain):
        return "plain-rate", ("yes",)
    if getattr(rule, "batch", 0) and not any(issubclass(type(rule), kind) for kind in kinds):
        return "all-samples", ("yes",)
    flows = any(getattr(kind, "flows", False) for kind in kinds)
    descends = any(kind.__name__ in ("GradientDescent", "SGD") for kind in kinds)
    return "rule-kind", (*("descent",) * descends, *("flow",) * flows)


def resolved(start: Start, tolerance: float) -> float:
    """A bound on what should be 0, no finer than a hundred times the round-off of the
    experiment's precision."""
    return max(tolerance, 100 * float(np.finfo(start.experiment.precision).eps))


def whitened_inputs(start: Start) -> Condition:
    """The condition S_xx = I, by the largest entry of the difference."""
    X = np.asarray(start.data.train.X)
    off = float(np.abs(X.T @ X / len(X) - np.eye(X.shape[1])).max())
    claim = "inputs are whitened, S_xx = I"
    return Condition(claim, off, 1e-6, off <= 1e-6, fact="inputs", wants=("whitened",))


def constant(start: Start) -> float:
    """c of the squared loss on the training set: loss = c sum_i |f_i - y_i|^2."""
    return start.experiment.loss.constant(start.data.train.X.shape[0])


def time_factor(start: Start) -> float:
    """2 c n: what multiplies t (and the rate) in formulas written for c = 1/(2n)."""
    return 2 * constant(start) * start.data.train.X.shape[0]


def need(theory: Theory, start: Start, *conditions: Condition) -> None:
    """Refuse to predict where a condition without which the formulas have no meaning fails."""
    for condition in map(Condition.settled, conditions):
        if not condition.holds:
            # a claim may be a sentence or the name of a thing: quoted it reads right as either
            needed = f'its condition "{condition.claim}" to hold'
            got = f"{_short(condition.value)} (bound {_short(condition.bound)})"
            remedy = (
                "Change the experiment until it does, or choose a theory that applies: `learnmech"
                " theories` lists them"
            )
            raise refused(type(theory).__name__, needed, got, remedy)
