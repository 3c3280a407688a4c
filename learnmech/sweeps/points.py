"""Points: one point of a sweep as an experiment of its own, which run again gives what is kept
of it to the bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment
from learnmech.machine.late import late
from learnmech.sweeps.asked import Asked, knobs_asked
from learnmech.sweeps.folder import described
from learnmech.sweeps.gathered import AT_HAND
from learnmech.sweeps.kept import identity_of

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


def point(sweep: "xr.Dataset | str | Path", knobs: Mapping | None = None, **more) -> Experiment:
    """The experiment of one point of a grid, or of a sweep's folder: `lm.point(grid, rate=0.1,
    seed=3)`.

    A knob goes by its last word, or by its path in a dictionary, `lm.point(grid, {"rule.rate":
    0.1}, seed=3)`; one of which a single value was swept need not be named. Run here, it gives the
    numbers of the point to the bit (those of a sweep by vmap to round-off). Refuses a value that
    was not swept, and an experiment that is no longer the one of the point.
    """
    asked_for = dict(knobs or {}) | more
    if isinstance(sweep, (str, Path)):
        found = described(sweep, "point")
        asked = found.asked()
        swept = asked.swept
        places = knobs_asked(swept, asked_for)
        made = asked.at({dim: swept[dim][place] for dim, place in places.items()})
        index = 0
        for dim, place in places.items():
            index = index * len(swept[dim]) + place
        check_same(found.said, index, made, asked.watch)
        return made
    asked = asked_of(sweep, "point")
    swept = {dim: _labels(sweep, dim) for dim in asked.swept}
    places = knobs_asked(swept, asked_for)
    return asked.at({dim: swept[dim][place] for dim, place in places.items()})


def check_same(said: dict, index: int, made: Experiment, watch) -> None:
    """Refuse an experiment made again that is not the one whose numbers are kept, as where a
    file it reads has changed; other versions than those of the sweep are none of it."""
    if made.precision != said["precision"]:
        raise refused(
            "point",
            f"the precision of the sweep, {said['precision']}",
            made.precision,
            "Give the same sweep again",
        )
    if identity_of(made, watch, "map", said["surroundings"]) != said["points"]["map"][index]:
        remedy = "Restore the files that it reads, or give the same sweep again"
        raise refused(
            "point",
            "the experiment whose numbers are kept",
            "another: what it reads has changed",
            remedy,
        )


def asked_of(grid: "xr.Dataset", who: str) -> Asked:
    """What a grid was made by; refuses a Dataset that does not tell."""
    if not isinstance(grid, xr.Dataset):
        raise refused(
            who,
            "what lm.sweep gives, or the folder of a sweep",
            type(grid).__name__,
            "Give a grid, or the path of its folder",
        )
    try:
        said, written = json.loads(grid.attrs["asked"]), grid.attrs["experiment"]
        folder = Path(str(grid.attrs.get("folder", ".")))
    except (KeyError, ValueError, TypeError):
        remedy = (
            "Give the Dataset with its attributes (xarray.set_options(keep_attrs=True)), or the"
            " folder of the sweep"
        )
        raise refused(
            who, "a Dataset that says by which sweep it was made", "one that does not", remedy
        ) from None
    if "folder" in grid.attrs and (folder / "sweep.json").is_file():
        found = described(folder, who)
        if [found.said["axes"], found.said["seeds"], found.said["watch"]] == [
            said["axes"],
            said["seeds"],
            said["watch"],
        ]:
            return found.asked()
    experiment = AT_HAND.get(written)
    if experiment is None and "sha256" in written and "folder" not in grid.attrs:
        try:
            return Asked.again(written, said, folder)
        except Refused as refusal:
            remedy = (
                "Keep hold of the experiment while the grid is in use, or sweep with a folder,"
                " which keeps what it reads"
            )
            raise refused(
                who, "what the experiment of the grid reads", str(refusal), remedy
            ) from None
    return Asked.again(written if experiment is None else experiment, said, folder)


def _labels(grid, dim) -> list:
    if dim not in grid.coords:
        remedy = "Give the grid before a mean is taken over it, or the folder of the sweep"
        raise refused("point", f"a grid over {dim}", "one without it", remedy)
    values = grid[dim].values
    return [
        one.item() if hasattr(one, "item") else one
        for one in (values if values.ndim else values[None])
    ]
