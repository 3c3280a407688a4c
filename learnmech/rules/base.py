"""What every learning rule promises: a step from the gradient, or a velocity."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PyTree

from learnmech.architectures.base import refuse_running
from learnmech.errors import refused, unwritten
from learnmech.language.faults import unfit
from learnmech.language.parts import Knob, Part, knob, part, structure
from learnmech.language.trees import Array, Params, fitting, kind_of
from learnmech.machine.late import late
from learnmech.rules import batches
from learnmech.rules.recurrence import Recurrence
from learnmech.rules.schedules import Constant, Factors, Schedule, Steps, asked
from learnmech.system.landscape import System
from learnmech.system.state import State

if TYPE_CHECKING:
    import diffrax
    import optax
else:
    diffrax = late("diffrax")
    optax = late("optax")


ADDED = "what is added to each of the parameters"


class Rule(Part):
    """How parameters move. A rule that flows gives `velocity`; one that steps gives `init` and
    `update`.

    A kind of rule says once what it is, and theories ask it: its `recurrence`, from which the edge
    of stability follows; whether it `divides` the gradient by sizes that its memory holds; its
    `limit`; and in `averages` the knobs that are shares it keeps of what it remembers.
    """

    flows: ClassVar[bool] = False
    family: ClassVar[str] = "sgd"
    divides: ClassVar[bool] = False
    averages: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Which knobs one has is for its kind to say: of what may be any kind a checker lets
            every name pass."""

    def init(self, params: Params) -> PyTree:
        """The memory of a rule that has seen nothing."""
        return ()

    def begin(self, system: System, params: Params) -> PyTree:
        """The memory at t = 0 of a run, for a rule to which it is not the same wherever the run
        starts."""
        return self.init(params)

    def check(self, system: System) -> None:
        """Refuse a system this rule cannot move."""

    @property
    def recurrence(self) -> Recurrence | None:
        """What this rule does with the gradient; its edge and its limit follow from it.

        None where its steps do not shrink with the gradient (sign descent, Lion, Muon, spectral
        descent): no rate makes them stable and none is the first that does not; they end in a
        flutter of the size of the rate.
        """
        return None

    def edge(self, top: float) -> tuple[str, float] | None:
        """(in words, in numbers) the rate above which this rule diverges on a quadratic of top
        curvature `top`; None where no such rate is known."""
        known = None if self.divides else self.recurrence
        return None if known is None else (known.said("sharpness"), known.threshold / top)

    def limit(self) -> "tuple[FlowRule, float] | None":
        """(the flow that this rule becomes as its rate vanishes, how many times faster than t);
        None where it becomes none."""
        return None


class SteppingRule(Rule):
    """A rule with a base rate; t is the sum of the rates, step * rate where it is constant. The
    scaling's factors multiply each layer's update.

    `schedule` is a factor on the whole step. `clip` bounds the norm of the whole gradient before
    the rule sees it. Weight decay subtracts rate * decay * params from each step, or where
    `coupled` adds decay * params to the gradient that the rule sees.

    Decay beside the step is free of the scaling's factors, so that one tuned at a width holds at
    every other: every weight loses the same share of itself, as in Yang et al. 2022 (in their code,
    decay is multiplied by the width where the rate is divided by it) and as under one rate for all.
    With `decay_scaled` a layer loses factor * rate * decay, as in PyTorch where a group with a rate
    of its own keeps the decay of the others.
    """

    rate: Knob = knob(
        default=0.1, above=0, meaning="base rate: what the update is multiplied by, in param²/loss"
    )
    schedule: Schedule = part(
        default=Constant(),
        kw_only=True,
        meaning="factor on the whole step, as a function of the step count",
    )
    decay: Knob | None = knob(
        default=None,
        at_least=0,
        kw_only=True,
        meaning="weight decay: each step also subtracts rate * decay * params",
    )
    coupled: bool = structure(
        default=False,
        kw_only=True,
        meaning=(
            "whether decay * params is added to the gradient instead, as an L2 penalty would be"
        ),
    )
    clip: Knob | None = knob(
        default=None,
        above=0,
        kw_only=True,
        meaning=(
            "the most that the norm of the whole gradient may be; a longer one is shortened to it"
        ),
    )
    decay_scaled: bool = structure(
        default=False,
        kw_only=True,
        since="0.5",
        meaning="whether the scaling's factor on a layer's rate multiplies its decay too",
    )

    def coherent(self):
        if self.coupled and self.decay_scaled:
            remedy = "Drop decay_scaled: what is coupled is scaled as the gradient is"
            raise refused(type(self).__name__, "one of coupled and decay_scaled", "both", remedy)

    def fading(self, factor: float | None = 1.0) -> float:
        """What decay takes off weights of this factor on their rate, per unit of time and of
        themselves; NaN where the factor is none and would count."""
        decay = 0.0 if self.decay is None else float(self.decay)
        return (
            decay * (math.nan if factor is None else factor)
            if decay and (self.coupled or self.decay_scaled)
            else decay
        )

    def elapsed(self, step: Steps, since: Steps = 0) -> Factors:
        """The time from one step to another: the sum of the rates between them."""
        from_start, before = (asked(self.schedule, "total", one) for one in (step, since))
        return (from_start - before) * self.rate

    @property
    def plain(self) -> bool:
        """Whether the rate is constant, nothing decays and no gradient is clipped."""
        return isinstance(self.schedule, Constant) and self.decay is None and self.clip is None

    def view(self, system: System, state: State) -> System:
        """The landscape this step sees: all training samples unless the rule draws a batch."""
        return system

    def update(
        self, system: System, gradient: Params, memory: PyTree, params: Params
    ) -> tuple[Params, PyTree]:
        """(what is added to params, the new memory)."""
        raise unwritten(self, "update")

    def moved(self, system: System, gradient: Params, state: State) -> tuple[Params, PyTree]:
        """(what is added to params, the new memory) with clipping, decay and schedule: the step
        that is taken."""
        params = state.params
        if self.clip is not None:
            gradient, _ = optax.clip_by_global_norm(self.clip).update(gradient, optax.EmptyState())
        decay = self.decay
        if decay is not None and self.coupled:
            gradient = jax.tree.map(lambda g, p: g + decay * p, gradient, params)
        given = self.update(system, gradient, state.memory, params)
        if not (isinstance(given, (tuple, list)) and len(given) == 2):
            what = "(what is added to the parameters, the new memory)"
            raise unfit(self, "update", what, kind_of(given))
        update = fitting(self, "update", ADDED, given[0], params, spread=True)
        memory = fitting(self, "update", "a memory of the form before", given[1], state.memory)
        if decay is not None and not self.coupled:
            faded = jax.tree.map(lambda p: -self.rate * decay * p, params)
            faded = self.scaled(system, faded, params) if self.decay_scaled else faded
            update = jax.tree.map(jnp.add, update, faded)
        if not isinstance(self.schedule, Constant):
            factor = asked(self.schedule, "factor", state.step)
            update = jax.tree.map(lambda u: jnp.asarray(factor, u.dtype) * u, update)
        return update, memory

    def factors(self, system: System, params: Params) -> Params:
        """The rate factors of the architecture's scaling, an array for each of the parameters."""
        found = system.architecture.rate_factors(params, self.family)
        return jax.tree.map(lambda p, f: jnp.full_like(p, f), params, found)

    def preconditioner(self, system: System, memory: PyTree, params: Params) -> Params | None:
        """What multiplies the gradient in the step with the memory held fixed, weight by weight,
        beside the rate; None where the rule is of another form."""
        return None

    def scaled(self, system: System, updates: Params, params: Params) -> Params:
        """Updates times the rate factors of the architecture's scaling."""
        factors = system.architecture.rate_factors(params, self.family)
        return jax.tree.map(
            lambda u, f: (
                u if isinstance(f, (int, float)) and f == 1 else jnp.asarray(f, u.dtype) * u
            ),
            updates,
            factors,
        )


class BatchedRule(SteppingRule):
    """A stepping rule that may draw a batch each step.

    `batch` = 0 sees every sample. `sampling`: `replacement` draws independently, `subset` draws
    distinct samples anew each step, `epoch` goes through a fresh shuffle of all n once every n //
    batch steps (a remainder of n is left out of that epoch). `fresh` draws samples that no step saw
    before, from the population of a source that has one; the finite draw then is a probe.
    `fresh-gradient` draws the loss and the gradient of such a batch by their own law, given the
    weights: of linear networks on Gaussian inputs, in about d + 2B numbers where samples take B d.
    """

    batch: int = structure(
        default=0, at_least=0, kw_only=True, meaning="samples in a step's batch; 0: all of them"
    )
    sampling: str = structure(
        default="replacement",
        choices=("replacement", "subset", "epoch", "fresh", "fresh-gradient"),
        kw_only=True,
        meaning=(
            "how a batch is drawn: independently, distinct samples anew each step, along a"
            " shuffle of all, samples that no step saw before, or the gradient of such by its law"
        ),
    )

    def check(self, system):
        if self.fresh:
            batches.check(self, system)
            return
        n = system.train.X.shape[0]
        if self.batch > n:
            raise refused(
                type(self).__name__,
                f"a batch of at most n = {n} samples",
                self.batch,
                "Lower the batch, or draw more samples",
            )
        if self.batch:
            system.architecture.check(system.train.X[: self.batch])

    @property
    def fresh(self) -> bool:
        """Whether every step sees samples that no step saw."""
        return self.sampling.startswith("fresh")

    def view(self, system, state):
        if self.fresh:
            return batches.view(self, system, state)
        return system.at(self.indices(system.train.X.shape[0], state)) if self.batch else system

    def indices(self, n: int, state: State) -> Int[Array, " b"]:
        """The samples of this step, a function of the run's key and the step count alone."""
        if self.sampling == "epoch":
            per_epoch = n // self.batch
            epoch, place = state.step // per_epoch, state.step % per_epoch
            order = jax.random.permutation(jax.random.fold_in(state.key, epoch), n)
            return jax.lax.dynamic_slice(order, (place * self.batch,), (self.batch,))
        key = jax.random.fold_in(state.key, state.step)
        if self.sampling == "subset":
            return jax.random.choice(key, n, (self.batch,), replace=False)
        return jax.random.randint(key, (self.batch,), 0, n)


class OptaxRule(BatchedRule):
    """A rule whose memory and update are an Optax transformation's; subclasses give
    `transformation`."""

    def transformation(self) -> "optax.GradientTransformation":
        """The transformation at this rule's knobs."""
        raise unwritten(self, "transformation")

    def init(self, params):
        return self.transformation().init(params)

    def update(self, system, gradient, memory, params):
        updates, memory = self.transformation().update(gradient, memory, params)
        return self.scaled(system, updates, params), memory


class FlowRule(Rule):
    """A rule in continuous time: d(params)/dt = velocity, by an adaptive solver with error control
    between the clock's marks; subclasses give `velocity`.

    Dormand-Prince 8(7) or Tsitouras 5(4) (Diffrax) at relative and absolute tolerance per step. A
    relative tolerance below ten times the round-off of the precision is raised to it. Restarts at
    every mark of the clock. A span that would need more than `max_steps` steps leaves NaN, and the
    run says so.
    """

    flows: ClassVar[bool] = True
    rtol: Knob = knob(default=1e-8, above=0, meaning="the solver's relative tolerance, per step")
    atol: Knob = knob(
        default=1e-10,
        above=0,
        meaning="the solver's absolute tolerance, per step, in units of the parameters",
    )
    solver: str = structure(
        default="tsit5",
        choices=("tsit5", "dopri8"),
        meaning="method of Tsitouras, 5(4), or of Dormand and Prince, 8(7)",
    )
    max_steps: int = structure(
        default=100_000, at_least=1, meaning="the most steps of the solver between two marks"
    )

    def check(self, system):
        if system.architecture.stochastic:
            remedy = "Drop the dropout, or choose a rule that steps"
            raise refused(
                type(self).__name__,
                "a network that is the same at every moment",
                "one that draws anew at every step",
                remedy,
            )
        refuse_running(type(self).__name__, system.architecture)

    def velocity(self, system: System, params: Params, memory: PyTree = ()) -> Params:
        """d(params)/dt."""
        raise unwritten(self, "velocity")

    def velocities(self, system: System, params: Params, memory: PyTree) -> tuple[Params, PyTree]:
        """(d(params)/dt, d(memory)/dt), for a flow that has a memory."""
        raise unwritten(self, "velocities")

    def advance(
        self, system: System, state: State, span: Float[Array, ""]
    ) -> tuple[Params, PyTree, Bool[Array, ""]]:
        """(params and memory after `span`, whether the solver met its tolerance)."""
        dtype, remembers = (
            jax.tree.leaves(state.params)[0].dtype,
            bool(jax.tree.leaves(state.memory)),
        )

        def moving(t, y, args):
            return (
                fitting(self, "velocities", "a velocity of each", self.velocities(system, *y), y)
                if remembers
                else fitting(self, "velocity", "one of each parameter", self.velocity(system, y), y)
            )

        span, finest = span.astype(dtype), 10 * jnp.finfo(dtype).eps
        solver = {"tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8}[self.solver]()
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(moving),
            solver,
            t0=jnp.zeros_like(span),
            t1=span,
            dt0=None,
            y0=(state.params, state.memory) if remembers else state.params,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(
                rtol=jnp.maximum(self.rtol, finest), atol=self.atol
            ),
            max_steps=self.max_steps,
            throw=False,
        )
        met = solution.result == diffrax.RESULTS.successful
        after = jax.tree.map(lambda y: jnp.where(met, y[0], jnp.nan), solution.ys)
        return *(after if remembers else (after, state.memory)), met

    def scaled(self, system: System, velocity: Params, params: Params) -> Params:
        """A velocity times the rate factors of the architecture's scaling."""
        return jax.tree.map(
            lambda v, f: jnp.asarray(f, v.dtype) * v,
            velocity,
            system.architecture.rate_factors(params, self.family),
        )
