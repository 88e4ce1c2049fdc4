"""Results of `check`, kept between runs in the user's cache folder by the content of everything that they depend on.

    FOLDER/check/TOOL/ab.json      TOOL: a hash of this version, its files, its dependencies and Python

Each file begins with the hash of the rest, a JSON object of entries by key. A file that is damaged, or that another
user owns or can write, is not read. The cache is never inside a checkout.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import endpoints_gitops

_KEPT_DAYS: Final = 30
_MOST_ENTRIES: Final = 4_000  # in one file, of 256
_MOST_BYTES: Final = 64 * 1024 * 1024
_HASH_LENGTH: Final = 64
_DEPENDENCIES: Final = ("pydantic", "pydantic_core", "ruamel.yaml", "_ruamel_yaml", "hogql_parser_rs")
_SECONDS_PER_DAY: Final = 86_400
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(env: Mapping[str, str]) -> Path:
    """`ENDPOINTS_GITOPS_CACHE`, else the user's cache folder of this system. It may not exist."""
    named = env.get("ENDPOINTS_GITOPS_CACHE", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("endpoints-gitops", appauthor=False)


class CheckCache:
    """The results of one version of this tool. `save` writes the added ones."""

    def __init__(self, folder: Path) -> None:
        self._root, self._top = folder, folder / "check"
        self._folder = self._top / _tool()
        self._today = int(time.time() // _SECONDS_PER_DAY)
        self._buckets: dict[str, dict[str, Any]] = {}
        self._changed: set[str] = set()
        self.is_foreign = not all(_is_own(path, bits) for path, bits in self._levels() if os.path.lexists(path))
        self.is_empty = self.is_foreign or not self._folder.is_dir()

    def get(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """The entry of a key (a hexadecimal hash), or None."""
        if self.is_empty:
            return None
        entry = self._bucket(key[:2]).get(key)
        if entry is None:
            return None
        if entry[0] != self._today:
            entry[0] = self._today
            self._changed.add(key[:2])
        return entry[1]

    def put(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Add a value for a key."""
        self._bucket(key[:2])[key] = [self._today, value]
        self._changed.add(key[:2])

    def save(self) -> None:
        """Write the added results. A folder that cannot be written is ignored: the next run is slower."""
        if self.is_foreign or not self._changed:
            return
        with contextlib.suppress(OSError):
            self._root.parent.mkdir(parents=True, exist_ok=True)
            for path, bits in self._levels():
                path.mkdir(mode=0o700, exist_ok=True)
                if not _is_own(path, bits):
                    return
            for name in sorted(self._changed):
                self._write(name)
            self._remove_other_versions()

    def _levels(self) -> tuple[tuple[Path, int], ...]:
        """The folders, outermost first, each with the permissions that other users must not have."""
        return (self._root, stat.S_IWOTH), (self._top, _OTHERS_WRITE), (self._folder, _OTHERS_WRITE)

    def _bucket(self, name: str) -> dict[str, Any]:
        if name not in self._buckets:
            self._buckets[name] = {} if self.is_empty else self._read(name)
        return self._buckets[name]

    def _read(self, name: str) -> dict[str, Any]:
        """The entries of one file, without those that are too old or from the future; none if it is damaged."""
        try:
            content = _own_content(self._folder / f"{name}.json")
            if hashlib.sha256(content[_HASH_LENGTH:]).hexdigest().encode() != content[:_HASH_LENGTH]:
                return {}
            entries: dict[str, Any] = json.loads(content[_HASH_LENGTH:])
            return {key: entry for key, entry in entries.items() if 0 <= self._today - int(entry[0]) <= _KEPT_DAYS}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return {}

    def _write(self, name: str) -> None:
        """Write without waiting for the disk: a truncated file is noticed by its hash."""
        entries = self._buckets[name]
        if len(entries) > _MOST_ENTRIES:
            latest = sorted(entries.items(), key=lambda item: -int(item[1][0]))[:_MOST_ENTRIES]
            entries = dict(latest)
        body = json.dumps(entries, separators=(",", ":")).encode()
        path = self._folder / f".{name}.{os.urandom(6).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(hashlib.sha256(body).hexdigest().encode() + body)
            path.replace(self._folder / f"{name}.json")
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _remove_other_versions(self) -> None:
        """Remove the results of other versions that are unused for a month, and temporary files of killed runs."""
        for folder in self._top.iterdir():
            age = time.time() - folder.stat().st_mtime
            is_here = folder == self._folder
            for path in list(folder.iterdir()) if is_here or age > _KEPT_DAYS * _SECONDS_PER_DAY else []:
                left_over = path.name.startswith(".") and time.time() - path.stat().st_mtime > _SECONDS_PER_DAY
                if left_over or not is_here:
                    path.unlink()
            if not is_here and age > _KEPT_DAYS * _SECONDS_PER_DAY:
                folder.rmdir()


def content_hash(content: bytes) -> str:
    """The hash of a file's content, as it is used in keys and entries."""
    return hashlib.sha256(content).hexdigest()


def key_of(path: str, content: bytes, environment: str | None, conventions: str = "") -> str:
    """The key of a definition's file: a hash of its path in messages, its content, the checked environment, and the
    digest of the conventions."""
    words = json.dumps([path, environment, conventions]).encode()
    return hashlib.sha256(words + b"\0" + content).hexdigest()


def _own_content(path: Path) -> bytes:
    """The content of a regular file of this user. Raises OSError for anything else, without blocking."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or not _is_owned(status, _OTHERS_WRITE) or status.st_size > _MOST_BYTES:
            raise PermissionError(f"{path} is not a file of this user")
        return file.read(_MOST_BYTES)


def _is_own(path: Path, forbidden: int) -> bool:
    """Whether this is a folder of this user, not reached by another user's link, without these permissions."""
    try:
        link, status = path.lstat(), path.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _is_owned(status, forbidden) and _is_owned(link, 0)


def _is_owned(status: os.stat_result, forbidden: int) -> bool:
    if not hasattr(os, "geteuid"):  # Windows: the folder is in the user's profile
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & forbidden


def _tool() -> str:
    """A hash of everything that decides the result of a check, except the checked files."""
    package = os.path.dirname(endpoints_gitops.__file__)  # noqa: PTH120 - as texts: for each file of the package
    facts = [endpoints_gitops.__version__, sys.version, sys.platform, *_files(package), *_dependencies()]
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _files(folder: str) -> Iterator[str]:
    """Every file of the package with its size and time, because an editable installation has no new version."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            else:
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"


def _dependencies() -> Iterator[str]:
    """The files of the dependencies, and names and versions of all installed distributions."""
    folders: dict[str, None] = {}
    for name in _DEPENDENCIES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            yield f"{name} is not installed"
            continue
        status = os.stat(spec.origin)  # noqa: PTH116 - as a text
        yield f"{spec.origin} {status.st_size} {status.st_mtime_ns}"
        folders[spec.origin.rpartition(name.replace(".", os.sep))[0]] = None
    for folder in folders:
        with contextlib.suppress(OSError):
            yield from sorted(entry for entry in os.listdir(folder) if entry.endswith(".dist-info"))  # noqa: PTH208
