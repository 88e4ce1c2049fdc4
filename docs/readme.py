"""Runs what the README and the guides show and writes down what it printed: `uv run python docs/readme.py [--check]`.

Every `console` block of a page is typed into a shell, top to bottom, in one git checkout for each page, with a local
server that is given out as a PostHog project. A line that starts with `$ ` is a command, `# (…)` a stage direction
(`DIRECTIONS`), everything else is output and replaced. With `--check` nothing is written, and the exit code is 1 when a
page shows something else than what happens.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.secret import Secret

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = ("README.md", "docs/authors.md")
SHOWN_HOST: Final = "https://us.posthog.com"
SHOWN_PROJECT: Final = "12345"
START: Final = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_THEIRS: Final = ("ENDPOINTS_", "POSTHOG_", "GIT_", "PYTEST_", "CI", "BUILD_NUMBER")
_DIRECTION: Final = re.compile(r"# \((.+)\)\n")
_MOVING: Final = (
    (re.compile(r"\bin \d+\.\d+s\b"), "in 0.1s"),
    (re.compile(r"\b\d+ ms\b"), "12 ms"),
    (re.compile(r"\bv1\.0 \([0-9a-f]{12}\)"), "v1.0 (3d1f0c9a7b52)"),
    (re.compile(r"\bcommit: [0-9a-f]{12}\b"), "commit: 8e5b20d4f316"),
    (re.compile(r"\bplan digest: [0-9a-f]+\b"), "plan digest: 2bbcdb1f1ddfd34135761be382f6cd79"),
    (re.compile(r"\b\d\d:\d\d UTC$", re.MULTILINE), "10:14 UTC"),
)


_PROGRESS: Final = re.compile(r"(?:^  \[\d+/\d+\] .*\n)+", re.MULTILINE)


def _in_order(lines: str) -> str:
    """The lines of a progress report by name: concurrent writes end in any order."""
    texts = sorted(line.partition("] ")[2] for line in lines.splitlines())
    return "".join(f"  [{number}/{len(texts)}] {text}\n" for number, text in enumerate(texts, start=1))


@dataclass(slots=True, kw_only=True)
class Stage:
    """Where the commands run. The clock of the server and of git moves by a minute with every command."""

    folder: Path
    server: RunningServer
    env: dict[str, str]
    now: datetime = field(default=START)

    def typed(self, command: str) -> str:
        self.now += timedelta(minutes=1)
        dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), self.now.isoformat())
        ran = subprocess.run(
            ("bash", "-c", command),
            cwd=self.folder,
            env=self.env | dates,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return self._as_shown(ran.stdout)

    def _as_shown(self, printed: str) -> str:
        shown = printed.replace(self.server.url, SHOWN_HOST).replace(str(self.folder), "~/app")
        shown = re.sub(
            rf"\b(project |projects/|project_id = ){self.server.project_id}\b", rf"\g<1>{SHOWN_PROJECT}", shown
        )
        shown = shown.replace(datetime.now(UTC).date().isoformat(), START.date().isoformat())
        for pattern, instead in _MOVING:
            shown = pattern.sub(instead, shown)
        shown = _PROGRESS.sub(lambda lines: _in_order(lines[0]), shown)
        return shown if shown.endswith("\n") or not shown else f"{shown}\n"


def rewritten(text: str) -> str:
    """The text with the output of every console block as it is now."""
    with _stage() as stage:
        return _BLOCK.sub(lambda block: f"```console\n{''.join(_played(stage, block[1]))}```", text)


def _played(stage: Stage, block: str) -> Iterator[str]:
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            yield line
            yield stage.typed(line.removeprefix("$ ").rstrip("\n"))
        elif direction := _DIRECTION.fullmatch(line):
            yield line
            DIRECTIONS[direction[1]](stage)


@contextmanager
def _stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="readme-") as home:
        clock: list[Stage] = []
        with running_server(sample=True, now=START, clock=lambda: clock[0].now if clock else START) as server:
            folder = Path(home) / "app"
            folder.mkdir()
            stage = Stage(folder=folder, server=server, env=_environment(Path(home), server))
            clock.append(stage)
            yield stage


def plain_environment(home: Path) -> dict[str, str]:
    """The variables of this process for Ann, who has a home of her own: without those that tools and CI systems set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_THEIRS)}
    who = {f"GIT_{role}_NAME": "Ann" for role in ("AUTHOR", "COMMITTER")}
    who |= {f"GIT_{role}_EMAIL": "ann@example.com" for role in ("AUTHOR", "COMMITTER")}
    folders = {"HOME": home, "ENDPOINTS_GITOPS_STATE": home / "state", "ENDPOINTS_GITOPS_CACHE": home / "cache"}
    return kept | who | {name: str(path) for name, path in folders.items()} | {"GIT_CONFIG_GLOBAL": os.devnull}


def _environment(home: Path, server: RunningServer) -> dict[str, str]:
    plain = plain_environment(home)
    return plain | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{plain.get('PATH', '')}",
        "COLUMNS": "100",
        "PYTEST_ADDOPTS": "-q -p no:randomly -p no:cacheprovider",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "init.defaultBranch",
        "GIT_CONFIG_VALUE_0": "main",
        "POSTHOG_CLI_HOST": server.url,
        "POSTHOG_CLI_API_KEY": server.key,
        "POSTHOG_CLI_PROJECT_ID": str(server.project_id),
    }


@contextmanager
def _colleague(stage: Stage) -> Iterator[Client]:
    """Somebody else in the web UI: the same API, another key."""
    key = Secret(stage.server.colleague_key)
    with Client(Connection(host=stage.server.url, project_id=stage.server.project_id, key=key)) as client:
        yield client


def _edited_in_the_web_ui(stage: Stage) -> None:
    with _colleague(stage) as client:
        query = client.get_endpoint("signups_by_source").query
        sql = str(query["query"]).replace("ORDER BY", "HAVING signups > 5\nORDER BY")
        client.update_endpoint("signups_by_source", {"query": {**query, "query": sql}})


def _deactivated(stage: Stage) -> None:
    with _colleague(stage) as client:
        client.update_endpoint("signups_by_source", {"is_active": False}, version=6)


def _recreated(stage: Stage) -> None:
    with _colleague(stage) as client:
        query = client.get_endpoint("signups_by_source").query
        client.delete_endpoint("signups_by_source")
        stage.now += timedelta(days=1)
        client.create_endpoint({"name": "signups_by_source", "query": query})


def _branched(stage: Stage) -> None:
    stage.typed('git commit --quiet --all --message "Back to version 2" && git checkout --quiet -b sources')
    path = stage.folder / "endpoints/signups_by_source.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("AS signups", "AS people").replace("signups DESC", "people DESC")
    )
    stage.typed('git commit --quiet --all --message "Call sign-ups people"')


def _released(stage: Stage) -> None:
    """Another app, which pinned version 1 of an endpoint when it was released, and pins version 2 now."""
    stage.folder = stage.folder.parent / "billing"
    stage.folder.mkdir()
    _configured(stage)
    stage.typed("rm endpoints/*.yaml")
    _written("endpoints/notes_by_plan.yaml", _NOTES)(stage)
    _appended("endpoints.toml", '\n[uses]\nnotes_by_plan = "*"\n')(stage)
    _written("test_billing.py", _BILLING)(stage)
    commit = "git add . && git commit --quiet --message"
    stage.typed(f'{commit} "Notes by plan" && endpoints-gitops push --yes --quiet && endpoints-gitops lock')
    stage.typed(f'{commit} "Pin what the app calls" && git tag v1.0')
    stage.typed("sed -i 's/AS notes/AS notes, uniq(person_id) AS people/' endpoints/notes_by_plan.yaml")
    stage.typed(f'{commit} "Count people too" && endpoints-gitops push --yes --quiet')
    stage.typed(f'endpoints-gitops upgrade --yes --quiet && {commit} "Move to version 2"')


def _configured(stage: Stage) -> None:
    stage.typed("git init --quiet && endpoints-gitops init --yes --quiet")


def _written(path: str, text: str) -> Callable[[Stage], None]:
    def write(stage: Stage) -> None:
        (stage.folder / path).write_text(text, encoding="utf-8")

    return write


def _appended(path: str, text: str) -> Callable[[Stage], None]:
    def append(stage: Stage) -> None:
        place = stage.folder / path
        place.write_text(place.read_text(encoding="utf-8") + text, encoding="utf-8")

    return append


_SIGNUPS: Final = """\
name: signups_by_source
description: New accounts of the last 30 days by the source that people named.
tags: [growth]
query: |-
  SELECT properties.source AS source, count() AS signups
  FROM events
  WHERE event = 'user signed up' AND timestamp >= now() - INTERVAL 30 DAY
  GROUP BY source
  ORDER BY source
owner: growth
"""
_NOTES: Final = """\
name: notes_by_plan
description: Notes of the last 30 days by the plan of the account.
query: |-
  SELECT properties.plan AS plan, count() AS notes
  FROM events
  WHERE event = 'note created' AND timestamp >= now() - INTERVAL 30 DAY
  GROUP BY plan
  ORDER BY plan
"""
_BILLING: Final = """\
def test_notes_are_counted(endpoints):
    assert all(row.notes > 0 for row in endpoints("notes_by_plan"))
"""
_MISTAKES: Final = """\
name: mistakes
descripton: A key that is nearly right.
query: |-
  SELECT count( AS notes
  FROM events
materialization:
  enabled: true
  schedule: 10min
"""
_USES: Final = """
[uses]
signups_by_source = { version = "*", columns = ["source", "signups"] }
"""
_APP: Final = """\
from endpoints_gitops import Endpoints

endpoints = Endpoints.from_lock("endpoints.lock")
for row in endpoints.run("signups_by_source"):
    print(row.source, row.signups)
"""
_SUITE: Final = """\
def test_the_busiest_source(endpoints):
    rows = endpoints("signups_by_source")
    assert rows.column("signups") == sorted(rows.column("signups"), reverse=True)


def test_every_pin_keeps_its_contract(endpoint_case):
    endpoint_case.check()
"""
_TYPO: Final = """\
def test_a_month(endpoints):
    endpoints("signups_by_source", month="2026-06")
"""
DIRECTIONS: Final[dict[str, Callable[[Stage], None]]] = {
    "a project with a configuration": _configured,
    "an author writes endpoints/signups_by_source.yaml": _written("endpoints/signups_by_source.yaml", _SIGNUPS),
    "an author makes mistakes in endpoints/mistakes.yaml": _written("endpoints/mistakes.yaml", _MISTAKES),
    "a colleague renames a column on the branch sources": _branched,
    "an app was released as v1.0; since then an endpoint changed, and the app moves its pin": _released,
    "an app uses signups_by_source": _appended("endpoints.toml", _USES),
    "the app's code is app.py": _written("app.py", _APP),
    "the app's suite is test_app.py": _written("test_app.py", _SUITE),
    "a test calls with a misspelt variable, in test_typo.py": _written("test_typo.py", _TYPO),
    "a colleague deactivates version 6 of signups_by_source": _deactivated,
    "a colleague deletes signups_by_source and creates it again": _recreated,
    "meanwhile a colleague edits signups_by_source in PostHog's web UI": _edited_in_the_web_ui,
}


def main(check: bool) -> int:
    differing = False
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        now = rewritten(text)
        if check:
            lines = difflib.unified_diff(text.splitlines(), now.splitlines(), page, "what happens", lineterm="")
            sys.stdout.writelines(f"{line}\n" for line in lines)
            differing |= now != text
        else:
            (ROOT / page).write_text(now, encoding="utf-8")
    return int(differing)


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
