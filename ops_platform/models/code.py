"""The platform's code as it is and as it was: commit, uncommitted changes, each file's digest."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from ops_platform.errors import ReproductionError

PACKAGE = "ops_platform"
# What a run depends on of a checkout; only of these is recorded what was not committed.
TRACKED = (PACKAGE, "contracts", "dbt_project", "pyproject.toml", "requirements.lock")

# Set where git itself has called, in a hook say; they name another repository or index.
_HOOKS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


@dataclass(frozen=True)
class Code:
    """The code of a checkout.

    Attributes
    ----------
    commit : that it is based on, None where there is no git.
    patch : what `git apply` adds to the commit: changed and new files; empty where there are none.
    files : the SHA-256 of each file of the package, by its path in the project.
    """

    commit: str | None
    patch: bytes
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over all files of the package."""
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()


def read(project: Path) -> Code:
    """The code of the project in this folder, also where there is no git or it does not answer."""
    files = _files(project)
    if _git(project, "ls-files", "--error-unmatch", f"{PACKAGE}/settings.py") is None:
        # The folder may lie, unknown to it, within another project's repository.
        return Code(None, b"", files)
    commit = _git(project, "rev-parse", "HEAD")
    return Code(commit.decode().strip() if commit else None, _patch(project), files)


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The paths of the files that are not the same in both, sorted."""
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))


def check_out(project: Path, code: Code, folder: Path) -> None:
    """Put the code as it was into an empty folder, from the project's git and the patch.

    Raises ReproductionError where git does not have the commit or the patch does not fit.
    """
    archive = code.commit and _git(project, "archive", "--format=tar", code.commit)
    if not archive:
        raise ReproductionError(
            f"the code of commit {code.commit or '(none was recorded)'} is not in the git "
            f"repository of {project}: fetch it, or reproduce where it is"
        )
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    if code.patch:
        patch = folder / ".uncommitted.patch"
        patch.write_bytes(code.patch)
        # A repository around the folder is none of this business.
        alone = {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
        if _git(folder, "apply", "--whitespace=nowarn", patch.name, **alone) is None:
            raise ReproductionError(
                f"the recorded patch does not fit the recorded commit {code.commit}"
            )
    if moved := differing(_files(folder), code.files):
        raise ReproductionError(
            f"the recorded commit and patch do not give the recorded code: {', '.join(moved[:5])}"
        )


def _files(project: Path) -> dict[str, str]:
    return {
        path.relative_to(project).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((project / PACKAGE).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def _patch(project: Path) -> bytes:
    """Changed and new files as one patch, by an index and objects of its own."""
    objects = _git(project, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    with TemporaryDirectory() as scratch:
        aside = {
            "GIT_INDEX_FILE": str(Path(scratch) / "index"),
            "GIT_OBJECT_DIRECTORY": scratch,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": (objects or b"").decode().strip(),
        }
        there = [name for name in TRACKED if (project / name).exists()]
        _git(project, "read-tree", "HEAD", **aside)
        _git(project, "add", "--all", "--", *there, **aside)
        told = _git(
            project, "diff", "--cached", "--binary", "--relative", "HEAD", "--", *there, **aside
        )
    return told or b""


def _git(folder: Path, *arguments: str, **environment: str) -> bytes | None:
    """What git says, None where it is not there or fails."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(
        [git, *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in _HOOKS} | environment,
        capture_output=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None
