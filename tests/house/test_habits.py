"""The habits: what CI and the hooks call is there, and every decision stands in the list of
them."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]


def test_hooks_are_local_and_look_where_make_lint_does():
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))[
        "repos"
    ]
    assert repo["repo"] == "local" and [hook["entry"] for hook in repo["hooks"]] == [
        ".venv/bin/ruff check",
        ".venv/bin/ruff format --check",
    ]
    looked = (
        re.search(r"ruff check (.+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
        .group(1)
        .split()
    )
    for hook in repo["hooks"]:
        assert all(re.match(hook["files"], f"{folder}/a.py") for folder in looked) and not re.match(
            hook["files"], "docs/a.py"
        )


def test_what_ci_makes_is_in_the_makefile():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))[
        "jobs"
    ]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert jobs["smoke"]["strategy"]["matrix"]["os"] == ["macos-latest", "windows-latest"]
    said = "\n".join(step["run"] for job in jobs.values() for step in job["steps"] if "run" in step)
    targets = re.findall(r"^make (\w+)", said, re.M)
    assert sorted(targets) == ["docs", "lint", "screen", "test"]
    assert all(
        re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
        for target in targets
    )


def test_the_program_that_ci_runs_elsewhere_runs_here(tmp_path, monkeypatch):
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))[
        "jobs"
    ]
    (script,) = (step["run"] for step in jobs["smoke"]["steps"] if "<<'END'" in step.get("run", ""))
    monkeypatch.chdir(tmp_path)
    exec(compile(re.search(r"<<'END'\n(.*)\nEND", script, re.S).group(1), "ci.yml", "exec"), {})
    assert (tmp_path / "runs" / "smoke" / "experiment.toml").is_file()


def test_every_decision_is_in_the_list_and_says_what_it_costs():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(
        r"^\| \[.+\]\((.+)\) \|", (folder / "README.md").read_text(encoding="utf-8"), re.M
    )
    pages = sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
    assert sorted(listed) == pages and len(pages) >= 8
    for name in pages:
        page = (folder / name).read_text(encoding="utf-8")
        assert all(
            f"**{part}" in page for part in ("Decided", "Measured", "Costs", "What would change it")
        ), name
