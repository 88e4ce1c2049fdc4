"""Real environments with the built wheels and nothing else: what a user has who installs without extras."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from benchmarks.install_size import build_wheels, install
from endpoints_gitops.extras import EXTRAS
from tests.consumer.conftest import client, create, lock

__all__ = ["client", "create", "lock"]  # the fixtures of apps

TOP = Path(__file__).parents[2]


def normalized(name: str) -> str:
    """The name of a distribution, however it is spelled."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment of its own. Its programs see neither this checkout nor the settings of whoever runs the tests."""

    packages: Path

    @property
    def programs(self) -> Path:
        return self.packages.parents[2] / "bin"

    def names(self) -> set[str]:
        """The distributions in it, by their normalized names."""
        return {normalized(path.name.partition("-")[0]) for path in self.packages.glob("*.dist-info")}

    def has_all_of(self, extra: str) -> bool:
        """Whether it has every package of an extra."""
        return {normalized(package) for package in EXTRAS[extra].values()} <= self.names()

    def run(self, program: str, *words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, without colours."""
        kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
        kept |= {"PATH": f"{self.programs}{os.pathsep}{os.defpath}", "ENDPOINTS_GITOPS_STATE": str(cwd / "state")} | env
        command = (str(self.programs / program), *words)
        return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=100)

    def python(self, program: str, *words: str, cwd: Path, **env: str) -> Any:
        """The JSON that a Python program prints, which ends well and prints nothing on stderr."""
        ran = self.run("python", "-I", "-W", "error", "-c", program, *words, cwd=cwd, **env)
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of this checkout by distribution, built once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheels"
    with FileLock(f"{shared}.lock"):
        if not shared.is_dir():
            building = base / "building"
            build_wheels(building)
            building.replace(shared)
    return {normalized(path.name.partition("-")[0]): path for path in shared.glob("*.whl")}


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """Installs what a name says, as `pip install NAME` would, once in this process."""
    environments: dict[str, Environment] = {}

    def make(name: str) -> Environment:
        if name not in environments:
            environments[name] = Environment(install(name, wheels, tmp_path_factory.mktemp("environment") / ".venv"))
        return environments[name]

    return make


@pytest.fixture
def bare(installed: Callable[[str], Environment]) -> Environment:
    """`pip install endpoints-gitops`."""
    return installed("endpoints-gitops")


@pytest.fixture
def plugin(installed: Callable[[str], Environment]) -> Environment:
    """`pip install pytest-endpoints-gitops`."""
    return installed("pytest-endpoints-gitops")
