"""The story of a change, from an author's branch to a release: `uv run python -m tests.story.play` writes `golden/`.

An author pushes two endpoints. Two apps pin different versions, and a third calls one without a pin. The author changes
both endpoints on a branch: the review blocks it, an approval clears it, and a push applies it. One app moves its pin;
the release gate blocks it until its tests have run. At last the author announces the end of an endpoint and retires it.

Everything is real: git repositories, the local server, pytest, and each command as a user runs it. Only the clock is
given.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from docs.readme import SHOWN_HOST, SHOWN_PROJECT, START, plain_environment
from endpoints_gitops.cli.main import run
from endpoints_gitops.local.serve import RunningServer, running_server

GOLDEN: Final = Path(__file__).parent / "golden"
FORMATS: Final = {
    "text": "txt",
    "json": "json",
    "markdown": "md",
    "github": "github.txt",
    "sarif": "sarif",
    "junit": "junit.xml",
    "gitlab": "gitlab.json",
}
"""The report formats, with the ends of their golden files."""

_MOVING: Final = (
    (re.compile(r"\b(project |projects/|project_id = )1\b"), rf"\g<1>{SHOWN_PROJECT}"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"(plan[ _]digest\W+)[0-9a-f]{16,}"), r"\g<1><digest>"),
    (re.compile(r"\b([0-9a-f]{40}|[0-9a-f]{12})\b"), "<commit>"),
    (re.compile(r"\bin \d+(\.\d+)? ?m?s\b"), "in 0.1 s"),
)
_CONFIGURATION: Final = """\
dir = "endpoints"
[environments.prod]
host = "{host}"
project_id = {project}
key = "env:STORY_KEY"
"""
_SIGNUPS: Final = """\
name: signups_by_source
description: New accounts of the last 30 days by the source that people named.
owner: growth
query: |-
  SELECT properties.source AS source, count() AS signups
  FROM events
  WHERE event = 'user signed up' AND timestamp >= now() - INTERVAL 30 DAY
  GROUP BY source
  ORDER BY source
"""
_NOTES: Final = """\
name: notes_by_plan
description: Notes of the last 30 days by the plan of the account.
owner: product
query: |-
  SELECT properties.plan AS plan, count() AS notes
  FROM events
  WHERE event = 'note created' AND timestamp >= now() - INTERVAL 30 DAY
  GROUP BY plan
  ORDER BY plan
"""
_PEOPLE: Final = ("count() AS notes", "count() AS notes, count(DISTINCT person_id) AS people")
_AUTHORS: Final = (
    "count(DISTINCT person_id) AS people",
    "count(DISTINCT person_id) AS people, max(timestamp) AS latest",
)
_ORIGIN: Final = ("SELECT properties.source AS source", "SELECT properties.source AS origin")
_ORIGIN_ROWS: Final = (
    ("GROUP BY source", "GROUP BY origin"),
    ("ORDER BY source", "ORDER BY origin"),
)
_SUITE: Final = """\
def test_notes_are_counted(endpoints):
    for row in endpoints("notes_by_plan"):
        assert row.notes > 0
"""


@dataclass(kw_only=True)
class Story:
    """The stage: a folder with repositories, the server, the time, and what the commands printed so far."""

    folder: Path
    server: RunningServer
    now: datetime = START
    golden: dict[str, str] = field(default_factory=dict)

    def write(self, repository: str, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def edit(self, repository: str, name: str, *replacements: tuple[str, str]) -> None:
        path = self.folder / repository / name
        text = path.read_text(encoding="utf-8")
        for old, new in replacements:
            assert old in text, f"{name} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def git(self, repository: str, *words: str) -> str:
        top = self.folder / repository
        done = subprocess.run(("git", "-C", top, *words), check=True, capture_output=True, text=True, env=self.env)
        return done.stdout.strip()

    def create(self, repository: str, files: Mapping[str, str]) -> None:
        """Make a repository with a configuration and these files, committed."""
        configuration = _CONFIGURATION.format(host=self.server.url, project=self.server.project_id)
        self.write(repository, {"endpoints.toml": configuration + files.get("endpoints.toml", "")})
        self.write(repository, {name: text for name, text in files.items() if name != "endpoints.toml"})
        self.git(repository, "init", "--quiet", "--initial-branch", "main")
        self.commit(repository, "Start")

    def commit(self, repository: str, message: str) -> None:
        self.now += timedelta(minutes=1)
        self.git(repository, "add", "--all")
        self.git(repository, "commit", "--quiet", "--message", message)

    @property
    def env(self) -> dict[str, str]:
        """The variables of every program, with the time of a commit."""
        return {**os.environ, **dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), self.now.isoformat())}

    def command(self, repository: str, *words: str, code: int, golden: str | None = None) -> None:
        """Run a command of ours in a repository; what it prints becomes a golden file."""
        self.now += timedelta(minutes=1)
        stdout, stderr, before = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(self.folder / repository)
        try:
            with redirect_stdout(stdout), redirect_stderr(stderr), patch.object(sys, "stdin", io.StringIO()):
                actual = run(words, clock=lambda: self.now)
        finally:
            os.chdir(before)
        printed = f"$ endpoints-gitops {' '.join(words)}\n{stderr.getvalue()}{stdout.getvalue()}"
        assert actual == code, f"exit code {actual} instead of {code}:\n{printed}"
        if golden is not None:
            self.golden[f"{golden}.txt"] = self.shown(f"{printed}exit code {code}\n")

    def reported(self, repository: str, *words: str, code: int, golden: str) -> dict[str, Any]:
        """Run a command that reports, with every report format; returns its JSON report."""
        reports = self.folder / "reports"
        reports.mkdir(exist_ok=True)
        files = {name: reports / f"{golden}.{end}" for name, end in FORMATS.items()}
        options = (f"--report={name}={path}" for name, path in files.items())
        self.command(repository, *words, *options, code=code)
        for name, path in files.items():
            self.golden[f"{golden}.{FORMATS[name]}"] = self.shown(path.read_text(encoding="utf-8"))
        value: dict[str, Any] = json.loads(files["json"].read_text(encoding="utf-8"))
        assert value["exit_code"] == code
        return value

    def pytest(self, repository: str, *words: str) -> None:
        command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *words)
        top = self.folder / repository
        done = subprocess.run(command, cwd=top, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def shown(self, text: str) -> str:
        """The text as the golden file has it: without addresses, ids and times of this run."""
        text = text.replace(self.server.url, SHOWN_HOST).replace(str(self.folder), "~")
        for pattern, instead in _MOVING:
            text = pattern.sub(instead, text)
        return text


def play(folder: Path) -> dict[str, str]:
    """Play the whole story in an empty folder. Returns the golden files by name."""
    with _stage(folder) as story:
        _first_push(story)
        _consumers(story)
        _review(story)
        _gate(story)
        _sunset(story)
        return story.golden


def _first_push(story: Story) -> None:
    files = {
        "endpoints/signups_by_source.yaml": _SIGNUPS,
        "endpoints/notes_by_plan.yaml": _NOTES,
        ".github/CODEOWNERS": "endpoints/ @acme/analytics\nendpoints/signups_* @acme/growth\n",
    }
    story.create("analytics", files)
    story.command("analytics", "push", "--yes", "--quiet", code=0)


def _consumers(story: Story) -> None:
    """`billing` pins version 1 of an endpoint, `website` version 2, and calls another endpoint without a pin."""
    uses = '[uses]\nnotes_by_plan = { version = "*", columns = ["plan", "notes"] }\n'
    story.create("billing", {"endpoints.toml": uses, "test_billing.py": _SUITE})
    story.command("billing", "lock", code=0)
    story.commit("billing", "Pin version 1")
    story.git("billing", "tag", "v1.0")
    story.edit("analytics", "endpoints/notes_by_plan.yaml", _PEOPLE)
    story.commit("analytics", "Count people too")
    story.command("analytics", "push", "--yes", "--quiet", code=0)
    story.create("website", {"endpoints.toml": '[uses]\nnotes_by_plan = { reads = "position" }\n'})
    story.command("website", "lock", code=0)
    story.edit("website", "endpoints.toml", ("[uses]\n", '[uses]\nsignups_by_source = "*"\n'))
    story.commit("website", "Use another endpoint, and forget to lock it")
    story.command("analytics", "consumers", "collect", "../billing", "../website", code=0, golden="01-collect")
    story.command("analytics", "consumers", "who", "notes_by_plan", code=0, golden="02-who")
    story.commit("analytics", "Collect the consumers")


def _review(story: Story) -> None:
    """A branch renames a column that an unpinned app reads, and adds one to another endpoint."""
    story.git("analytics", "checkout", "--quiet", "-b", "origins")
    story.edit("analytics", "endpoints/signups_by_source.yaml", _ORIGIN, *_ORIGIN_ROWS)
    story.edit("analytics", "endpoints/notes_by_plan.yaml", _AUTHORS)
    story.commit("analytics", "Call the source of a sign-up its origin")
    value = story.reported("analytics", "review", "--against", "main", code=1, golden="03-review")
    story.command("analytics", "review", "--against", "main", "--offline", code=1, golden="04-review-offline")
    errors = [
        finding["fingerprint"]
        for item in value["items"]
        for finding in item["findings"]
        if finding["severity"] == "error"
    ]
    reason = ("--reason", "the website is adapted in the same release", "--by", "bo")
    story.command("analytics", "approve", *errors, *reason, code=0, golden="05-approve")
    story.commit("analytics", "Approve the renamed column")
    story.reported("analytics", "review", "--against", "main", code=0, golden="06-review-approved")
    story.git("analytics", "checkout", "--quiet", "main")
    story.git("analytics", "merge", "--quiet", "--ff-only", "origins")
    story.command("analytics", "push", "--yes", "--quiet", code=0, golden="07-push")


def _gate(story: Story) -> None:
    """A bump without tests is blocked, and released once they have passed on it."""
    story.command("billing", "outdated", code=0, golden="08-outdated")
    story.command("billing", "upgrade", "--compatible-only", code=0, golden="09-upgrade")
    story.commit("billing", "Move to version 3")
    story.reported("billing", "gate", "--against", "v1.0", code=1, golden="10-gate-without-tests")
    story.pytest("billing", "--endpoints=live", "--endpoints-evidence=endpoints-evidence.json")
    story.reported("billing", "gate", "--against", "v1.0", code=0, golden="11-gate-with-tests")


def _sunset(story: Story) -> None:
    """The author announces the end of an endpoint, and retires it when its last consumer has left."""
    story.git("analytics", "checkout", "--quiet", "-b", "sunset")
    end = "deprecation: {since: 2026-07-01, sunset: 2026-09-01, replaced_by: notes_by_plan, reason: nobody reads it}\n"
    story.write("analytics", {"endpoints/signups_by_source.yaml": _renamed(_SIGNUPS) + end})
    story.commit("analytics", "Announce the end of signups_by_source")
    story.command("analytics", "review", "--against", "main", code=0, golden="12-review-sunset")
    story.git("analytics", "checkout", "--quiet", "main")
    story.git("analytics", "merge", "--quiet", "--ff-only", "sunset")
    story.now += timedelta(days=90)
    story.command("analytics", "list", code=0, golden="13-list")
    story.command("analytics", "retire", "--yes", code=1, golden="14-retire-refused")
    story.edit("website", "endpoints.toml", ('signups_by_source = "*"\n', ""))
    story.commit("website", "Leave signups_by_source")
    story.command("analytics", "consumers", "collect", "../website", code=0)
    story.commit("analytics", "Collect the website again")
    story.command("analytics", "retire", "--yes", code=0, golden="15-retire")


def _renamed(text: str) -> str:
    for old, new in (_ORIGIN, *_ORIGIN_ROWS):
        text = text.replace(old, new)
    return text


@contextmanager
def _stage(folder: Path) -> Iterator[Story]:
    stage: list[Story] = []

    def clock() -> datetime:
        return stage[0].now if stage else START

    with ExitStack() as opened:
        server = opened.enter_context(running_server(sample=True, now=START, clock=clock))
        env = plain_environment(folder / "home") | {"STORY_KEY": server.key}
        opened.enter_context(patch.dict(os.environ, env, clear=True))
        stage.append(Story(folder=folder, server=server))
        yield stage[0]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="story-") as folder:
        golden = play(Path(folder))
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        path.unlink()
    for name, text in golden.items():
        (GOLDEN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
