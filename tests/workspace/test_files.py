"""Atomic writes, and nothing written outside the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.workspace.files import inside, shown, write_atomically


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
    with pytest.raises(UsageError, match="nothing is written there"):
        write_atomically(path, b"new", folder=folder)
    assert list(outside.iterdir()) == []


def test_a_folder_that_is_itself_a_link_is_no_way_out(tmp_path):
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


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(UsageError, match="no regular file"):
        write_atomically(tmp_path / "x.yaml", b"new")


def test_paths_are_shown_as_they_would_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.yaml") == "a/b.yaml"
    assert shown(Path("a/../b.yaml")) == "b.yaml"
    assert shown(tmp_path.parent) == tmp_path.parent.as_posix()
