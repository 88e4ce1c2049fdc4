"""`approve`: write approvals of findings into the configuration, without changing anything else in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from endpoints_gitops.codecs.toml import NotToml, line_of, load_toml
from endpoints_gitops.errors import Location, UsageError
from endpoints_gitops.model.policy import Approval
from endpoints_gitops.workspace.files import read_regular_file, rewrite_file, shown, work_tree
from endpoints_gitops.workspace.git import GitFailed, git

_KEY = "approvals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write for each fingerprint."""

    reason: str
    by: str
    until: date | None = None


def author_of(folder: Path) -> str | None:
    """The `user.name` of git's configuration; None without git or such a name."""
    try:
        name = git(work_tree(folder) or folder, "config", "user.name").decode("utf-8", "replace")
    except (GitFailed, FileNotFoundError):
        return None
    return name.strip() or None


def approve(path: Path, fingerprints: Sequence[str], decision: Decision) -> tuple[Approval, ...]:
    """Add an approval for each fingerprint at the end of a configuration file, and return them with their places.

    Raises UsageError if the file cannot be read or written, or if a table at its end would change its meaning; it is
    then unchanged.
    """
    try:
        text = read_regular_file(path).decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", where=shown(path), code="configuration.unreadable") from error
    prefix = ("tool", "endpoints-gitops") if path.name == "pyproject.toml" else ()
    blocks = [_block(prefix, fingerprint, decision) for fingerprint in fingerprints]
    after = f"{text.rstrip()}\n\n{'\n'.join(blocks)}" if text.strip() else "\n".join(blocks)
    before = _table(load_toml(text), prefix)
    added = [_values(fingerprint, decision) for fingerprint in fingerprints]
    present = before.get(_KEY, [])
    if _read(after) != _with(load_toml(text), prefix, [*present, *added]):
        raise UsageError(
            "an approval cannot be added without changing more of this file",
            where=shown(path),
            fix=f"write `{_KEY}` as `[[{'.'.join((*prefix, _KEY))}]]` tables, or add this by hand:\n{blocks[0]}",
            code="configuration.unwritable",
        )
    rewrite_file(path, after.encode())
    return tuple(
        Approval(
            fingerprint=fingerprint,
            reason=decision.reason,
            by=decision.by,
            until=decision.until,
            where=Location(shown(path), line_of(after, (*prefix, _KEY, len(present) + index))),
        )
        for index, fingerprint in enumerate(fingerprints)
    )


def _block(prefix: tuple[str, ...], fingerprint: str, decision: Decision) -> str:
    import tomlkit

    lines = [f"{key} = {tomlkit.item(value).as_string()}" for key, value in _values(fingerprint, decision).items()]
    return "\n".join([f"[[{'.'.join((*prefix, _KEY))}]]", *lines, ""])


def _values(fingerprint: str, decision: Decision) -> dict[str, Any]:
    until = {} if decision.until is None else {"until": decision.until}
    return {"fingerprint": fingerprint, "reason": decision.reason, "by": decision.by, **until}


def _read(text: str) -> dict[str, Any] | None:
    try:
        return load_toml(text)
    except NotToml:
        return None


def _table(value: dict[str, Any], prefix: tuple[str, ...]) -> dict[str, Any]:
    for key in prefix:
        value = value.get(key, {})
    return value


def _with(value: dict[str, Any], prefix: tuple[str, ...], approvals: list[Any]) -> dict[str, Any]:
    """The value with these approvals in the table at `prefix`."""
    if not prefix:
        return {**value, _KEY: approvals}
    return {**value, prefix[0]: _with(value.get(prefix[0], {}), prefix[1:], approvals)}
