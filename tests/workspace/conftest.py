"""Real git in a temporary folder, with fixed dates, untouched by the configuration of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class Checkout:
    """A work tree; every commit is an hour after the one before."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.folder = top / "endpoints"
        self.hours = 0

    def git(self, *words: str) -> str:
        date = (START + timedelta(hours=self.hours)).isoformat()
        who = {
            f"GIT_{role}_{what}": f"{what}@example.com"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        env = os.environ | who | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(["git", "-C", self.top, *words], env=env, capture_output=True, check=True)
        return os.fsdecode(done.stdout).strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files below the definitions folder; None removes one."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content, encoding="utf-8")

    def commit(self, files: Mapping[str, str | None] | None = None, *options: str) -> str:
        """Write, commit everything, and return the id of the commit."""
        self.write(files or {})
        self.hours += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", f"hour {self.hours}", *options)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str, files: Mapping[str, str | None] | None = None, *options: str) -> str:
        """Merge a branch with a commit of its own, the files being how it was resolved."""
        words = ("merge", "--quiet", "--no-ff", "--no-commit", "--allow-unrelated-histories", *options, branch)
        try:
            self.git(*words)
        except subprocess.CalledProcessError:
            assert files, "a conflict needs files that resolve it"
        return self.commit(files)

    def date(self, hour: int) -> datetime:
        return START + timedelta(hours=hour)


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_checkout(tmp_path: Path) -> Callable[..., Checkout]:
    def make(name: str = "checkout") -> Checkout:
        top = tmp_path / name
        top.mkdir(parents=True)
        made = Checkout(top)
        made.git("init", "--quiet", "--initial-branch", "main")
        return made

    return make


@pytest.fixture
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout()
