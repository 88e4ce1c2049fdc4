"""The state folder: records, journals, caches and request logs of one user on one machine, outside of the checkout."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import Conflict, UsageError
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically
from endpoints_gitops.workspace.git import repository

_KEPT_SECONDS: Final = 7 * 86400.0


def state_folder(env: Mapping[str, str]) -> Path:
    """`ENDPOINTS_GITOPS_STATE` (for a cache in CI), else the user's state folder of this system. It may not exist."""
    from platformdirs import user_state_path

    named = env.get("ENDPOINTS_GITOPS_STATE", "").strip()
    return Path(named).expanduser().absolute() if named else user_state_path("endpoints-gitops", appauthor=False)


def project_folder(state: Path, *, host: str, project_id: int, definitions: Path) -> Path:
    """The folder of one host, project and checkout; it may not exist.

    A checkout is the top of the git work tree of the definitions, or else their folder. The name of the environment
    does not matter.
    """
    checkout = _checkout(definitions)
    address = host.lower().rstrip("/")
    readable = re.sub(r"[^a-z0-9.-]+", "_", re.sub(r"^[a-z]+://", "", address))[:60]
    return state / f"{readable}-{_name(address)[:8]}" / str(project_id) / _name(str(checkout))


@contextlib.contextmanager
def editing(
    env: Mapping[str, str], folder: Path, *, wait_seconds: float, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Lock the files of the checkout of `folder` against other commands, from the first read to the last write.

    The lock is in the state folder, never in the checkout. `waiting` is called once if another command holds it. Raises
    Conflict if that command still holds it after the wait.
    """
    locks = state_folder(env) / "checkouts" / _name(str(_checkout(folder)))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(locks, "files"))
        except Conflict:
            waiting()
            stack.enter_context(exclusive_lock(locks, "files", wait_seconds=wait_seconds))
        yield


@dataclass(frozen=True, slots=True)
class UnfinishedQueryFolder:
    """Queries that PostHog's parser could not finish, a file for each in the state folder.

    Entries expire after a week, because the machine may have been busy. Entries from the future are ignored.
    """

    folder: Path
    now: Callable[[], float] = time.time

    def reason(self, key: str) -> str | None:
        """Why a query cannot be parsed, and how to try again; None for an unknown query."""
        path = self.folder / f"{key}.txt"
        try:
            text = read_regular_file(path, largest=1000).decode()
            age = self.now() - path.stat().st_mtime
        except (OSError, UnicodeDecodeError):
            return None
        if not 0 <= age <= _KEPT_SECONDS:
            return None
        return f"{text} (result of an earlier command; remove {shown(path)} to try again)"

    def add(self, key: str, reason: str) -> None:
        """Add a query, and remove old ones. A folder that cannot be written is ignored."""
        with contextlib.suppress(UsageError, OSError):
            write_atomically(self.folder / f"{key}.txt", reason.encode())
            for path in self.folder.glob("*.txt"):
                if not 0 <= self.now() - path.stat().st_mtime <= _KEPT_SECONDS:
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(folder: Path, what: str = "push", *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold an exclusive lock of the state folder, which is created if needed. `what` names the lock.

    Raises Conflict if another process still holds it after the wait, and UsageError if the folder cannot be written.
    The lock is released when the process ends, even if it is killed.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{what}.lock", timeout=wait_seconds)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except Timeout as error:
        message = f"another command of this checkout is still running ({what})"
        raise Conflict(message, fix="run the command again when that one has ended", code="state.held") from error
    except OSError as error:
        message = f"cannot use the state folder {shown(folder)}: {error.strerror or error}"
        fix = "set ENDPOINTS_GITOPS_STATE to a writable folder"
        raise UsageError(message, fix=fix, code="state.unwritable") from error
    try:
        yield
    finally:
        lock.release()


def _checkout(folder: Path) -> Path:
    repo = repository(folder)
    return repo.top if repo else folder.resolve()


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
