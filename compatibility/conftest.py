"""An app with a lock and recordings, whose suite runs in a process of its own with one other plugin beside ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

from endpoints_gitops.codecs.recording import Recording, file_of, write_recording
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.workspace.manifest import write_lock_file

HOST = "posthog.quill.example"
MONTHS = tuple(f"2026-0{number}" for number in range(1, 7))
PIN = Pin(
    environment="prod",
    name="revenue",
    endpoint_id="6e0c2a3e-0000-4000-8000-000000000001",
    version=1,
    version_id="6e0c2a3e-0000-4000-8000-000000000002",
    created_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
    query={"kind": "HogQLQuery", "query": "SELECT plan, mrr FROM t WHERE month = {variables.month} LIMIT 10"},
    variables=(PinnedVariable(name="month", type="String", required=True, has_default=False),),
    columns=(PinnedColumn(name="plan", type="string"), PinnedColumn(name="mrr", type="integer")),
)
PLUGINS = {
    "asyncio": "pytest_asyncio.plugin",
    "django": "pytest_django",
    "randomly": "pytest_randomly",
    "rerunfailures": "pytest_rerunfailures",
    "shard": "pytest_shard.pytest_shard",
    "socket": "pytest_socket",
    "split": "pytest_split.plugin",
    "test-groups": "pytest_test_groups",
    "timeout": "pytest_timeout",
    "xdist": "xdist.plugin",
    "pyfakefs": "pyfakefs.pytest_plugin",
    "anyio": "anyio.pytest_plugin",
}
"""The module of each plugin; a run loads one of them and ours."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and what it said."""

    code: int
    counts: dict[str, int]
    text: str


class App:
    """The folder of the app."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_lock_file(folder / "endpoints.lock", Lock(pins=(PIN,)))
        self.write("pytest.ini", "[pytest]\n")
        environment = f'[environments.prod]\nhost = "https://{HOST}"\nproject_id = 1\nkey = "env:APP_KEY"\n'
        self.write("endpoints.toml", f'{environment}[uses]\nrevenue = "*"\n')
        for month in MONTHS:
            self._record(month)

    def write(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content, encoding="utf-8")

    def recordings(self) -> int:
        return len(list((self.folder / "recordings").rglob("*.json")))

    def pytest(self, *words: str, plugins: tuple[str, ...] = ()) -> Outcome:
        """Run the suite with our plugin, `plugins`, and no other."""
        loaded = [word for name in plugins for word in ("-p", PLUGINS[name])]
        command = (sys.executable, "-m", "pytest", "-p", "pytest_endpoints_gitops", *loaded, *words)
        env = {
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "ENDPOINTS_GITOPS_STATE": str(self.folder / "state"),
        }
        for name in [name for name in env if name in ("CI", "PYTEST_ADDOPTS") or name.startswith("PYTEST_XDIST")]:
            del env[name]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
        last = next((line for line in reversed(done.stdout.splitlines()) if " in " in line and "s" in line), "")
        words_of_last = last.strip("= ").partition(" in ")[0].replace(",", "").split()
        counts = {
            word.rstrip("s"): int(count)
            for count, word in zip(words_of_last[::2], words_of_last[1::2], strict=False)
            if count.isdigit()
        }
        counts.pop("warning", None)  # of the other plugin
        return Outcome(done.returncode, counts, text)

    def _record(self, month: str) -> None:
        recording = Recording(
            endpoint=PIN.name,
            version=PIN.version,
            version_id=PIN.version_id,
            variables={"month": month},
            recorded_on=datetime.now(UTC).date(),
            query_hash=PIN.query_hash,
            columns=("plan", "mrr"),
            types=(("plan", "String"), ("mrr", "Int64")),
            rows=(["pro", 120],),
        )
        path = self.folder / "recordings" / file_of(PIN.name, PIN.version, {"month": month})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write_recording(recording))


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path)


@pytest.fixture
def require() -> Callable[[str], None]:
    """Fail, and never skip, where a distribution is missing: what did not run is not compatible."""

    def required(name: str) -> None:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            pytest.fail(f"{name} is not installed: uv sync --group compat", pytrace=False)

    return required
