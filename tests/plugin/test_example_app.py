"""The suite of the example app, against a local server on which an author changes queries."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.cli.entry import main
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.secret import Secret
from tests.plugin.ways import WAYS

EXAMPLE = Path(__file__).parents[2] / "examples" / "numbers_board"
KEY = "POSTHOG_API_KEY"
SETTINGS = ("ENDPOINTS_GITOPS_HOST", "ENDPOINTS_GITOPS_PROJECT_ID", KEY)


class Board:
    """A checkout of the example in which its author and the developers of the app work, `hours` apart."""

    def __init__(self, pytester: pytest.Pytester, way: tuple[str, ...]) -> None:
        self.pytester = pytester
        self.way = way
        self.hours = 0
        self.server: RunningServer | None = None
        self.folder = pytester.path
        ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        shutil.copytree(EXAMPLE, self.folder, dirs_exist_ok=True, ignore=ignored)

    def now(self) -> datetime:
        return datetime(2026, 7, 1, 12, tzinfo=UTC) + timedelta(hours=self.hours)

    def command(self, *words: str) -> None:
        with self._environment(reached=True):
            assert main([*words, "--quiet"]) == 0, words

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / "endpoints" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def pytest(self, *words: str, reached: bool = True, way: tuple[str, ...] | None = None) -> pytest.RunResult:
        """`reached`: the run has a key and the address of the server."""
        ours = ("-p", "no:randomly", *(self.way if way is None else way), *words)
        with self._environment(reached=reached):
            return self.pytester.runpytest_inprocess(*ours)

    @contextmanager
    def _environment(self, *, reached: bool) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            self._set(patch, reached=reached)
            yield

    def _set(self, patch: pytest.MonkeyPatch, *, reached: bool) -> None:
        for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
            patch.delenv(name)
        patch.delenv("CI", raising=False)
        if reached:
            assert self.server is not None
            there = (self.server.url, str(self.server.project_id), self.server.key)
            for name, value in zip(SETTINGS, there, strict=True):
                patch.setenv(name, value)


@pytest.fixture(params=WAYS)
def board(request, pytester, nobodys_settings) -> Board:  # noqa: ARG001 - works by being there
    return Board(pytester, request.param)


@pytest.fixture
def live_board(board, engine) -> Iterator[Board]:
    """The endpoints are on a server, pinned and recorded."""
    with running_server(engine=engine, clock=board.now) as server:
        board.server = server
        shutil.rmtree(board.folder / "recordings")
        (board.folder / "endpoints.lock").unlink()
        board.command("push", "--yes")
        board.command("lock")
        board.pytest("--endpoints=record", way=("-p", "no:xdist")).assert_outcomes(passed=7)
        board.hours += 24
        yield board


def first_message(result: pytest.RunResult, begins: str, ends: str = "  next ") -> str:
    """The first message with this beginning, with times replaced."""
    lines = [re.sub(r"\d\d:\d\d UTC", "HH:MM UTC", line) for line in result.outlines]
    start = next(at for at, line in enumerate(lines) if line.startswith(begins))
    end = next(at for at, line in enumerate(lines) if at >= start and line.startswith(ends))
    return "\n".join(line.rstrip() for line in lines[start : end + 1])


def test_the_suite_passes_as_it_is_shipped(board):
    """The suite needs its lock and recordings, but neither a key nor a network."""
    board.pytest(reached=False).assert_outcomes(passed=7)


MRR = "round(sum(toFloat(properties.amount)), 2) AS mrr"
VERSIONED = {
    "removed": (
        f",\n      {MRR}",
        "",
        "error  C101     revenue_by_plan@1 → revenue_by_plan@2: column 'mrr' was removed",
    ),
    "renamed": (
        MRR,
        MRR.replace("AS mrr", "AS arr"),
        "error  C102     revenue_by_plan@1 → revenue_by_plan@2: column 'mrr' was renamed to 'arr'",
    ),
    "retyped": (
        MRR,
        f"toString({MRR.removesuffix(' AS mrr')}) AS mrr",
        "error  C103     revenue_by_plan@1 → revenue_by_plan@2: column 'mrr' changed its type to string; it was float",
    ),
}


@pytest.mark.parametrize(("old", "new", "line"), VERSIONED.values(), ids=VERSIONED)
def test_a_breaking_new_version_fails_the_canary(live_board, old, new, line):
    live_board.edit("revenue_by_plan", old, new)
    live_board.command("push", "--yes")
    live_board.pytest("--endpoints=live").assert_outcomes(passed=7)
    result = live_board.pytest("--endpoints-canary=latest")
    result.assert_outcomes(passed=7)
    assert (result.ret, first_message(result, "  error", "  error").strip()) == (1, line)


def materialised(board: Board) -> None:
    board.edit("signups_by_source", "variables:", "materialization:\n  enabled: true\nvariables:")
    board.command("push", "--yes")


def deactivated(board: Board) -> None:
    """A developer who reads the newest version only."""
    board.edit("revenue_by_plan", "GROUP BY plan\n", "GROUP BY properties.plan\n")
    board.command("push", "--yes", "--allow-cosmetic")
    board.command("deactivate", "revenue_by_plan", "--version", "1", "--yes")


def recreated(board: Board) -> None:
    assert board.server is not None
    connection = Connection(host=board.server.url, project_id=1, key=Secret(board.server.key))
    with Client(connection) as client:
        client.delete_endpoint("revenue_by_plan")
    board.command("push", "--yes", "--overwrite")


IN_PLACE = {
    materialised: """\
signups_by_source@1: the server requires a variable that was not sent
  expected   the lock: first_plan: String (optional)
  received   Required variable(s) 'first_plan' not provided
             materialising a version makes its variables required
  next       endpoints-gitops lock --verify --env prod""",
    deactivated: """\
revenue_by_plan@1: version 1 is inactive
  received   400 Version 1 is inactive and cannot be executed.     \
POST /api/projects/1/endpoints/revenue_by_plan/run/?version=1
  next       endpoints-gitops upgrade revenue_by_plan --env prod""",
    recreated: """\
revenue_by_plan@1: the endpoint was recreated; this is not the pinned version
  expected   created 2026-07-01T12:00:00+00:00     endpoints.lock
  received   created 2026-07-02T12:00:00+00:00     live, HH:MM UTC
  defined    endpoints/revenue_by_plan.yaml:1
  next       endpoints-gitops upgrade revenue_by_plan@1 --env prod""",
}


@pytest.mark.parametrize(("change", "message"), IN_PLACE.items(), ids=lambda it: getattr(it, "__name__", ""))
def test_a_change_in_place_fails_the_suite(live_board, change, message):
    """No pin protects from these changes. A test of the app's HTTP code fails too, at its end."""
    change(live_board)
    result = live_board.pytest("--endpoints=live")
    assert result.ret == 1
    assert first_message(result, message.partition(":")[0]) == message
    assert "ERROR at teardown of test_the_board_shows_three_numbers" in result.stdout.str()
    live_board.pytest(reached=False).assert_outcomes(passed=7)


def test_a_moved_pin_fails_the_suite_until_the_app_is_changed(live_board):
    """It fails without recordings, and with them where the app reads a changed column."""
    live_board.edit("revenue_by_plan", *VERSIONED["removed"][:2])
    live_board.command("push", "--yes")
    live_board.command("upgrade", "revenue_by_plan", "--allow-breaking", "the board is changed next", "--yes")
    result = live_board.pytest(reached=False)
    result.assert_outcomes(passed=3, failed=4, errors=2)
    assert any(line.startswith("revenue_by_plan@2: ") for line in result.outlines)
    result = live_board.pytest("--endpoints=record")
    assert result.ret == 1
    assert any(line.startswith('revenue_by_plan@2: column "mrr" is gone') for line in result.outlines)


HARMLESS = {
    "appended": ("AS mrr", "AS mrr,\n      count() AS invoices"),
    "cosmetic": ("GROUP BY plan\n", "group by   plan\n"),
    "new optional variable": (
        "variables:\n",
        "variables:\n  - {name: currency, type: String, default: EUR}\n",
    ),
}


@pytest.mark.parametrize(("old", "new"), HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_change_fails_nothing(live_board, old, new):
    live_board.edit("revenue_by_plan", old, new)
    if "currency" in new:
        used = "    AND properties.currency = {variables.currency}\n    AND form"
        live_board.edit("revenue_by_plan", "    AND form", used)
    live_board.command("push", "--yes", "--allow-cosmetic")
    for words in (("--endpoints=live",), ("--endpoints-canary=latest",)):
        result = live_board.pytest(*words)
        result.assert_outcomes(passed=7)
        assert result.ret == 0, result.outlines
