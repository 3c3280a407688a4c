"""Foretelling: what theories say of an experiment without running it, and which apply."""

from pathlib import Path

from learnmech.comparison.domains import applying, survey
from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import prepare
from learnmech.language import catalog
from learnmech.language.display import plain
from learnmech.language.display.results import ends, failing_conditions, nearest_theories
from learnmech.studies.ladders.paths import nearest as nearest_paths
from learnmech.theories.base import Condition
from learnmech.verbs.folders import dataset_out
from learnmech.verbs.subjects import changed_experiment, changes_of, theory_of


def predict(subject, changes, names, out, small) -> dict:
    """Predictions of the named theories, or of all that apply."""
    name, exhibit, experiment = changed_experiment(subject, changes_of(changes), small)
    start = prepare(experiment)
    theories = [theory_of(n) for n in names] or list(exhibit.theories) or list(applying(start))
    if not theories:
        raise refused(
            "predict",
            "a theory that applies",
            "none",
            f"See learnmech theories {subject}, or name one by --theory",
        )
    said = {}
    for theory in theories:
        conditions, dataset = theory.conditions(start), None
        try:
            dataset = theory.predict(start)
        except Exception as refusal:
            if len(theories) == 1:
                raise
            # one of several does not end the others
            known = isinstance(refusal, Refused)
            words = str(refusal) if known else f"{type(refusal).__name__}: {refusal}"
            claim = "it can say something here"
            conditions += (Condition(claim, words, "so", False, decided=known),)
        said[type(theory).__name__] = {
            "source": theory.source,
            "conditions": plain.conditions(conditions),
            "quantities": (
                {} if dataset is None else {str(q): ends(dataset[q]) for q in dataset.data_vars}
            ),
        }
        if dataset is None:
            continue
        if out is not None:
            file = Path(out)
            if len(theories) > 1:
                file = file.with_stem(f"{file.stem}-{catalog.kebab(type(theory).__name__)}")
            dataset_out(dataset, file)
    return {"name": name, "theories": said}


def theories(subject, changes, small) -> dict:
    """Every theory with its conditions here."""
    name, exhibit, experiment = changed_experiment(subject, changes_of(changes), small)
    start = prepare(experiment)
    return {"name": name, "theories": survey(start), "paths": _paths(start)}


def _paths(start) -> list[dict]:
    """Which axes lead to the theories that do not apply, the shortest paths first."""
    return [
        {"theory": one.theory, "axes": list(one.axes), "at_limit": one.limit, "words": one.words}
        for one in nearest_paths(start)
        if one.steps
    ]


def brief(surveyed: dict[str, dict], nearest_few: int = 3) -> dict:
    """Which theories apply, and the nearest of the others with what fails."""
    near = nearest_theories(surveyed)[:nearest_few]
    return {
        "applies": [kind for kind, one in surveyed.items() if one["applies"]],
        "nearest": {kind: failing_conditions(surveyed[kind]) for kind in near},
    }
