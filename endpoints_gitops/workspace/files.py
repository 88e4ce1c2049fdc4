"""Writing files: a reader, or a machine that loses power, sees the old content or the new one, never a mixture."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from endpoints_gitops.errors import UsageError


def inside(folder: Path, path: Path) -> Path:
    """The real place of `path`, every symbolic link followed. Raises UsageError where that is not inside `folder`."""
    real = path.resolve()
    if not real.is_relative_to(folder.resolve()):
        leads = f" (it leads to {real})" if path.is_symlink() or real != Path(os.path.normpath(path.absolute())) else ""
        message = f"{shown(path)} is outside {shown(folder)}{leads}: nothing is written there"
        raise UsageError(message, fix="use a file inside that folder", code="files.outside")
    return real


def write_atomically(path: Path, content: bytes, *, folder: Path | None = None) -> None:
    """Replace a file, or make it and the folders it is in.

    Nothing is written outside `folder` (default: the one that `path` is in), whatever symbolic links say; a link to a
    file inside is written through. The mode of a file that was there is kept. Raises UsageError where the file cannot
    be written, and then the old one is whole.
    """
    real = inside(folder or path.parent, path)
    with _told(path):
        real.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode_of(real)
        temporary = real.with_name(f".{real.name[:80]}.{os.urandom(6).hex()}.tmp")
        try:
            _write_new(temporary, content, mode)
            temporary.replace(real)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(real.parent)


def work_tree(start: Path) -> Path | None:
    """The top of the git work tree that a folder (which need not exist) is in, links followed; None outside of one.

    The top is the nearest folder with a `.git`, which no commit can contain. A bare repository is no work tree.
    """
    real = start.resolve()
    if ".git" in real.parts:
        return None
    return next((folder for folder in (real, *real.parents) if _has_git(folder)), None)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; where folders cannot be opened (Windows) the system does it by itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def shown(path: Path) -> str:
    """The path as a person at the prompt would type it: relative to where they are, if it is below."""
    here = os.getcwd()  # noqa: PTH109 - as texts, for every file passes through here: many times faster than as paths
    absolute = os.path.abspath(path)  # noqa: PTH100 - likewise
    below = absolute.removeprefix(here.rstrip(os.sep) + os.sep) if absolute != here else "."
    return below.replace(os.sep, "/")


def _has_git(folder: Path) -> bool:
    entry = os.path.join(folder, ".git")  # noqa: PTH118 - every start of a command comes through here
    return os.path.isfile(entry) or os.path.lexists(os.path.join(entry, "HEAD"))  # noqa: PTH113, PTH118 - likewise


def _mode_of(path: Path) -> int | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{shown(path)} is no regular file", code="files.unwritable")
    return stat.S_IMODE(found.st_mode)


def _write_new(path: Path, content: bytes, mode: int | None) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if mode is not None:
        path.chmod(mode)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot write {shown(path)}: {error.strerror or error}"
        raise UsageError(message, code="files.unwritable") from error
