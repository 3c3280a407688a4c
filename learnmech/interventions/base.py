"""What every intervention promises: the one thing it changes, when, and what it needs to be
there."""

import dataclasses
import re
from typing import ClassVar, TypeVar

import numpy as np

from learnmech.data.base import Drawn
from learnmech.errors import refused
from learnmech.language import trees
from learnmech.language.addresses import Address
from learnmech.language.faults import unfit
from learnmech.language.parts import Knob, Part, knob, show_value
from learnmech.language.trees import Params
from learnmech.rules.base import Rule
from learnmech.system import state as states
from learnmech.system.freezing import Frozen
from learnmech.system.landscape import System
from learnmech.system.state import State


class Intervention(Part):
    """The run goes on with one thing changed. `at` is a step (for flows the time of a mark); the
    change is made before that mark is read.

    Subclasses override one of the hooks below; each gives back what it was given where the
    intervention does not touch it. One that is `anchored` holds on to the parameters at the event
    for as long as the run goes on.
    """

    anchored: ClassVar[bool] = False
    at: Knob = knob(
        default=0,
        at_least=0,
        kw_only=True,
        meaning="the step at which it happens; for flows the time of a mark",
    )

    def experiment(self, experiment):
        """The experiment in force from here on."""
        return experiment

    def data(self, drawn: Drawn) -> Drawn:
        """The samples in force from here on."""
        return drawn

    def system(self, system: System, anchor: Params) -> System:
        """The landscape in force from here on; `anchor` are the parameters at the event."""
        return system

    def frozen(self, frozen: Frozen, state: State) -> Frozen:
        """What stands still from here on."""
        return frozen

    def state(self, system: System, rule: Rule, frozen: Frozen | None, state: State) -> State:
        """The state the run goes on from; `system`, `rule` and `frozen` are those in force
        before the event."""
        return state

    def check(self, system: System, rule: Rule, state: State) -> None:
        """Refuse a run in which this cannot be done; `state` serves for its shapes, and for its
        values at the start."""

    @property
    def name(self) -> str:
        """What is said of it, in one line: `freeze layer1`."""
        fields = [
            getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "at"
        ]
        return " ".join(
            [
                re.sub(r"(?<!^)(?=[A-Z])", " ", type(self).__name__).lower(),
                *(
                    value if isinstance(value, str) else show_value(value)
                    for value in fields
                    if value is not None
                ),
            ]
        )


Given = TypeVar("Given")


def given_by(event: Intervention, method: str, kind: type[Given], given: object) -> Given:
    """What a hook of an intervention gave, where it is of this kind; the intervention is told of
    anything else."""
    if not isinstance(given, kind):
        raise unfit(event, method, f"the {kind.__name__} to go on with", trees.kind_of(given))
    return given


def addressed(path: str, arrays: dict) -> dict[str, tuple]:
    """{array: what to index it with} for an address among these arrays."""
    address = Address.parse(path)
    return {
        name: address.selection(np.shape(arrays[name]), trees.axes_of(name, np.ndim(arrays[name])))
        for name in address.among(arrays)
    }


def edited(state: State, path: str, change) -> State:
    """The state with what is at an address replaced by change(part); for arrays of parameters
    and of the rule's memory."""
    arrays = states.arrays_of(state)
    changed: dict = {}
    for name, index in addressed(path, arrays).items():
        whole = np.array(arrays[name])
        whole[index] = np.asarray(change(whole[index])).astype(whole.dtype)
        changed[name] = whole
    return states.replaced(state, changed)


def check_values(who: str, path: str, arrays: dict, values: np.ndarray | None) -> None:
    """Refuse an address that does not exist, and values that do not have the shape of what is
    there."""
    for name, index in addressed(path, arrays).items():
        shape = np.asarray(np.empty(np.shape(arrays[name]))[index]).shape
        if values is not None and np.shape(values) not in ((), shape):
            raise refused(
                who,
                f"values of shape {shape} for {path}",
                f"shape {np.shape(values)}",
                "Give one value, or an array of that shape",
            )


def one_of(who: str, given: dict[str, object]) -> None:
    """Refuse anything but exactly one of these fields."""
    if sum(value is not None for value in given.values()) != 1:
        got = ", ".join(name for name, value in given.items() if value is not None) or "nothing"
        raise refused(who, "one of " + " and ".join(given), got, "Give exactly one")
