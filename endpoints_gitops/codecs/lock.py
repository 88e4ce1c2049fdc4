"""`endpoints.lock`: TOML, one block for each pin, one key a line, so that two branches merge and a review reads.

Values that TOML has no words for (null, mixed lists) stand as JSON text. Reading imports nothing heavy: `lock --check` and
every start of a consumer's app come through here.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, query_hash

SCHEMA_VERSION: Final = 1
_HEAD: Final = "# Written by `endpoints-gitops lock` and `upgrade`; review it, do not edit it.\n"
_WAY_OUT: Final = "take one side and lock again: git checkout --ours endpoints.lock && endpoints-gitops lock && git add endpoints.lock"
_MARKER: Final = re.compile(r"^(<{7} |>{7} |\|{7} )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Key:
    kind: type | tuple[type, ...]
    needed: bool = True


_PIN: Final = {
    "environment": _Key(str),
    "name": _Key(str),
    "endpoint_id": _Key(str),
    "version": _Key(int),
    "version_id": _Key(str, needed=False),
    "created_at": _Key(datetime, needed=False),
    "kind": _Key(str),
    "materialized": _Key(bool),
    "freshness_seconds": _Key(int, needed=False),
    "optional_breakdown_properties": _Key(list, needed=False),
    "bucket_overrides": _Key(dict, needed=False),
    "query_hash": _Key(str),
    "contract_hash": _Key(str),
    "allowed": _Key(list, needed=False),
    "sql": _Key(str, needed=False),
    "node": _Key(str, needed=False),
    "variables": _Key(list, needed=False),
    "columns": _Key(list, needed=False),
    "examples": _Key(list, needed=False),
}
_VARIABLE: Final = {
    "name": _Key(str),
    "type": _Key(str),
    "required": _Key(bool),
    "default": _Key(str, needed=False),
}
_COLUMN: Final = {"name": _Key(str), "type": _Key(str), "nullable": _Key(bool, needed=False)}
_EXAMPLE: Final = {"name": _Key(str, needed=False), "variables": _Key(str), "rows": _Key(str, needed=False)}
_SAID: Final = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


def write_lock(lock: Lock) -> bytes:
    """The file: the same bytes for equal locks, whatever order the pins were given in."""
    ordered = sorted(lock.pins, key=lambda pin: (pin.environment, pin.name))
    blocks = "".join(f"\n[[pins]]\n{''.join(_lines(pin))}" for pin in ordered)
    return f"{_HEAD}schema_version = {SCHEMA_VERSION}\n{blocks}".encode()


def read_lock(content: bytes, path: str) -> Lock:
    """The lock that a file holds. `path` is what messages name.

    Raises InvalidInput: no TOML, conflict markers, a newer schema, keys that are unknown, missing or of another kind,
    two pins of one endpoint and environment, a query that is not the one its hash names.
    """
    text = _text(content, path)
    value = _parsed(text, path)
    _check_schema(value, path)
    reader = _Reader(path=path, lines=_lines_of_blocks(text))
    pins = tuple(pin for pin in map(reader.pin, range(len(value["pins"])), value["pins"]) if pin)
    reader.doubled(pins)
    if reader.problems:
        raise InvalidInput(tuple(reader.problems), message=f"{path} is not whole")
    return Lock(pins=tuple(sorted(pins, key=lambda pin: (pin.environment, pin.name))))


def _lines(pin: Pin) -> Iterator[str]:
    """The keys of a block in the order of `_PIN`; what holds nothing is left out."""
    yield from _identity(pin)
    if pin.allowed:
        yield _line("allowed", pin.allowed)
    yield from _query(pin)
    yield from _list("variables", (_variable(each) for each in pin.variables), wanted=bool(pin.variables))
    yield from _list("columns", (_column(each) for each in pin.columns or ()), wanted=pin.columns is not None)
    yield from _list("examples", (_example(each) for each in pin.examples), wanted=bool(pin.examples))


def _identity(pin: Pin) -> Iterator[str]:
    yield _line("environment", pin.environment)
    yield _line("name", pin.name)
    yield _line("endpoint_id", pin.endpoint_id)
    yield _line("version", pin.version)
    for key in ("version_id", "created_at"):
        if getattr(pin, key) is not None:
            yield _line(key, getattr(pin, key))
    yield _line("kind", pin.kind)
    yield _line("materialized", pin.materialized)
    if pin.freshness_seconds is not None:
        yield _line("freshness_seconds", pin.freshness_seconds)
    if pin.optional_breakdown_properties:
        yield _line("optional_breakdown_properties", pin.optional_breakdown_properties)
    if pin.bucket_overrides:
        yield _line("bucket_overrides", dict(pin.bucket_overrides))
    yield _line("query_hash", pin.query_hash)
    yield _line("contract_hash", pin.contract_hash)


def _query(pin: Pin) -> Iterator[str]:
    """SQL as it is read, so that a moved pin shows the difference; the rest of the node as JSON."""
    sql = pin.query.get("query") if pin.kind == "HogQLQuery" else None
    if isinstance(sql, str):
        yield f"sql = {_block(sql)}\n"
    rest = {
        key: value
        for key, value in pin.query.items()
        if key not in (["kind", "query"] if sql is not None else ["kind"])
    }
    if rest:
        yield f"node = {_block(_json(rest, indent=2))}\n"


def _variable(variable: PinnedVariable) -> str:
    default = {"default": _json(variable.default)} if variable.has_default else {}
    return _inline({"name": variable.name, "type": variable.type, "required": variable.required, **default})


def _column(column: PinnedColumn) -> str:
    nullable = {} if column.nullable is None else {"nullable": column.nullable}
    return _inline({"name": column.name, "type": column.type, **nullable})


def _example(example: PinnedExample) -> str:
    name = {} if example.name is None else {"name": example.name}
    rows = {} if example.rows is None else {"rows": _json(list(example.rows))}
    return _inline({**name, "variables": _json(dict(example.variables)), **rows})


def _list(key: str, items: Iterator[str], *, wanted: bool) -> Iterator[str]:
    if not wanted:
        return
    lines = "".join(f"  {item},\n" for item in items)
    yield f"{key} = [\n{lines}]\n"


def _line(key: str, value: object) -> str:
    import tomlkit

    return f"{key} = {tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()}\n"


def _inline(value: Mapping[str, Any]) -> str:
    import tomlkit

    return "{ " + ", ".join(f"{key} = {tomlkit.item(item).as_string()}" for key, item in value.items()) + " }"


def _block(text: str) -> str:
    """A text over several lines that starts and ends on lines of its own; `_unblocked` takes the last break off."""
    import tomlkit

    literal = "'''" not in text and not any(
        character < " " and character not in "\n\t" or character == "\x7f" for character in text
    )
    return tomlkit.string(f"\n{text}\n", literal=literal, multiline=True).as_string() if literal else _escaped(text)


def _escaped(text: str) -> str:
    """TOML's escapes are JSON's; a break is written as one."""
    quoted = json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
    return '"""\n' + quoted.replace("\\n", "\n") + '\n"""'


def _unblocked(text: str) -> str:
    return text.removesuffix("\n")


def _json(value: Json, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent)


def _text(content: bytes, path: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(path, 0, "this file is not UTF-8")
    marker = _MARKER.search(text)
    if marker:
        line = text.count("\n", 0, marker.start()) + 1
        _refuse(path, line, "a merge left its conflict markers here", _WAY_OUT, code="lock.conflict")
    return text


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = re.search(r"at line (\d+)", str(error))
        _refuse(path, int(place[1]) if place else 0, f"this is no TOML: {error}", _WAY_OUT)


def _check_schema(value: dict[str, Any], path: str) -> None:
    version = value.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"this lock has schema {version}, and this release of endpoints-gitops reads up to {SCHEMA_VERSION}"
        _refuse(path, 0, message, "pip install --upgrade endpoints-gitops", code="lock.newer")
    if version != SCHEMA_VERSION:
        _refuse(path, 0, f"schema_version = {SCHEMA_VERSION} is missing", "endpoints-gitops lock")
    unknown = sorted(value.keys() - {"schema_version", "pins"})
    if unknown:
        _refuse(path, 0, f"unknown key {unknown[0]!r}", "endpoints-gitops lock")
    pins = value.setdefault("pins", [])
    if not isinstance(pins, list) or not all(isinstance(pin, dict) for pin in pins):
        _refuse(path, 0, "pins is a list of [[pins]] blocks")


def _lines_of_blocks(text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), start=1) if line.strip() == "[[pins]]"]


def _refuse(path: str, line: int, message: str, fix: str | None = None, *, code: str = "lock.invalid") -> NoReturn:
    raise InvalidInput((Problem(path=path, line=line, column=1 if line else 0, message=message, code=code, fix=fix),))


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads blocks and notes what is wrong with them."""

    path: str
    lines: Sequence[int]
    problems: list[Problem] = field(default_factory=list)

    def pin(self, index: int, block: dict[str, Any]) -> Pin | None:
        before = len(self.problems)
        self._table(index, block, _PIN, "")
        variables = self._items(index, block, "variables", _VARIABLE)
        columns = self._items(index, block, "columns", _COLUMN)
        examples = self._items(index, block, "examples", _EXAMPLE)
        if len(self.problems) > before:
            return None
        try:
            return self._whole(index, block, variables, columns, examples)
        except ValueError as error:
            self._add(index, f"a value is no JSON: {error}")
            return None

    def doubled(self, pins: Sequence[Pin]) -> None:
        seen: set[tuple[str, str]] = set()
        for index, pin in enumerate(pins):
            if (pin.environment, pin.name) in seen:
                self._add(
                    index, f"{pin.name} is pinned twice in environment {pin.environment}", "remove one of the blocks"
                )
            seen.add((pin.environment, pin.name))

    def _whole(
        self,
        index: int,
        block: dict[str, Any],
        variables: list[dict[str, Any]],
        columns: list[dict[str, Any]],
        examples: list[dict[str, Any]],
    ) -> Pin | None:
        query = _stored_query(block)
        if query_hash(query) != block["query_hash"]:
            message = (
                f"the query of {block['name']} is not the one that its query_hash names: the lock was edited by hand"
            )
            self._add(index, message, f"endpoints-gitops upgrade {block['name']}@{block['version']}")
            return None
        return Pin(
            **{
                key: block[key]
                for key in ("environment", "name", "endpoint_id", "version", "materialized", "contract_hash")
            },
            **{key: block.get(key) for key in ("version_id", "created_at", "freshness_seconds", "bucket_overrides")},
            query=query,
            optional_breakdown_properties=tuple(block.get("optional_breakdown_properties", ())),
            allowed=tuple(block.get("allowed", ())),
            variables=tuple(map(_read_variable, variables)),
            columns=tuple(PinnedColumn(**column) for column in columns) if "columns" in block else None,
            examples=tuple(map(_read_example, examples)),
        )

    def _items(self, index: int, block: dict[str, Any], key: str, known: Mapping[str, _Key]) -> list[dict[str, Any]]:
        items = block.get(key, [])
        tables = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        if isinstance(items, list) and len(tables) < len(items):
            self._add(index, f"{key} is a list of tables")
        for number, item in enumerate(tables):
            self._table(index, item, known, f"{key}.{number}.")
        return tables

    def _table(self, index: int, table: dict[str, Any], known: Mapping[str, _Key], prefix: str) -> None:
        for key in table.keys() - known.keys():
            self._add(index, f"unknown key {prefix}{key}", "endpoints-gitops lock")
        for key, each in known.items():
            if key not in table:
                if each.needed:
                    self._add(index, f"the key {prefix}{key} is missing", "endpoints-gitops lock")
            elif type(table[key]) is not each.kind:
                self._add(index, f"{prefix}{key} is {_SAID.get(each.kind, 'a time')}")

    def _add(self, index: int, message: str, fix: str | None = None) -> None:
        line = self.lines[index] if index < len(self.lines) else 0
        self.problems.append(
            Problem(path=self.path, line=line, column=1 if line else 0, message=message, code="lock.invalid", fix=fix)
        )


def _stored_query(block: Mapping[str, Any]) -> JsonObject:
    query: dict[str, Json] = {"kind": block["kind"]}
    if "sql" in block:
        query["query"] = _unblocked(block["sql"])
    node = json.loads(block.get("node", "{}"))
    if not isinstance(node, dict):
        raise ValueError("node is an object")
    return {**query, **node}


def _read_variable(table: Mapping[str, Any]) -> PinnedVariable:
    has_default = "default" in table
    return PinnedVariable(
        name=table["name"],
        type=table["type"],
        required=table["required"],
        has_default=has_default,
        default=json.loads(table["default"]) if has_default else None,
    )


def _read_example(table: Mapping[str, Any]) -> PinnedExample:
    rows = json.loads(table["rows"]) if "rows" in table else None
    variables = json.loads(table["variables"])
    if not isinstance(variables, dict) or not (rows is None or isinstance(rows, list)):
        raise ValueError("an example has an object of variables, and a list of rows")
    return PinnedExample(name=table.get("name"), variables=variables, rows=None if rows is None else tuple(rows))
