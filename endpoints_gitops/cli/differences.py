"""A difference between two values of one key, on the screen and in JSON: SQL line by line, query nodes by path.

"Before" is what the server has, "after" what the file says: what a push would do.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Final

from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.plan.diff import EndpointDiff, KeyDiff
from endpoints_gitops.plan.settings import Key, variables_of
from endpoints_gitops.workspace.files import read_regular_file, shown

_CONTEXT_LINES: Final = 3
_ABSENT: Final = "(nothing)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The file of a query, and the line of its first line of SQL, counted from 1.

    `other` is what the side before is called; empty for the server.
    """

    path: str
    line: int = 1
    other: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChange:
    """A change in a query node or of a variable. The JSON lacks the side that has no value."""

    path: str
    before: Json
    after: Json
    is_added: bool = False
    is_removed: bool = False

    def as_json(self) -> JsonObject:
        sides = {"before": self.before} if not self.is_added else {}
        return {"path": self.path, **sides, **({"after": self.after} if not self.is_removed else {})}


def sql_place(path: str, line: int | None) -> Place:
    """Where the SQL begins: in a file of its own, in the block under the key, or beside the key."""
    key, value = _written(path, line) if line else ("", "")
    if key == "query_file":
        return Place(path=shown(Path(path).parent / value.strip("\"'")))
    if line is None or key != "query":
        return Place(path=path)
    is_block = value[:1] in {"|", ">", ""}
    return Place(path=path, line=line + is_block)


def diff_lines(diff: EndpointDiff, difference: KeyDiff) -> Iterator[Line | str]:
    """The lines of one difference of an endpoint."""
    yield from key_lines(
        difference.key,
        difference.remote,
        difference.local,
        version=diff.remote.version if diff.remote else None,
        place=_place(diff, difference),
        indent="  ",
    )


def diff_item(diff: EndpointDiff, difference: KeyDiff) -> JsonObject:
    """One difference of an endpoint as JSON: `before` is the remote side, `after` the local one."""
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
    """The difference in one key: a setting on one line, a query on several."""
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
    """A unified diff of two SQL texts, with the line numbers of the file. Long lines are cut to what changed."""
    for line in shortened(_unified(before, after, version=version, place=place)):
        yield Line(f"{line.mark}{line.text}", _STYLES.get(line.mark, Style.PLAIN))


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a unified diff: `mark` is what it begins with."""

    mark: str
    text: str


_OLD_FILE: Final = "--- "
_NEW_FILE: Final = "+++ "
_HUNK: Final = "@@ "
_ADDED: Final = "+"
_REMOVED: Final = "-"
_STYLES: Final = {
    _HUNK: Style.FAINT,
    _NEW_FILE: Style.ADDED,
    _OLD_FILE: Style.REMOVED,
    _ADDED: Style.ADDED,
    _REMOVED: Style.REMOVED,
}


def _unified(before: Json, after: Json, *, version: int | None, place: Place) -> Iterator[DiffLine]:
    """The lines of a unified diff; nothing if a side is not SQL or both are equal."""
    old, new = _sql(before), _sql(after)
    if old is None or new is None or old == new:
        return
    there = place.other or (f"server, version {version}" if version else "server")
    yield from unified_diff(old.splitlines(), new.splitlines(), there, place.path, first_line=place.line)


def unified_diff(
    old: Sequence[str], new: Sequence[str], old_name: str, new_name: str, *, first_line: int = 1
) -> Iterator[DiffLine]:
    """The lines of a unified diff; nothing for equal texts. `first_line` is the number of the first new line."""
    groups = list(difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT_LINES))
    if groups:
        yield DiffLine(_OLD_FILE, old_name)
        yield DiffLine(_NEW_FILE, new_name)
    for group in groups:
        (_, old_start, _, new_start, _), (*_, old_end, _, new_end) = group[0], group[-1]
        new_lines = _line_range(new_start, new_end, first_line)
        yield DiffLine(_HUNK, f"-{_line_range(old_start, old_end)} +{new_lines} @@")
        for kind, old_low, old_high, new_low, new_high in group:
            if kind == "equal":
                yield from (DiffLine(" ", text) for text in old[old_low:old_high])
                continue
            yield from (DiffLine(_REMOVED, text) for text in old[old_low:old_high])
            yield from (DiffLine(_ADDED, text) for text in new[new_low:new_high])


def _line_range(start: int, end: int, first_line: int = 1) -> str:
    """`7` for one line, `7,2` for two; no lines come after the line that is named."""
    count = end - start
    number = start + first_line - (count == 0)
    return f"{number}" if count == 1 else f"{number},{count}"


def query_text(query: Json) -> str:
    """The text of a query: SQL as it is, an insight as JSON, without the values of variables."""
    sql = _sql(query)
    if sql is not None:
        return sql
    node = {key: value for key, value in query.items() if key != "variables"} if isinstance(query, Mapping) else query
    return json.dumps(node, indent=2, ensure_ascii=False)


def path_changes(before: Json, after: Json) -> tuple[PathChange, ...]:
    """The differences of two queries other than in the text of their SQL, sorted by path."""
    one, other = _without_sql(before, after)
    if one == other:
        return ()
    from deepdiff import DeepDiff

    found = DeepDiff(one, other, view="tree", verbose_level=2, ignore_numeric_type_changes=True)
    changes = [_path_change(kind, each) for kind, group in found.items() for each in group]
    return tuple(sorted(changes, key=lambda change: change.path))


def as_json(key: Key, before: Json, after: Json, *, version: int | None, place: Place) -> JsonObject:
    """A difference as JSON."""
    if key is not Key.QUERY:
        return {"before": before, "after": after}
    sql: list[Json] = [f"{line.mark}{line.text}" for line in _unified(before, after, version=version, place=place)]
    changes: list[Json] = [change.as_json() for change in path_changes(before, after)]
    return {"before": before, "after": after, "diff": sql, "changes": changes}


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
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "query"


def _without_sql(before: Json, after: Json) -> tuple[Json, Json]:
    """Both queries without the SQL, which is shown as a diff, and without variables that the file does not set."""
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


def _written(path: str, line: int) -> tuple[str, str]:
    """The key and the value in a line of a file."""
    try:
        text = read_regular_file(Path(path)).decode("utf-8-sig", "replace").splitlines()[line - 1]
    except (OSError, IndexError):
        return "", ""
    key, _, value = text.partition(":")
    return key.strip().strip("\"'"), value.strip()


def as_text(value: Json) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False)


LONG: Final = 160
"""Lines of a diff that are not longer are printed as they are."""
_CONTEXT: Final = 40
_MOST: Final = 2_000
_SEPARATORS: Final = " \t,()"


def shortened(diff: Iterable[DiffLine]) -> Iterator[DiffLine]:
    """A diff with its long lines cut to what changed in them: `[-before-]` and `{+after+}` mark it, as git does.

    The removed and the added lines of one place are compared with each other, one by one.
    """
    for is_change, group in groupby(diff, key=lambda line: line.mark in (_REMOVED, _ADDED)):
        lines = list(group)
        if not is_change:
            yield from (line if line.mark != " " else DiffLine(" ", _cut(line.text)) for line in lines)
            continue
        removed = [line.text for line in lines if line.mark == _REMOVED]
        added = [line.text for line in lines if line.mark == _ADDED]
        pairs = [_marked(old, new) for old, new in zip_longest(removed, added)]
        yield from (DiffLine(_REMOVED, old) for old, _ in pairs if old is not None)
        yield from (DiffLine(_ADDED, new) for _, new in pairs if new is not None)


def _marked(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    if old is None or new is None:
        return (old and _cut(old, _MOST), new and _cut(new, _MOST))
    if max(len(old), len(new)) <= LONG:
        return old, new
    before, after = _words(old), _words(new)
    steps = difflib.SequenceMatcher(None, before, after).get_opcodes()
    parts: tuple[list[str], list[str]] = ([], [])
    for index, (kind, low, high, start, end) in enumerate(steps):
        texts = "".join(before[low:high]), "".join(after[start:end])
        for side, text, marks in zip(parts, texts, ("[--]", "{++}"), strict=True):
            if kind == "equal":
                side.append(_context(text, is_first=index == 0, is_last=index == len(steps) - 1))
            elif text:
                side.append(f"{marks[:2]}{_cut(text, _MOST)}{marks[2:]}")
    return "".join(parts[0]), "".join(parts[1])


def _words(text: str) -> list[str]:
    """The words of a text, and each separator between them."""
    found, start = [], 0
    for place, character in enumerate(text):
        if character in _SEPARATORS:
            found += [text[start:place], character] if place > start else [character]
            start = place + 1
    return [*found, text[start:]] if start < len(text) else found


def _context(text: str, *, is_first: bool, is_last: bool) -> str:
    """Unchanged text, cut to what is near a change."""
    head = "" if is_first else text[:_CONTEXT]
    tail = "" if is_last else text[-_CONTEXT:]
    return text if len(text) <= len(head) + len(tail) + 1 else f"{head}…{tail}"


def _cut(text: str, most: int = LONG) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
