"""The pull request's templates: three systems, the same make targets, nothing else."""

import re

import pytest
import yaml

from ops_platform.settings import PROJECT

TARGETS = ["check", "test", "test-long", "ci-slim"]


def _github() -> list[str]:
    read = yaml.safe_load((PROJECT / ".github/workflows/pull-request.yml").read_text())
    assert read[True] == "pull_request", "YAML 1.1 reads the key `on` as true"
    steps = [step for job in read["jobs"].values() for step in job["steps"]]
    assert all(step.keys() & {"run", "uses"} for step in steps)
    return [step["run"] for step in steps if "run" in step]


def _gitlab() -> list[str]:
    read = yaml.safe_load((PROJECT / ".gitlab-ci.yml").read_text())
    return [line for job in read.values() if "script" in job for line in job["script"]]


def _jenkins() -> list[str]:
    text = (PROJECT / "Jenkinsfile").read_text()
    assert text.count("{") == text.count("}")
    return re.findall(r"\bsh '([^']*)'", text)


@pytest.mark.parametrize("commands", [_github, _gitlab, _jenkins])
def test_each_system_runs_the_same_make_targets_and_nothing_else(commands):
    assert commands() == [f"make {target}" for target in TARGETS]


def test_the_targets_are_in_the_makefile():
    made = re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(TARGETS) <= set(made)
