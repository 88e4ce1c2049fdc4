"""Differences of two revisions of an endpoint as lines to show: of the query, the contract, and the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.contract.contract import HOGQL, Contract, ContractColumn, ContractVariable
from endpoints_gitops.hogql.layout import laid_out
from endpoints_gitops.model.freshness import age, schedule_word
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.report import DiffPart, TextDiff, TextDiffLine
from endpoints_gitops.plan.settings import Key, Settings, variables_of

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import Definition

_CONTEXT_LINES: Final = 3
_FILE_KEYS: Final = (
    "variables",
    "environments",
    "supersedes",
    "renamed_from",
    "columns",
    "owner",
    "deprecation",
    "examples",
    "stability",
)
"""The keys that are on no server, or not whole: of `variables` what concerns the shared variables."""
_MOST_COMPARED: Final = 4_000
_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")


def text_diff(title: str, before: str, after: str, *, language: str = "") -> TextDiff | None:
    """The lines in which two texts differ, with lines around them and changed words marked; None for equal texts."""
    old, new = _lines(before), _lines(after)
    groups = list(SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT_LINES))
    if not groups:
        return None
    lines: list[TextDiffLine] = []
    for group in groups:
        if len(groups) > 1:
            place = f"line {group[0][3] + 1}"
            lines.append(TextDiffLine("@", (DiffPart(place),)))
        for kind, old_start, old_end, new_start, new_end in group:
            if kind == "equal":
                lines += [TextDiffLine(" ", (DiffPart(text),)) for text in new[new_start:new_end]]
            else:
                lines += _replaced(old[old_start:old_end], new[new_start:new_end])
    return TextDiff(title=title, lines=tuple(lines), language=language)


def query_diff(before: Json, after: Json) -> TextDiff | None:
    """The difference of two queries as settings hold them: SQL laid out, an insight as JSON; None for no query."""
    is_sql = all(node is None or _is_sql(node) for node in (before, after))
    return text_diff("query", query_text(before), query_text(after), language="sql" if is_sql else "")


def query_text(query: Json) -> str:
    """A query in lines, with the values of its variables; empty for None."""
    if not isinstance(query, Mapping):
        return ""
    if not _is_sql(query):
        return json.dumps(query, indent=2, ensure_ascii=False, sort_keys=True)
    values = (f"-- {name} = {json.dumps(entry['value'], ensure_ascii=False)}" for name, entry in _values(query))
    return "\n".join((laid_out(str(query.get("query") or "")), *values))


def contract_diff(before: Contract | None, after: Contract | None) -> TextDiff | None:
    """What callers can rely on before and after, as far as it differs; None where nothing does."""
    return text_diff("contract", *("\n".join(map(one_line, _contract_lines(side))) for side in (before, after)))


def settings_diff(before: Settings, after: Settings, keys: Iterable[Key]) -> TextDiff | None:
    """The settings other than the query among these keys, before and after; None where there are none."""
    named = [key for key in keys if key is not Key.QUERY]
    sides = ("\n".join(f"{key}: {_shown(key, side[key])}" for key in named if key in side) for side in (before, after))
    return text_diff("settings", *sides)


def keys_of_files(before: Definition, after: Definition) -> tuple[str, ...]:
    """The keys without a setting on the server in which two definitions differ, in the order of the file."""
    old, new = _of_file(before), _of_file(after)
    return tuple(key for key in _FILE_KEYS if old.get(key) != new.get(key))


def file_diff(before: Definition, after: Definition) -> TextDiff | None:
    """What two definitions state without a setting on the server, such as `owner`; None where it is the same."""
    keys = keys_of_files(before, after)
    sides = ("\n".join(_file_lines(_of_file(side), keys)) for side in (before, after))
    return text_diff("only in the file", *sides)


def _of_file(definition: Definition) -> dict[str, Any]:
    of_variables = {"name", "label", "values", "multi", "scope"}
    include: Any = dict.fromkeys(_FILE_KEYS, True) | {"variables": {"__all__": of_variables}}
    stated = definition.model_dump(mode="json", include=include, exclude_none=True)
    variables = [variable for variable in stated.pop("variables", ()) if variable.keys() - {"name"}]
    return stated | ({"variables": variables} if variables else {})


def _file_lines(stated: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        value = stated.get(key)
        if isinstance(value, Mapping):
            parts = [(f"{key}.{name}", part) for name, part in value.items()]
        elif isinstance(value, list):
            parts = [(f"{key}.{part.get('name', index)}", part) for index, part in enumerate(value)]
        else:
            parts = [(key, value)] if value is not None else []
        yield from (f"{name}: {json.dumps(part, ensure_ascii=False)}" for name, part in parts)


def _lines(text: str) -> list[str]:
    """The lines of a text, at newlines alone: at another line break, text could pose as a line of the diff."""
    return text.removesuffix("\n").split("\n") if text else []


def _is_sql(query: Json) -> bool:
    return isinstance(query, Mapping) and query.get("kind") == HOGQL


def _values(query: Json) -> list[tuple[str, Mapping[str, Json]]]:
    return sorted(variables_of(query).items())


def _shown(key: Key, value: Json) -> str:
    word = schedule_word(value) if key is Key.FRESHNESS and isinstance(value, int) else None
    return word or json.dumps(value, ensure_ascii=False)


def _contract_lines(contract: Contract | None) -> Iterator[str]:
    if contract is None:
        return
    if contract.kind != HOGQL:
        yield f"kind {contract.kind}"
    yield from (_variable_line(variable) for variable in sorted(contract.variables, key=lambda variable: variable.name))
    yield from (_column_line(column) for column in contract.columns or ())
    if contract.columns is None and contract.columns_why:
        yield f"columns unknown: {contract.columns_why}"
    freshness = contract.serving.freshness_seconds
    oldest = "" if freshness is None else f", at most {age(freshness)} old"
    yield f"served from a {'table' if contract.is_from_table else 'cache'}{oldest}"


def _variable_line(variable: ContractVariable) -> str:
    if variable.required:
        more = ", required"
    else:
        is_open = not variable.has_default or variable.default is None
        more = ", optional" if is_open else f", default {json.dumps(variable.default, ensure_ascii=False)}"
    return f"variable {variable.name}: {variable.type}{more}"


def _column_line(column: ContractColumn) -> str:
    return f"column {column.name}: {column.full or column.type}{', nullable' if column.nullable else ''}"


def _replaced(old: Sequence[str], new: Sequence[str]) -> list[TextDiffLine]:
    """The removed and the added lines of one place. Each is compared with its counterpart, word by word."""
    removed: list[TextDiffLine] = []
    added: list[TextDiffLine] = []
    for before, after in zip_longest(old, new):
        pair = _marked(before, after)
        removed += [TextDiffLine("-", parts) for parts in pair[:1] if parts]
        added += [TextDiffLine("+", parts) for parts in pair[1:] if parts]
    return removed + added


def _marked(before: str | None, after: str | None) -> tuple[tuple[DiffPart, ...], tuple[DiffPart, ...]]:
    """Both lines in parts; empty for a side without a line. Lines without a counterpart have no marks."""
    if before is None or after is None:
        return _plain(before), _plain(after)
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if len(old) + len(new) > _MOST_COMPARED:
        return _plain(before), _plain(after)
    left: list[DiffPart] = []
    right: list[DiffPart] = []
    for kind, old_start, old_end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        is_changed = kind != "equal"
        left += [DiffPart("".join(old[old_start:old_end]), is_changed)] * (old_end > old_start)
        right += [DiffPart("".join(new[new_start:new_end]), is_changed)] * (new_end > new_start)
    return tuple(left) or _plain(before), tuple(right) or _plain(after)


def _plain(line: str | None) -> tuple[DiffPart, ...]:
    return () if line is None else (DiffPart(line),)
