"""Programs that run our commands as a user's repository does: hooks of git, and scripts of CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import client, create, edit, uses  # noqa: F401 - fixtures

TOP = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def folder_of(program: str) -> Path:
    """The folder of a program. `uv run` says where uv is; on PATH there can be a shim that knows no other folder."""
    path = os.environ.get("UV") if program == "uv" else None
    found = path or shutil.which(program)
    assert found is not None, f"{program} is not on PATH"
    return Path(found).parent


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program left behind; `out` has both of its outputs."""

    code: int
    out: str


@pytest.fixture
def environment(nobodys_settings: None) -> dict[str, str]:  # noqa: ARG001 - a fixture that works by being there
    """The environment of a user who has our command, git and uv on PATH, and no key."""
    folders = [PROGRAMS, *(folder_of(program) for program in ("uv", "git", "bash"))]
    who = {
        f"GIT_{role}_{what}": f"{what}@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ENDPOINTS_", "POSTHOG_", "GITHUB_", "VIRTUAL_ENV", "COV_", "PRE_COMMIT", "PREK"))
    }
    kept |= {"ENDPOINTS_GITOPS_STATE": os.environ["ENDPOINTS_GITOPS_STATE"]}
    kept |= {"ENDPOINTS_GITOPS_CACHE": os.environ["ENDPOINTS_GITOPS_CACHE"]}
    path = os.pathsep.join(dict.fromkeys([*map(str, folders), "/usr/bin", "/bin"]))
    return kept | who | {"PATH": path, "COLUMNS": "200"}


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Ended]:
    """Runs a program in a folder: `run(folder, "git", "status", env={…})`."""

    def start(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Ended:
        ended = subprocess.run(
            words,
            cwd=folder,
            env={**environment, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return Ended(ended.returncode, ended.stdout)

    return start
