"""Running git: without git, with refusals, and with any configuration and environment."""

from __future__ import annotations

import os
import stat

import pytest

from endpoints_gitops.workspace.git import GitFailed, HistoryUnavailable, dirty, repository, resolved
from endpoints_gitops.workspace.history import history


def test_folders_without_git_without_commits_and_missing_ones(tmp_path, make_checkout):
    assert repository(tmp_path) is None
    checkout = make_checkout()
    assert repository(checkout.top) is None
    head = checkout.commit()
    assert repository(checkout.top / "not" / "there" / "yet").head == head
    assert repository(checkout.top).top == checkout.top.resolve()
    assert repository(checkout.top / ".git") is None


def test_git_is_not_installed(checkout, monkeypatch, tmp_path):
    checkout.commit()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert repository(checkout.top) is None


def test_a_repository_that_git_refuses_to_read_is_an_error(checkout, monkeypatch):
    checkout.commit()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(HistoryUnavailable, match="dubious ownership") as caught:
        repository(checkout.top)
    assert caught.value.fix.endswith(f"git config --global --add safe.directory {checkout.top}")


def test_dirty(checkout):
    checkout.commit({"a.yaml": "a", "b.yaml": "b", "sub/c.yaml": "c", "d.yaml": "d"})
    found = repository(checkout.folder)
    assert dirty(found, checkout.folder) == frozenset()
    (checkout.top / ".gitignore").write_text("ignored.yaml\n")
    checkout.write({"b.yaml": "B", "sub/c.yaml": None, "new é.yaml": "n", "ignored.yaml": "i"})
    checkout.write({"d.yaml": "D"})
    checkout.git("add", "endpoints/d.yaml")
    expected = {checkout.folder / name for name in ("b.yaml", "sub/c.yaml", "new é.yaml", "ignored.yaml", "d.yaml")}
    assert dirty(found, checkout.folder) == expected


@pytest.mark.parametrize("flag", ["assume-unchanged", "skip-worktree"])
def test_an_edit_that_git_is_told_to_overlook_is_dirty(checkout, flag):
    checkout.commit({name: f"{name}\n" for name in ("edited.yaml", "same.yaml", "crlf.yaml", "missing.yaml")})
    checkout.git("update-index", f"--{flag}", *(f"endpoints/{path.name}" for path in checkout.folder.iterdir()))
    checkout.write({"edited.yaml": "an edit", "missing.yaml": None})
    (checkout.folder / "crlf.yaml").write_bytes(b"crlf.yaml\r\n")
    assert checkout.git("status", "--porcelain") == ""
    assert dirty(repository(checkout.folder), checkout.folder) == {checkout.folder / "edited.yaml"}


def test_a_file_that_was_only_touched_is_not_dirty(checkout):
    checkout.commit({"a.yaml": "a"})
    os.utime(checkout.folder / "a.yaml", (0, 0))
    assert dirty(repository(checkout.folder), checkout.folder) == frozenset()


def test_line_endings_that_git_changes_are_not_an_edit(checkout):
    checkout.git("config", "core.autocrlf", "true")
    checkout.commit({"a.yaml": "a\nb\n"})
    (checkout.folder / "a.yaml").write_bytes(b"a\r\nb\r\n")
    assert dirty(repository(checkout.folder), checkout.folder) == frozenset()


def test_configuration_and_environment_of_git_change_nothing(checkout, make_checkout, monkeypatch, tmp_path):
    """What a repository's configuration names is never run, and what git sets for its hooks is not followed."""
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    checkout.commit({"x.yaml": "name: x\nquery: select 1\n"})
    checkout.commit({"x.yaml": None, "y.yaml": "name: x\nquery: select 1\n"})
    other = make_checkout("other")
    other.commit()
    settings = {
        "core.fsmonitor": str(program),
        "core.pager": str(program),
        "diff.external": str(program),
        "gpg.program": str(program),
        "log.showSignature": "true",
        "log.follow": "true",
        "log.showRoot": "false",
        "log.diffMerges": "off",
        "log.date": "human",
        "format.pretty": "oneline",
        "diff.renames": "copies",
        "diff.relative": "true",
        "diff.noprefix": "true",
        "diff.orderFile": os.devnull,
        "color.ui": "always",
        "core.abbrev": "4",
        "status.showUntrackedFiles": "no",
    }
    for name, value in settings.items():
        checkout.git("config", name, value)
    monkeypatch.setenv("GIT_DIR", str(other.top / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.top))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.top / ".git" / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_PAGER", str(program))
    checkout.write({"z.yaml": "z"})
    found = repository(checkout.folder)
    past = history(found, checkout.folder, ["x"], lambda loaded: {"query": loaded.sql})["x"]
    assert [state.path for state in past] == ["endpoints/y.yaml", "endpoints/x.yaml"]
    assert dirty(found, checkout.folder) == {checkout.folder / "z.yaml"}
    before = resolved(found.top, "HEAD~1")
    assert {path.name for path in dirty(found, checkout.folder, before)} == {"x.yaml", "y.yaml", "z.yaml"}
    assert not ran.exists()


def test_a_missing_object_is_an_error(checkout):
    checkout.commit({"x.yaml": "name: x\nquery: select 1\n"})
    blob = checkout.git("rev-parse", "HEAD:endpoints/x.yaml")
    (checkout.top / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitFailed, match=f"the object {blob} is missing"):
        history(repository(checkout.folder), checkout.folder, ["x"], lambda _: {})
