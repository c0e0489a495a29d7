"""What runs on GitHub runs the same commands as everybody."""

from __future__ import annotations

import re
import tomllib

import yaml  # type: ignore[import-untyped]

from tests.places import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def test_workflows_call_make_and_nothing_that_make_has_not() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set()
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] <= 60
            for step in job["steps"]:
                called |= set(re.findall(r"\bmake ([a-z-]+)", step.get("run", "")))
    assert {"test", "test-all", "sanitize", "release"} <= called <= targets


def test_the_versions_of_python_are_those_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = [
        found[1] for line in project["classifiers"] if (found := re.search(r"Python :: (3\.\d+)", line))
    ]
    for name, job in (("test.yml", "test"), ("release.yml", "python")):
        workflow = yaml.safe_load((GITHUB / "workflows" / name).read_text())
        assert workflow["jobs"][job]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"
    lite = tomllib.loads((ROOT / "lite" / "pyproject.toml").read_text())["project"]
    assert lite["requires-python"] == project["requires-python"]
    assert [line for line in lite["classifiers"] if "Python :: 3." in line] == [
        line for line in project["classifiers"] if "Python :: 3." in line
    ]


def test_forms_for_issues_ask_for_what_is_needed() -> None:
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form)
            identifiers = [field["id"] for field in form["body"]]
            assert len(set(identifiers)) == len(identifiers)
            assert any(field.get("validations", {}).get("required") for field in form["body"])
