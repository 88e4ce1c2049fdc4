"""A difference between two values of one key, on the screen and in JSON: SQL line by line, query nodes by path.

"Before" is what the server has, "after" what the file says: what a push would do.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.cli.long_lines import shortened
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.plan.diff import EndpointDiff, KeyDiff
from endpoints_gitops.plan.settings import Key, variables_of
from endpoints_gitops.workspace.files import read_regular_file, shown

_CONTEXT_LINES: Final = 3
_ABSENT: Final = "(nothing)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the file has its query: the path, and the line of the first line of SQL, counted from 1.

    `other` is what the side before is called; empty for the server.
    """

    path: str
    line: int = 1
    other: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChange:
    """One place in a query node, or one variable. A side that has nothing there is left out of the JSON."""

    path: str
    before: Json
    after: Json
    is_added: bool = False
    is_removed: bool = False

    def as_json(self) -> JsonObject:
        sides = {"before": self.before} if not self.is_added else {}
        return {"path": self.path, **sides, **({"after": self.after} if not self.is_removed else {})}


def sql_place(path: str, line: int | None) -> Place:
    """Where SQL begins, by the line that states it: in a file of its own, under the key as a block, or beside it."""
    key, value = _written(path, line) if line else ("", "")
    if key == "query_file":
        return Place(path=shown(Path(path).parent / value.strip("\"'")))
    if line is None or key != "query":
        return Place(path=path)
    is_block = value[:1] in {"|", ">", ""}
    return Place(path=path, line=line + is_block)


def diff_lines(diff: EndpointDiff, difference: KeyDiff) -> Iterator[Line | str]:
    """One difference of an endpoint, under its title."""
    yield from key_lines(
        difference.key,
        difference.remote,
        difference.local,
        version=diff.remote.version if diff.remote else None,
        place=_place(diff, difference),
        indent="  ",
    )


def diff_item(diff: EndpointDiff, difference: KeyDiff) -> JsonObject:
    """The same for machines: `before` is the remote side, `after` the local one."""
    version, place = diff.remote.version if diff.remote else None, _place(diff, difference)
    return as_json(difference.key, difference.remote, difference.local, version=version, place=place)


def _place(diff: EndpointDiff, difference: KeyDiff) -> Place:
    other = "" if diff.remote is None or diff.remote.endpoint is not None else diff.remote.label
    if diff.loaded is None:
        return Place(path=diff.local.label if diff.local else diff.name, other=other)
    return replace(sql_place(diff.loaded.path, difference.line), other=other)


def key_lines(
    key: Key, before: Json, after: Json, *, version: int | None, place: Place, indent: str
) -> Iterator[Line | str]:
    """The difference in one key: a setting on one line, a query on lines of its own."""
    shown = [
        line if isinstance(line, Line) else Line(line)
        for line in lines(key, before, after, version=version, place=place)
    ]
    if key is not Key.QUERY:
        yield from (f"{indent}{key}: {line.text}" for line in shown)
        return
    yield f"{indent}{key}:"
    yield from (Line(f"{indent}  {line.text}", line.style) for line in shown)


def lines(key: Key, before: Json, after: Json, *, version: int | None, place: Place) -> Iterator[Line | str]:
    """The difference as lines without indentation."""
    if key is not Key.QUERY:
        yield f"{as_text(before)} -> {as_text(after)}"
        return
    yield from sql_lines(before, after, version=version, place=place)
    for change in path_changes(before, after):
        sides = (
            _ABSENT if change.is_added else as_text(change.before),
            _ABSENT if change.is_removed else as_text(change.after),
        )
        yield f"{change.path}: {sides[0]} -> {sides[1]}"


def sql_lines(before: Json, after: Json, *, version: int | None, place: Place) -> Iterator[Line]:
    """A unified diff where both are SQL, its numbers on the side of the file being those of the file. Long lines are
    cut to what changed in them."""
    diff = _unified(before, after, version=version, place=place)
    for number, line in enumerate((*diff[:2], *shortened(diff[2:]))):
        is_header = number >= 2 and line.startswith("@@")
        yield Line(line, Style.FAINT if is_header else _STYLES.get(line[:1], Style.PLAIN))


def _unified(before: Json, after: Json, *, version: int | None, place: Place) -> list[str]:
    old, new = _sql(before), _sql(after)
    if old is None or new is None or old == new:
        return []
    there = place.other or (f"server, version {version}" if version else "server")
    diff = difflib.unified_diff(old.splitlines(), new.splitlines(), there, place.path, lineterm="", n=_CONTEXT_LINES)
    return [
        _moved(line, place.line - 1) if number >= 2 and line.startswith("@@") else line
        for number, line in enumerate(diff)
    ]


def query_text(query: Json) -> str:
    """A query by itself: SQL as it is, a node of an insight as JSON, both without the values of variables."""
    sql = _sql(query)
    if sql is not None:
        return sql
    node = {key: value for key, value in query.items() if key != "variables"} if isinstance(query, Mapping) else query
    return json.dumps(node, indent=2, ensure_ascii=False)


def path_changes(before: Json, after: Json) -> tuple[PathChange, ...]:
    """Where two queries differ beside the text of their SQL, in the order of the paths."""
    one, other = _without_sql(before, after)
    if one == other:
        return ()
    from deepdiff import DeepDiff

    found = DeepDiff(one, other, view="tree", verbose_level=2, ignore_numeric_type_changes=True)
    changes = [_path_change(kind, each) for kind, group in found.items() for each in group]
    return tuple(sorted(changes, key=lambda change: change.path))


def as_json(key: Key, before: Json, after: Json, *, version: int | None, place: Place) -> JsonObject:
    """The same facts for machines."""
    if key is not Key.QUERY:
        return {"before": before, "after": after}
    sql: list[Json] = [*_unified(before, after, version=version, place=place)]
    changes: list[Json] = [change.as_json() for change in path_changes(before, after)]
    return {"before": before, "after": after, "diff": sql, "changes": changes}


_STYLES: Final = {"+": Style.ADDED, "-": Style.REMOVED}


def _path_change(kind: str, found: object) -> PathChange:
    path: Sequence[str | int] = found.path(output_format="list")  # type: ignore[attr-defined] # deepdiff is untyped
    return PathChange(
        path=_path(path),
        before=getattr(found, "t1", None),
        after=getattr(found, "t2", None),
        is_added=kind.endswith("_added"),
        is_removed=kind.endswith("_removed"),
    )


def _path(parts: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "query"


def _without_sql(before: Json, after: Json) -> tuple[Json, Json]:
    """Without the texts that are shown as a diff. Of variables that the file leaves open nothing is a difference."""
    if _sql(before) is None or _sql(after) is None:
        return before, after
    assert isinstance(before, Mapping)
    assert isinstance(after, Mapping)
    stated = variables_of(after)
    present = {name: entry for name, entry in variables_of(before).items() if name in stated}
    rest = {"query", "variables"}
    return (
        {**{key: value for key, value in before.items() if key not in rest}, "variables": present},
        {**{key: value for key, value in after.items() if key not in rest}, "variables": dict(stated)},
    )


def _sql(query: Json) -> str | None:
    if not isinstance(query, Mapping) or query.get("kind") != "HogQLQuery":
        return None
    text = query.get("query")
    return text if isinstance(text, str) else None


def _moved(header: str, lines_before: int) -> str:
    """A hunk's header, the numbers of the file's side moved to where the SQL stands in it."""
    marker, old, new, end = header.split(" ", 3)
    start, comma, count = new.removeprefix("+").partition(",")
    return f"{marker} {old} +{int(start) + lines_before}{comma}{count} {end}"


def _written(path: str, line: int) -> tuple[str, str]:
    """Key and value as they stand in a line of a file."""
    try:
        text = read_regular_file(Path(path)).decode("utf-8-sig", "replace").splitlines()[line - 1]
    except (OSError, IndexError):
        return "", ""
    key, _, value = text.partition(":")
    return key.strip().strip("\"'"), value.strip()


def as_text(value: Json) -> str:
    """A value as it would stand in JSON."""
    return json.dumps(value, ensure_ascii=False)
