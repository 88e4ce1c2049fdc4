"""An app with a lock, recordings and its own suite, which a pytest inside this one runs.

Every run happens in three ways: without xdist, with `-n0`, and with two workers. What pytester forgets between runs is
imported here once, so that a run takes the time of a run, and so that nothing is left half of one import and half of
another: httpx maps the errors of the httpcore that it met first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING

import pytest
import pytest_endpoints_gitops

import endpoints_gitops
from endpoints_gitops.cli.entry import main
from endpoints_gitops.codecs.recording import Recording, file_of, write_recording
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.workspace.manifest import read_lock_file, write_lock_file
from tests.plugin.ways import NO_XDIST, WAYS

if TYPE_CHECKING:
    from endpoints_gitops.local.serve import RunningServer

for package in (endpoints_gitops, pytest_endpoints_gitops):
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
for third in (
    "anyio.to_thread",
    "anyio._backends._asyncio",
    "filelock",
    "httpcore",
    "ruamel.yaml",
):
    import_module(third)

KEY = "APP_KEY"
REVENUE = """\
name: revenue
query: |
  SELECT 'pro' AS plan, 120 AS mrr, {variables.month} AS month ORDER BY plan LIMIT 10
variables:
  - {name: month, type: String, default: 2026-07}
"""

PIN = Pin(
    environment="test",
    name="revenue",
    endpoint_id="6e0c2a3e-0000-4000-8000-000000000001",
    version=1,
    version_id="6e0c2a3e-0000-4000-8000-000000000002",
    created_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
    query={"kind": "HogQLQuery", "query": "SELECT plan, mrr, month FROM t ORDER BY plan LIMIT 10"},
    variables=(PinnedVariable(name="month", type="String", required=False, has_default=True, default="2026-07"),),
    columns=tuple(
        PinnedColumn(name=name, type=kind)
        for name, kind in (("plan", "string"), ("mrr", "integer"), ("month", "string"))
    ),
)

_CLICKHOUSE = {"string": "String", "integer": "Int64", "decimal": "Decimal(10, 2)"}


@contextmanager
def environment_restored() -> Iterator[None]:
    """Restore the environment variables that a suite in this process changed."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


class App:
    """The folder of an app, and the actions of its developers."""

    REVENUE = REVENUE
    PIN = PIN

    def __init__(self, pytester: pytest.Pytester, server: RunningServer, way: tuple[str, ...]) -> None:
        self.pytester = pytester
        self.server = server
        self.way = way
        self.folder = pytester.path
        self.configure("revenue")

    def configure(self, *uses: str) -> None:
        lines = [
            'dir = "endpoints"',
            "[environments.test]",
            f'host = "{self.server.url}"',
            f"project_id = {self.server.project_id}",
            f'key = "env:{KEY}"',
            "[uses]",
            *(use if "=" in use else f'{use} = "*"' for use in uses),
        ]
        self.write("endpoints.toml", "\n".join(lines) + "\n")

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def suite(self, content: str, name: str = "test_app.py") -> None:
        self.write(name, content)

    def command(self, *words: str) -> None:
        """Run a command of endpoints-gitops, which must succeed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY, self.server.key)
            code = main(words)
        assert code == 0, words

    def push(self, definition: str = REVENUE, name: str = "revenue") -> None:
        self.write(f"endpoints/{name}.yaml", definition)
        self.command("push", "--yes", "--quiet")

    def pinned(self, definition: str = REVENUE) -> Pin:
        """Push the definition, lock it, and return the pin."""
        self.push(definition)
        return self.lock()

    def lock(self) -> Pin:
        self.command("lock", "--quiet")
        return self.locked.pins[0]

    def locks(self, *pins: Pin) -> None:
        """Write a lock without a request to the server."""
        write_lock_file(self.folder / "endpoints.lock", Lock(pins=pins))

    def has_recorded(self, pin: Pin, *rows: list[object], **variables: object) -> Path:
        """Write a recording with the date of today, without a request to the server."""
        columns = tuple(column.name for column in pin.columns or ())
        recording = Recording(
            endpoint=pin.name,
            version=pin.version,
            version_id=pin.version_id,
            variables=variables,
            recorded_on=datetime.now(UTC).date(),
            query_hash=pin.query_hash,
            columns=columns,
            types=tuple((column.name, _CLICKHOUSE[column.type]) for column in pin.columns or ()),
            rows=rows or (["pro", 120, "2026-07"],),
        )
        path = self.recording(pin, **variables)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write_recording(recording))
        return path

    @property
    def locked(self) -> Lock:
        lock = read_lock_file(self.folder / "endpoints.lock")
        assert lock is not None
        return lock

    def recording(self, pin: Pin, **variables: object) -> Path:
        return self.folder / "recordings" / file_of(pin.name, pin.version, variables)

    def recordings(self) -> list[str]:
        folder = self.folder / "recordings"
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def runs(self) -> int:
        """The number of runs that the server was asked for."""
        return sum("/run" in request.path for request in self.server.requests.entries())

    def pytest(self, *words: str, key: str | None = None, env: dict[str, str] | None = None) -> pytest.RunResult:
        """Run the suite of the app; without `key` it cannot call the server."""
        with environment_restored(), pytest.MonkeyPatch.context() as patch:
            patch.delenv("CI", raising=False)
            for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
                patch.delenv(name)
            for name, value in {**({KEY: key} if key else {}), **(env or {})}.items():
                patch.setenv(name, value)
            return self.pytester.runpytest_inprocess("-p", "no:randomly", *self.way, *words)

    def record(self) -> pytest.RunResult:
        result = self.pytest("--endpoints=record", key=self.server.key)
        assert result.ret == 0, result.outlines
        return result

    @staticmethod
    def output(result: pytest.RunResult) -> str:
        """The output of a run, with times and dates replaced."""
        text = re.sub(r"\d\d:\d\d UTC", "HH:MM UTC", "\n".join(result.outlines))
        return re.sub(r"(?<=json, )\d{4}-\d\d-\d\d", "TODAY", text)

    def failure(self, result: pytest.RunResult, begins: str = "revenue") -> str:
        """The first failure message of the plugin in a run, from its verdict to its command."""
        lines = self.output(result).splitlines()
        start = next(at for at, line in enumerate(lines) if line.startswith(begins) and ": " in line)
        end = next(at for at, line in enumerate(lines) if at > start and line.startswith("  next "))
        return "\n".join(lines[start : end + 1])


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


@pytest.fixture
def app(
    pytester: pytest.Pytester,
    server: RunningServer,
    nobodys_settings: None,  # noqa: ARG001 - a fixture that works by being there
    way: tuple[str, ...],
) -> App:
    pytester.makeini("[pytest]\n")
    return App(pytester, server, way)


@pytest.fixture
def app_once(
    pytester: pytest.Pytester,
    server: RunningServer,
    nobodys_settings: None,  # noqa: ARG001 - a fixture that works by being there
) -> App:
    """An app whose suite runs without xdist, for behavior that workers do not change."""
    pytester.makeini("[pytest]\n")
    return App(pytester, server, NO_XDIST)
