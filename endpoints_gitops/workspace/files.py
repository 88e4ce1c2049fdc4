"""Write files atomically: readers see the old content or the new one, even after a power failure."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import UsageError

_LEFTOVER: Final = re.compile(r"\..*\.[0-9a-f]{12}\.tmp")
_IGNORE, _NEW = ".gitignore", "new"
_OLD_SECONDS: Final = 3600.0


def inside(folder: Path, path: Path) -> Path:
    """The path with every symbolic link followed. Raises UsageError if it is not inside `folder`."""
    real = real_path(path)
    if not real.is_relative_to(real_path(folder)):
        leads = f" (it leads to {real})" if path.is_symlink() or real != Path(os.path.normpath(path.absolute())) else ""
        message = f"{shown(path)} is outside {shown(folder)}{leads}, so it is not written"
        raise UsageError(message, fix="use a file inside that folder", code="files.outside")
    return real


def refuse_other_file(path: Path, what: str) -> None:
    """Raise UsageError if a file exists that is neither empty nor a JSON object, as a plan or a schema is.

    The file that a user names for one of these may be a definition by mistake.
    """
    try:
        content = read_regular_file(path)
        is_like = not content.strip() or isinstance(json.loads(content), dict)
    except OSError:
        return  # there is no file, or writing it reports why that is impossible
    except (ValueError, RecursionError):
        is_like = False
    if not is_like:
        fix = "name another file, or delete this one"
        raise UsageError(f"{shown(path)} exists, and it is not {what}: not overwritten", fix=fix, code="usage.output")


def write_atomically(path: Path, content: bytes, *, folder: Path | None = None) -> None:
    """Replace a file, or create it and its folders.

    Nothing is written outside `folder` (default: the folder of `path`), even through symbolic links; a link to a file
    inside is followed. The mode of an existing file is kept. Raises UsageError if the file cannot be written; the old
    file is then unchanged.

    Git ignores the temporary files of killed commands, and the next command that lists or writes the folder removes
    them.
    """
    real = inside(folder or path.parent, path)
    with _reported(path):
        real.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode_of(real)
        _remove_leftovers_once(str(real.parent))
        with _scratch_folder(real) as scratch:
            _write_new(scratch / _NEW, content, mode)
            (scratch / _NEW).replace(real)
        sync_folder(real.parent)


def rewrite_file(path: Path, content: bytes, *, folder: Path | None = None) -> bool:
    """Replace a text file like `write_atomically`, keeping its line endings and byte order mark.

    Returns False, and writes nothing, if the file would not change. Raises UsageError for a file that cannot be read or
    written.
    """
    try:
        before = read_regular_file(path)
    except FileNotFoundError:
        write_atomically(path, content, folder=folder)
        return True
    except OSError as error:
        raise UsageError(f"cannot read {shown(path)}: {error.strerror or error}", code="files.unwritable") from error
    mark = codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b""
    if before.removeprefix(mark).replace(b"\r\n", b"\n") == content:
        with contextlib.suppress(OSError, UsageError):
            _remove_leftovers_once(str(inside(folder or path.parent, path).parent))
        return False
    is_crlf = before.count(b"\r\n") * 2 > before.count(b"\n")
    write_atomically(path, mark + (content.replace(b"\n", b"\r\n") if is_crlf else content), folder=folder)
    return True


def read_regular_file(path: Path, *, largest: int | None = None) -> bytes:
    """The content of a file, at most `largest` + 1 bytes of it.

    Raises OSError, without blocking, for anything but a regular file (a FIFO, a device, a folder) and for an invalid
    path.
    """
    try:
        _refuse_special(os.stat(path))  # noqa: PTH116 - before opening it: opening some devices has effects
    except ValueError as error:
        raise OSError(errno.EINVAL, "a path cannot contain NUL") from error
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        _refuse_special(os.fstat(handle))
        return file.read() if largest is None else file.read(largest + 1)


def read_optional_file(path: Path, *, code: str) -> bytes | None:
    """The content of a file, or None if it does not exist. Raises UsageError, with this code, if it cannot be read."""
    try:
        return read_regular_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=shown(path), code=code) from error


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path, with links followed, is outside of the repository of `folder`, or of `folder` without one."""
    return not real_path(path).is_relative_to(checkout(folder))


def real_path(path: Path) -> Path:
    """The path with every link followed; a cycle of links stays as it is."""
    return Path(os.path.realpath(path))


def work_tree(start: Path) -> Path | None:
    """The top of the git work tree of a folder (which need not exist), with links followed; None without one.

    The top is the nearest folder with a `.git`, which no commit can contain. A bare repository has no work tree.
    """
    real = real_path(start)
    if ".git" in real.parts:
        return None
    return next((folder for folder in (real, *real.parents) if _has_git(folder)), None)


def checkout(folder: Path) -> Path:
    """The top of the git work tree of a folder, or the folder itself; with links followed, without running git."""
    return work_tree(folder) or real_path(folder)


def is_other_repository(folder: Path, within: Path) -> bool:
    """Whether a folder is in a nested work tree of the one of `within` that is not a submodule."""
    top, inner = work_tree(within), work_tree(folder)
    if top is None or inner is None or inner == top:
        return inner != top
    outer_git, inner_git = _git_folder(top), _git_folder(inner)
    return inner_git == inner / ".git" or not inner_git.is_relative_to(outer_git)


def remove_leftovers(folder: Path, names: Iterator[str] | None = None) -> None:
    """Remove the temporary folders of killed commands, but not those of running processes."""
    for name in os.listdir(folder) if names is None else names:  # noqa: PTH208 - only names are needed
        if name.endswith(".tmp") and _LEFTOVER.fullmatch(name):
            with contextlib.suppress(OSError):
                _remove_leftover(folder / name)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows, where folders cannot be opened, does this itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def shown(path: Path) -> str:
    """The path for messages: relative to the current folder if it is below, else absolute, with slashes."""
    here = os.getcwd()  # noqa: PTH109 - called for every file: much faster with text than with paths
    absolute = os.path.abspath(path)  # noqa: PTH100 - likewise
    below = absolute.removeprefix(here.rstrip(os.sep) + os.sep) if absolute != here else "."
    return below.replace(os.sep, "/")


@cache
def _remove_leftovers_once(folder: str) -> None:
    """Remove leftovers once per process, so that writing a thousand files lists their folder only once."""
    remove_leftovers(Path(folder))


@contextlib.contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    """A temporary folder next to a file, for its new content. Git ignores the folder.

    It is locked while it is in use, so a folder without a lock is a leftover.
    """
    while True:
        scratch = path.with_name(f".{path.name[:80]}.{os.urandom(6).hex()}.tmp")
        scratch.mkdir(mode=0o700)
        handle = None
        try:
            handle = _locked(scratch)
            (scratch / _IGNORE).write_bytes(b"*\n")
        except (FileNotFoundError, BlockingIOError):  # another process took the unlocked folder for a leftover
            _close(handle)
            continue
        break
    try:
        yield scratch
    finally:
        _empty(scratch)
        _close(handle)


def _remove_leftover(scratch: Path) -> None:
    """Remove a folder that `_scratch_folder` created. Raises OSError if it is in use or has other content."""
    if not stat.S_ISDIR(scratch.lstat().st_mode):
        return
    handle = _locked(scratch)
    try:
        if handle is not None or time.time() - scratch.stat().st_mtime > _OLD_SECONDS:
            _empty(scratch)
    finally:
        _close(handle)


def _empty(scratch: Path) -> None:
    (scratch / _NEW).unlink(missing_ok=True)
    (scratch / _IGNORE).unlink(missing_ok=True)
    scratch.rmdir()


def _locked(folder: Path) -> int | None:
    """A handle that locks a folder until it is closed; None on a system without such locks.

    Raises BlockingIOError if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _refuse_special(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def _git_folder(top: Path) -> Path:
    """The folder that `.git` is or names; for a submodule it is inside the git folder of the repository."""
    entry = top / ".git"
    if entry.is_dir():
        return entry.resolve()
    word, _, path = read_regular_file(entry).decode("utf-8", "surrogateescape").strip().partition(": ")
    return (top / path).resolve() if word == "gitdir" else entry


def _has_git(folder: Path) -> bool:
    entry = os.path.join(folder, ".git")  # noqa: PTH118 - runs at every start of a command
    return os.path.isfile(entry) or os.path.lexists(os.path.join(entry, "HEAD"))  # noqa: PTH113, PTH118 - likewise


def _mode_of(path: Path) -> int | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{shown(path)} is not a regular file", code="files.unwritable")
    return stat.S_IMODE(status.st_mode)


def _write_new(path: Path, content: bytes, mode: int | None) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if mode is not None:
        path.chmod(mode)


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot write {shown(path)}: {error.strerror or error}"
        raise UsageError(message, code="files.unwritable") from error
