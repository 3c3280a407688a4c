"""Interventions as the options of fork, in the order in which they are typed."""

import argparse

INTERVENTIONS = {
    "perturb": (
        "PATH=VALUE",
        "add (+0.1, -0.1), scale (*2) or set (0.1) weights or memory: 'layer3.weight[2,5]=+0.1'",
    ),
    "set": (
        "PATH=VALUE",
        (
            "turn a knob: rule.rate=0.2, data.noise=0.1, clock.steps=2000; or swap rule, loss or"
            " data: rule={kind='adam'}"
        ),
    ),
    "freeze": ("PATH", "a layer, an array or a slice stands still"),
    "thaw": ("PATH", "it moves again"),
    "noise": (
        "PATH=SIZE",
        "Gaussian noise of that norm on what is there (all=SIZE: on all parameters)",
    ),
    "push": ("DIRECTION=SIZE", "move all parameters along top-hessian or gradient"),
    "transplant": ("PATH=RUN@STEP", "the weights of another run (self@STEP: of this one)"),
    "rescale": ("UP,DOWN=FACTOR", "rescale along a symmetry: layer1,layer2.weight=2"),
    "reset-memory": ("PATH", "the rule forgets: memory, or a part of it as memory.mu.layer1"),
    "ablate": ("PATH", "hold a signal at 0: 'layer2.post[unit=7]'"),
    "patch": ("PATH=VALUE", "hold a signal at a value"),
    "relabel": ("SEED", "deal the training targets anew among the samples"),
    "event": (
        "TABLE",
        'any intervention as an inline table, as {kind = "noise", at = 520, size = 0.1}',
    ),
}


class _Event(argparse.Action):
    """Interventions of all kinds in one list, in the order they were typed."""

    def __call__(self, parser, namespace, value, option=None):
        namespace.events = [
            *(getattr(namespace, "events", None) or []),
            (option.removeprefix("--"), value or ""),
        ]


def interventions(one) -> None:
    """Every kind of intervention as an option of a command."""
    for name, (value, says) in INTERVENTIONS.items():
        one.add_argument(
            f"--{name}",
            action=_Event,
            metavar=value,
            help=f"{says}; repeatable".replace("%", "%%"),
            dest="events",
        )
    one.add_argument(
        "--linearize",
        action=_Event,
        nargs=0,
        dest="events",
        help="go on with the tangent of the network here",
    )
    one.add_argument(
        "--memory",
        choices=("hold", "reset"),
        default="hold",
        help="what a thawed array's memory is: as it was held, or begun anew",
    )
