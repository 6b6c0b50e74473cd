"""The code that a version is made with: what is read of a checkout gives the checkout again."""

import subprocess
from pathlib import Path

import pytest

from ops_platform.errors import ReproductionError
from ops_platform.models.code import Code, check_out, differing, read


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def package(project: Path) -> Path:
    (project / "ops_platform").mkdir(parents=True)
    (project / "ops_platform" / "settings.py").write_text("A = 1\n")
    (project / "ops_platform" / "recipe.py").write_text("B = 1\n")
    return project


@pytest.fixture
def project(tmp_path) -> Path:
    """A package in a folder of a repository, as it is in a repository of several projects."""
    made = package(tmp_path / "repository" / "project")
    git(made.parent, "init", "--quiet")
    git(made.parent, "add", ".")
    git(made.parent, "commit", "--quiet", "-m", "one")
    return made


def test_changed_new_and_removed_files_come_back_and_the_index_is_left_alone(project):
    folder = project / "ops_platform"
    (folder / "settings.py").write_text("A = 2\n")
    (folder / "new.bin").write_bytes(bytes(range(256)))
    (folder / "recipe.py").unlink()
    (project / "notes.txt").write_text("no part of the package")
    told = read(project)
    # Where OPS_HOME is by default: within the repository.
    back = project / ".ops"
    back.mkdir()

    check_out(project, told, back)

    assert differing(read(back).files, told.files) == []
    assert told.files.keys() == {"ops_platform/new.bin", "ops_platform/settings.py"}
    assert not (back / "notes.txt").exists()
    said = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True
    )
    assert " M project/ops_platform/settings.py" in said.stdout.splitlines()


def test_where_nothing_is_changed_there_is_no_patch(project):
    told = read(project)
    assert (len(told.commit), told.patch) == (40, b"")


@pytest.mark.parametrize("around", [False, True])
def test_without_git_or_within_a_strangers_repository_the_files_alone_are_told(tmp_path, around):
    if around:
        git(tmp_path, "init", "--quiet")
        (tmp_path / "a").write_text("")
        git(tmp_path, "add", "a")
        git(tmp_path, "commit", "--quiet", "-m", "another project's")
    told = read(package(tmp_path / "site-packages"))
    assert (told.commit, told.patch, len(told.files)) == (None, b"", 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"commit": "0" * 40}, "is not in the git repository"),
        ({"commit": None}, "none was recorded"),
        ({"patch": b"nonsense"}, "the recorded patch does not fit"),
        ({"files": {"ops_platform/recipe.py": "0"}}, r"do not give the recorded code: ops_platf"),
    ],
)
def test_what_does_not_give_the_recorded_code_is_refused(project, tmp_path, change, told):
    found = read(project)
    asked = Code(**{"commit": found.commit, "patch": b"", "files": found.files, **change})
    back = tmp_path / "back"
    back.mkdir()
    with pytest.raises(ReproductionError, match=told):
        check_out(project, asked, back)
