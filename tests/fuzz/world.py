"""What a round works on: a server, a checkout with three definitions, and the command line as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.serve import RunningServer, running_server
from tests.fuzz.mutation import EXIT_CODES

SQL = "SELECT event, count() AS c FROM events GROUP BY event"
NAMES = ("one", "two", "three")
COLLEAGUE_SQL = f"{SQL} LIMIT 77"
PROGRAM = (
    sys.executable,
    "-c",
    "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main(sys.argv[1:]))",
)
KEY_VARIABLE = "FUZZ_KEY"
_TOP_OF_REPOSITORY = Path(__file__).parents[2]


class BrokenPromise(Exception):
    """A promise did not hold; the text says which."""


def require(condition: object, promise: str) -> None:
    if not condition:
        raise BrokenPromise(promise)


@dataclass(frozen=True, slots=True)
class Completed:
    """What one command left behind."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class World:
    """`folder` holds everything on the disk: the checkout, the state folder, the home folder and the server's database.
    `edits` counts the edits of the definitions.
    """

    server: RunningServer
    folder: Path
    edits: int = 0

    @property
    def top(self) -> Path:
        return self.folder / "checkout"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def state_file(self, name: str) -> Path:
        """The one file of that name in the state folder."""
        paths = list(self.state.rglob(name))
        require(len(paths) == 1, f"the state folder has {len(paths)} files called {name}")
        return paths[0]

    @property
    def sql(self) -> str:
        """The query that the definitions have now."""
        return f"{SQL} LIMIT {self.edits + 1}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return kept | {
            "HOME": str(self.folder),
            "ENDPOINTS_GITOPS_STATE": str(self.state),
            KEY_VARIABLE: self.server.key,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # writes of the interpreter are none of ours
            "PYTHONPATH": str(_TOP_OF_REPOSITORY),
        }

    def git(self, *words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        command = ["git", "-C", str(self.top), *identity, *words]
        subprocess.run(command, check=True, capture_output=True, env=self.environment)

    def edit(self) -> None:
        """Give every definition its next query and description, and commit."""
        self.edits += 1
        for name in NAMES:
            value = {"name": name, "query": self.sql, "description": f"edit {self.edits}", "tags": [name]}
            text = "".join(f"{key}: {json.dumps(setting)}\n" for key, setting in value.items())
            (self.top / "endpoints" / f"{name}.yaml").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"edit {self.edits}")

    def run(self, *words: str, prefix: Sequence[str] = ()) -> Completed:
        """Run a command in a process. Raises BrokenPromise for a traceback, a shown key, or an exit code that is not in
        the table. `prefix` is a program that runs the command and may kill it.
        """
        process = subprocess.run(
            [*prefix, *PROGRAM, *words], cwd=self.top, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        out, err = (stream.decode(errors="replace") for stream in (process.stdout, process.stderr))
        completed = Completed(process.returncode, out, err)
        require(self.server.key not in out + err, f"{words}: the key was shown")
        require(prefix or completed.code in EXIT_CODES, f"{words}: exit code {completed.code}\n{err}")
        defect = "Traceback" in err or "a defect of this tool" in err
        require(not defect, f"{words}: a defect\n{err}")
        return completed

    def succeed(self, *words: str) -> None:
        completed = self.run(*words)
        require(completed.code == 0, f"{words} exits with {completed.code}\n{completed.err}")

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """A colleague's request to the server."""
        headers = {"Authorization": f"Bearer {self.server.colleague_key}"}
        address = f"{self.server.url}/api/projects/{self.server.project_id}/endpoints/{path}"
        answer = httpx.request(method, address, json=body, headers=headers, timeout=30).raise_for_status()
        return dict(answer.json())

    def versions(self, name: str) -> list[str]:
        """The queries of all versions, oldest first."""
        answer = self.ask("GET", f"{name}/versions/?limit=1000")
        return [version["query"]["query"] for version in reversed(answer["results"])]

    def files(self) -> frozenset[str]:
        """What git could add: every file in the checkout but those of `.git`."""
        paths = [path for path in self.top.rglob("*") if path.is_file() and ".git" not in path.parts]
        return frozenset(path.relative_to(self.top).as_posix() for path in paths)


@contextmanager
def new_world(engine: Engine) -> Iterator[World]:
    """Three definitions, committed and pushed."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        with running_server(engine=engine, state=folder / "server") as server:
            world = World(server, folder)
            (world.top / "endpoints").mkdir(parents=True)
            (world.top / "endpoints.toml").write_text(
                f'dir = "endpoints"\n[environments.test]\nhost = "{server.url}"\nproject_id = {server.project_id}\n'
                f"key = \"env:{KEY_VARIABLE}\"\n\n[environments.test.uses]\none = '*'\ntwo = '*'\n"
            )
            world.git("init", "--quiet", "--initial-branch", "main")
            world.edit()
            world.succeed("push", "--yes")
            yield world


class Snapshot:
    """A world as it was at one moment, to begin from any number of times, at the same address and paths."""

    def __init__(self, world: World, folder: Path) -> None:
        self._port = int(world.server.url.rpartition(":")[2])
        self._original, self._copy, self._edits = world.folder, folder, world.edits
        shutil.copytree(self._original, folder, symlinks=True)

    @contextmanager
    def world(self, engine: Engine) -> Iterator[World]:
        shutil.rmtree(self._original, ignore_errors=True)
        shutil.copytree(self._copy, self._original, symlinks=True)
        try:
            with running_server(engine=engine, state=self._original / "server", port=self._port) as server:
                yield World(server, self._original, self._edits)
        finally:
            shutil.rmtree(self._original, ignore_errors=True)
