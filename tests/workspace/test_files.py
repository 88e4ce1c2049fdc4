"""Atomic writes, and no writes outside the folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.workspace.definitions import list_files
from endpoints_gitops.workspace.files import (
    inside,
    read_regular_file,
    remove_leftovers,
    rewrite_file,
    shown,
    write_atomically,
)


def test_a_new_file_and_its_folders_are_made_and_nothing_else_is_left(tmp_path):
    write_atomically(tmp_path / "a" / "b.yaml", b"new")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.yaml"]
    assert (tmp_path / "a" / "b.yaml").read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_the_mode_of_a_file_is_kept(tmp_path, mode):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", mode)


def test_a_new_file_has_the_mode_that_the_user_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_link_inside_is_written_through(tmp_path):
    (tmp_path / "real.yaml").write_bytes(b"old")
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    write_atomically(tmp_path / "link.yaml", b"new", folder=tmp_path)
    assert (tmp_path / "link.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_bytes() == b"new"


def _file_link(folder: Path, outside: Path) -> Path:
    (folder / "x.yaml").symlink_to(outside / "x.yaml")
    return folder / "x.yaml"


def _folder_link(folder: Path, outside: Path) -> Path:
    (folder / "sub").symlink_to(outside)
    return folder / "sub" / "x.yaml"


@pytest.mark.parametrize(
    "path_of",
    [
        _file_link,
        _folder_link,
        lambda folder, outside: folder / ".." / outside.name / "x.yaml",
        lambda _, outside: outside / "x.yaml",
        lambda folder, _: folder / "/etc/x.yaml",
    ],
    ids=["a link to a file", "a link to a folder", "dots", "elsewhere", "absolute"],
)
def test_nothing_is_written_outside(tmp_path, path_of):
    folder, outside = tmp_path / "endpoints", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    path = path_of(folder, outside)
    with pytest.raises(UsageError, match="so it is not written"):
        write_atomically(path, b"new", folder=folder)
    assert list(outside.iterdir()) == []


def test_a_folder_that_is_a_link_does_not_lead_out(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link" / "x.yaml", b"new", folder=tmp_path / "link")
    assert inside(tmp_path / "link", tmp_path / "real" / "x.yaml") == (tmp_path / "real" / "x.yaml").resolve()


def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"cannot write .*x\.yaml: No space left on device"):
        write_atomically(path, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["x.yaml"]
    assert path.read_bytes() == b"old"


KILLED = """
import os, signal, sys
from pathlib import Path
from endpoints_gitops.workspace.files import write_atomically
left = int(sys.argv[1])
def counted(name):
    real = getattr(os, name)
    def call(*words, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*words, **more)
    setattr(os, name, call)
for name in ("mkdir", "open", "write", "fsync", "chmod", "replace", "unlink", "rmdir", "close"):
    counted(name)
write_atomically(Path("x.yaml"), b"new")
"""


@pytest.mark.slow
def test_what_a_killed_command_leaves_is_not_seen_by_git_and_is_removed(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    git = ("git", "-C", str(tmp_path))
    (tmp_path / "x.yaml").write_bytes(b"old")
    subprocess.run([*git, "add", "--all"], check=True)
    kills, leftovers = 0, 0
    for calls in range(40):
        done = subprocess.run([sys.executable, "-c", KILLED, str(calls)], cwd=tmp_path, check=False)
        assert (tmp_path / "x.yaml").read_bytes() in (b"old", b"new")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        kills += 1
        leftovers += len(list(tmp_path.glob(".*.tmp")))
        subprocess.run([*git, "add", "--all"], check=True)
        listed = subprocess.run([*git, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
        untracked = subprocess.run([*git, "status", "--porcelain", "-uall"], capture_output=True, text=True, check=True)
        assert listed == ["x.yaml"]
        assert ".tmp" not in untracked.stdout
        remove_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".git", "x.yaml"]
        (tmp_path / "x.yaml").write_bytes(b"old")
    assert done.returncode == 0
    assert kills > 5
    assert leftovers > 3


def _leftover(folder: Path) -> Path:
    scratch = folder / ".x.yaml.0123456789ab.tmp"
    scratch.mkdir()
    (scratch / ".gitignore").write_bytes(b"*\n")
    (scratch / "new").write_bytes(b"half")
    return scratch


def _rewrite_unchanged(folder: Path) -> None:
    (folder / "y").write_bytes(b"same")
    assert not rewrite_file(folder / "y", b"same")


def test_the_next_write_and_the_next_listing_remove_what_was_left(tmp_path):
    for folder, clean in (
        (tmp_path / "c", _rewrite_unchanged),
        (tmp_path / "a", lambda folder: write_atomically(folder / "y", b"")),
        (tmp_path / "b", list_files),
    ):
        folder.mkdir()
        left = _leftover(folder)
        clean(folder)
        assert not left.exists()


def test_files_of_other_processes_and_programs_stay(tmp_path):
    left = _leftover(tmp_path)
    handle = os.open(left, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "new").write_bytes(b"mine")
    (tmp_path / ".link.0123456789ab.tmp").symlink_to(elsewhere)
    (tmp_path / ".file.0123456789ab.tmp").write_bytes(b"mine")
    more = tmp_path / ".more.0123456789ab.tmp"
    more.mkdir()
    (more / "mine").write_bytes(b"mine")
    remove_leftovers(tmp_path)
    assert (left / "new").exists()
    assert (elsewhere / "new").exists()
    assert (tmp_path / ".file.0123456789ab.tmp").exists()
    assert (more / "mine").exists()
    os.close(handle)
    remove_leftovers(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    ("before", "after", "is_written"),
    [
        (None, b"a\nb\n", True),
        (b"a\nb\n", b"a\nb\n", False),
        (b"a\r\nb\r\n", b"a\r\nb\r\n", False),
        (b"\xef\xbb\xbfa\r\nb\r\n", b"\xef\xbb\xbfa\r\nb\r\n", False),
        (b"a\r\nb\n", b"a\r\nb\n", False),
        (b"x\n", b"a\nb\n", True),
        (b"x\r\n", b"a\r\nb\r\n", True),
        (b"\xef\xbb\xbfx\r\n", b"\xef\xbb\xbfa\r\nb\r\n", True),
        (b"x\r\ny\n", b"a\nb\n", True),
    ],
)
def test_a_rewritten_file_keeps_its_line_ends_and_is_not_touched_without_need(tmp_path, before, after, is_written):
    path = tmp_path / "x"
    if before is not None:
        path.write_bytes(before)
    inode = path.stat().st_ino if before is not None else None
    assert rewrite_file(path, b"a\nb\n") == is_written
    assert path.read_bytes() == after
    assert (path.stat().st_ino != inode) == is_written


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert read_regular_file(tmp_path / "link") == b"content"
    assert read_regular_file(tmp_path / "x", largest=3) == b"cont"
    for name, message in (("pipe", "not a regular file"), ("device", "not a regular file"), (".", "Is a directory")):
        with pytest.raises(OSError, match=message):
            read_regular_file(tmp_path / name)
    with pytest.raises(OSError, match="NUL"):
        read_regular_file(tmp_path / "a\0b")


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path):
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(UsageError, match="is not a regular file"):
        write_atomically(tmp_path / "x.yaml", b"new")


def test_paths_are_shown_as_they_would_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.yaml") == "a/b.yaml"
    assert shown(Path("a/../b.yaml")) == "b.yaml"
    assert shown(tmp_path.parent) == tmp_path.parent.as_posix()
