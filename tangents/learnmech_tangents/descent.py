"""Descent: outputs under any loss by gradient flow, or by the flow that descent with momentum
becomes, in function space."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array
from learnmech.machine.late import late
from learnmech_tangents.outputs import Outputs

if TYPE_CHECKING:
    import diffrax
else:
    diffrax = late("diffrax")
RTOL, ATOL, MOST_STEPS = 1e-10, 1e-12, 1_000_000


class ODEState(eqx.Module):
    """Outputs, and their velocities df/d(sqrt(learning_rate) t) where there is momentum."""

    fx_train: Float[Array, "..."] | None = None
    fx_test: Float[Array, "..."] | None = None
    qx_train: Float[Array, "..."] | None = None
    qx_test: Float[Array, "..."] | None = None


def gradient_descent(
    loss,
    k_train_train: Float[Array, "..."],
    y_train: Float[Array, "..."],
    learning_rate: float = 1.0,
    momentum: float | None = None,
    trace_axes=(-1,),
):
    """predict_fn(t=None, fx_train_or_state_0=0., fx_test_0=None, k_test_train=None): outputs at
    step t under loss(f_train, y_train), by an ODE.

    Without momentum df/ds = -K grad loss at s = learning_rate t; with it
    d^2f/ds^2 = -(1 - momentum)/sqrt(learning_rate) df/ds - K grad loss at s = sqrt(learning_rate)
    t, of which heavy-ball descent is the discretization. An ODEState in place of fx_train_0 comes
    back as an ODEState. t must increase. By Dormand-Prince 8(7) to 1e-10 (there 5(4) to 1.4e-8).
    t=None integrates until nothing moves and refuses what never rests (there: NaN).
    """
    y = jnp.asarray(y_train, float)
    outputs = Outputs.of(y, trace_axes)
    K = jnp.asarray(outputs.matrix(k_train_train))
    slope = jax.grad(lambda f: loss(f, y))
    speed, drag = (
        (learning_rate, None)
        if momentum is None
        else (learning_rate**0.5, (1 - momentum) / learning_rate**0.5)
    )

    def velocity(time, state, across):
        force = -outputs.rows(slope(outputs.back(state["train"], outputs.sizes)))
        pushed = {"train": K @ force} | ({} if across is None else {"test": across @ force})
        if drag is None:
            return pushed
        return {name: state[f"q_{name}"] for name in pushed} | {
            f"q_{name}": push - drag * state[f"q_{name}"] for name, push in pushed.items()
        }

    @eqx.filter_jit
    def solved(state, across, times):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Dopri8(),
            t0=0.0,
            t1=jnp.inf if times is None else times[-1],
            dt0=None,
            y0=state,
            args=across,
            saveat=diffrax.SaveAt(t1=True) if times is None else diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL),
            event=diffrax.Event(diffrax.steady_state_event(rtol=1e-8, atol=1e-10))
            if times is None
            else None,
            max_steps=MOST_STEPS if times is not None else 100_000,
            throw=False,
        )

    def predict_fn(t=None, fx_train_or_state_0=0.0, fx_test_0=None, k_test_train=None):
        whole, begun = isinstance(fx_train_or_state_0, ODEState), fx_train_or_state_0
        start = begun if whole else ODEState(begun, fx_test_0)
        if momentum is None and (start.qx_train is not None or start.qx_test is not None):
            raise refused(
                "predict_fn",
                "a state without velocities",
                "one with",
                "Give momentum, or leave qx_train and qx_test out",
            )
        if start.fx_test is not None and k_test_train is None:
            raise refused(
                "predict_fn",
                "k_test_train for predictions on a test set",
                "None",
                "Give kernel_fn(x_test, x_train, 'ntk')",
            )
        across = (
            None
            if start.fx_test is None
            else outputs.matrix(jnp.asarray(k_test_train), name="k_test_train")
        )
        sizes = {"train": outputs.sizes} | (
            {} if across is None else {"test": outputs.others(k_test_train)}
        )
        state = _begun(outputs, start, sizes, momentum is not None)
        found = _at(solved, state, across, t, speed)
        found = {
            key: outputs.back(value, sizes[key.removeprefix("q_")]) for key, value in found.items()
        }
        if whole:
            return ODEState(*(found.get(key) for key in ("train", "test", "q_train", "q_test")))
        if across is None:
            return found["train"]
        return found["test"] if begun is None else (found["train"], found["test"])

    return predict_fn


def _begun(outputs, start, sizes, moving):
    """The state as rows, what is not given as 0; with velocities where it is `moving`."""
    state = {}
    for name, own in sizes.items():
        values = {name: getattr(start, f"fx_{name}")} | (
            {f"q_{name}": getattr(start, f"qx_{name}")} if moving else {}
        )
        for key, value in values.items():
            state[key] = outputs.rows(
                jnp.broadcast_to(
                    jnp.asarray(0.0 if value is None else value, float), outputs.shaped(own)
                )
            )
    return state


def _at(solved, state, across, t, speed):
    """The state at step t, times leading."""
    if t is None:
        solution = solved(state, across, None)
        if not bool(solution.result == diffrax.RESULTS.event_occurred):
            raise refused(
                "predict_fn",
                "outputs that come to rest for t=None",
                "some that still move",
                "Give a finite t",
            )
        return jax.tree.map(lambda x: x[0], solution.ys)
    steps = np.asarray(t, float)
    marks = steps.ravel()
    if (np.diff(marks) <= 0).any() or marks[0] < 0:
        raise refused(
            "predict_fn", "steps t >= 0 that increase", steps, "Sort them and drop what is double"
        )
    moving = marks[marks > 0]
    found = jax.tree.map(lambda x: x[None], state)
    if len(moving):
        solution = solved(state, across, jnp.asarray(speed * moving))
        if not bool(solution.result == diffrax.RESULTS.successful):
            raise refused(
                "predict_fn",
                f"at most {MOST_STEPS} steps of the solver",
                "more",
                "Give smaller t, or a smaller rate",
            )
        found = jax.tree.map(
            lambda first, later: jnp.concatenate([first[: len(marks) - len(moving)], later]),
            found,
            solution.ys,
        )
    return jax.tree.map(lambda x: x[: len(marks)].reshape(*steps.shape, *x.shape[1:]), found)
