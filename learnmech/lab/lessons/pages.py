"""Pages of lessons, as Markdown: what is to be read and run, and folded away what is to be seen."""

import re

import tomli_w

from learnmech.lab.lessons.reading import Lesson, Step, lessons

MADE = "Made from the lessons by `python -m learnmech.lab.lessons docs/lessons`."

HEAD = f"""# Lessons

Six of them, of four to seven steps. Each step is a text, an experiment of seconds, something to
predict before it is run, and what is to be seen afterwards; `learnmech lab` leads through them with
the curve that was drawn beside the one that came. Any step runs in Python too:

```python
import learnmech as lm
from learnmech.lab.lessons import lessons, subject_of

step = lessons()["width-one"].steps[0]
subject = subject_of(step)
record = lm.run(subject.experiment(), watch=subject.watch)
print(lm.compare(record, subject.theories[0]))
```

A lesson of one's own is a file of the same form: `title`, `about`, and for each of its `[[steps]]`
a `title`, a `text` (Markdown, formulas between dollar signs), an `[steps.experiment]` as in an
experiment's file or the name of an `exhibit`, and what is to `see`. Beside these it may have
`changes` (knobs by their dotted paths), `watch`, `theories`, and `predict`, the `quantity` that is
to be drawn before the run and which `entry` of it. A step that names no experiment goes on with
that of the step before. `lesson_of("mine.toml")` makes every step ready without running it, and
says in one sentence what is wrong.

{MADE}

| lesson | what it is about |
|---|---|
"""


def pages(pictured: bool = False) -> dict[str, str]:
    """{file name: page} of all lessons, and the page that lists them; with the pictures of their
    steps (`pictures.write`) where these stand beside them."""
    known = lessons()
    rows = "".join(f"| [{one.title}]({name}.md) | {one.about} |\n" for name, one in known.items())
    return {"README.md": HEAD + rows} | {
        f"{name}.md": page(one, pictured) for name, one in known.items()
    }


def page(lesson: Lesson, pictured: bool = False) -> str:
    """The page of one lesson."""
    parts = [f"# {lesson.title}", lesson.about]
    before: Step | None = None
    for place, step in enumerate(lesson.steps, 1):
        parts += [f"## {place}. {step.title}", step.text, *_run(step, before)]
        parts.append(f"<details markdown>\n<summary>What is to be seen</summary>\n\n{step.see}")
        if pictured:
            parts.append(f"![{step.title}, as it comes]({lesson.name}-{place}.svg)")
        parts.append("</details>")
        before = step
    return "\n\n".join([*parts, f"*{MADE}*"]) + "\n"


def _run(step: Step, before: Step | None) -> list[str]:
    goes_on = before is not None and step.experiment is before.experiment
    goes_on = goes_on and step.exhibit == (before.exhibit if before else None)
    known = before.changes if goes_on and before else {}
    turned = {path: value for path, value in step.changes.items() if known.get(path) != value}
    changes = ", ".join(f"`{path}` = `{_value(value)}`" for path, value in turned.items())
    parts = []
    if goes_on:
        parts.append(
            f"*The experiment of the step before{', with ' + changes if changes else ''}.*"
        )
    elif step.exhibit is not None:
        parts.append(f"*The exhibit `{step.exhibit}`{', with ' + changes if changes else ''}.*")
    else:
        parts.append(f"```toml\n{_toml(step.experiment or {})}\n```")
        if changes:
            parts.append(f"*With {changes}.*")
    said = []
    if step.watch is not None:
        said.append("watched: " + ", ".join(f"`{_value(one)}`" for one in step.watch))
    if step.theories:
        said.append("theory: " + ", ".join(f"`{_value(one)}`" for one in step.theories))
    if step.predict is not None:
        said.append(f"to be predicted: {_predicted(step)}")
    if said:
        parts.append(f"*{'; '.join(said).capitalize()}.*")
    return parts


def _toml(table: dict) -> str:
    """A table as TOML, every array on one line."""
    said = re.sub(r"\[\s*\n\s*", "[", tomli_w.dumps(table).strip())
    said = re.sub(r",\s*\n\s*\]", "]", said)
    return re.sub(r",\n\s+", ", ", said)


def _predicted(step: Step) -> str:
    quantity, entry = step.predict or ("", {})
    places = ", ".join(f"{axis} {at + 1}" for axis, at in entry.items())
    return f"`{quantity}`" + (f", {places}" if places else "")


def _value(one) -> str:
    if isinstance(one, str):
        return one
    if isinstance(one, dict):
        return ", ".join(f"{key} = {_value(value)}" for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return "[" + ", ".join(map(_value, one)) + "]"
    return str(one).lower() if isinstance(one, bool) else f"{one:g}"
