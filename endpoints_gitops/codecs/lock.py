"""`endpoints.lock`: TOML, one block for each pin, one key a line, so that two branches merge and a review reads.

Values that TOML has no words for (null, objects of any shape) stand as JSON text. Reading imports nothing heavy:
`lock --check` and every start of a consumer's app come through here. Writing it is `codecs.lock_text`.

Schema 2: `contract_hash` is over everything that the pin holds, and reading verifies it. In schema 1 it was over the
contract alone, which only the analysis of the query can compute: reading keeps it, and `contract.pins` verifies it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn

from endpoints_gitops.codecs.toml import NotToml, load_toml
from endpoints_gitops.errors import InvalidInput, Problem, first_problems
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.name import is_endpoint_name, is_environment_name
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, query_hash

SCHEMA_VERSION: Final = 2
_OLDEST_SCHEMA: Final = 1
_WAY_OUT: Final = "git checkout --ours {0} && endpoints-gitops lock && git add {0}"
_RESTORE: Final = "git checkout HEAD -- {0} && endpoints-gitops lock"
_CONFLICTED: Final = (
    "a merge left its conflict markers here. The fix keeps the pins of this side and adds what the manifest uses; "
    "`outdated` then shows pins that the other side had moved"
)
_BEYOND_VERSIONS: Final = 2**31
_BEYOND_SECONDS: Final = 2**31
_MARKER: Final = re.compile(r"^(<{7} |>{7} |\|{7} )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Key:
    kind: type
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
_COLUMN: Final = {
    "name": _Key(str),
    "type": _Key(str),
    "nullable": _Key(bool, needed=False),
    "full": _Key(str, needed=False),
}
_EXAMPLE: Final = {"name": _Key(str, needed=False), "variables": _Key(str), "rows": _Key(str, needed=False)}
_SAID: Final = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


def read_lock(content: bytes, path: str) -> Lock:
    """The lock that a file holds. `path` is what messages name.

    Raises InvalidInput: no TOML, conflict markers, a newer schema, keys that are unknown, missing or of another kind,
    two pins of one endpoint and environment, a query or a pin that is not the one its hash names, numbers and names
    that no server gives.
    """
    text = _text(content, path)
    value = _parsed(text, path)
    schema = _check_schema(value, path)
    reader = _Reader(path=path, lines=_lines_of_blocks(text), is_verified=schema > _OLDEST_SCHEMA)
    reader.doubled(value["pins"])
    pins = tuple(pin for pin in map(reader.pin, range(len(value["pins"])), value["pins"]) if pin)
    if reader.problems:
        raise InvalidInput(first_problems(reader.problems), message=f"{path} is not whole")
    old = (
        {} if reader.is_verified else {(one["environment"], one["name"]): one["contract_hash"] for one in value["pins"]}
    )
    return Lock(pins=tuple(sorted(pins, key=lambda pin: (pin.environment, pin.name))), old_hashes=old)


def _unblocked(text: str) -> str:
    return text.removesuffix("\n")


def _text(content: bytes, path: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(path, 0, "this file is not UTF-8")
    marker = _MARKER.search(text)
    if marker:
        line = text.count("\n", 0, marker.start()) + 1
        _refuse(path, line, _CONFLICTED, _WAY_OUT, code="lock.conflict")
    return text


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        return load_toml(text)
    except NotToml as error:
        _refuse(path, error.line, f"this is no TOML: {error.message}", _RESTORE)


def _check_schema(value: dict[str, Any], path: str) -> int:
    version = value.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"this lock has schema {version}, and this release of endpoints-gitops reads up to {SCHEMA_VERSION}"
        _refuse(path, 0, message, "pip install --upgrade endpoints-gitops", code="lock.newer")
    if type(version) is not int or version < _OLDEST_SCHEMA:
        _refuse(path, 0, f"schema_version = {SCHEMA_VERSION} is missing", _RESTORE)
    unknown = sorted(value.keys() - {"schema_version", "pins"})
    if unknown:
        _refuse(path, 0, f"unknown key {unknown[0]!r}", _RESTORE)
    pins = value.setdefault("pins", [])
    if not isinstance(pins, list) or not all(isinstance(pin, dict) for pin in pins):
        _refuse(path, 0, "pins is a list of [[pins]] blocks")
    return version


def _lines_of_blocks(text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), start=1) if line.strip() == "[[pins]]"]


def _refuse(path: str, line: int, message: str, fix: str | None = None, *, code: str = "lock.invalid") -> NoReturn:
    raise InvalidInput(
        (Problem(path=path, line=line, column=1 if line else 0, message=message, code=code, fix=_pasted(fix, path)),)
    )


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads blocks and notes what is wrong with them."""

    path: str
    lines: Sequence[int]
    is_verified: bool
    problems: list[Problem] = field(default_factory=list)

    def pin(self, index: int, block: dict[str, Any]) -> Pin | None:
        before = len(self.problems)
        self._table(index, block, _PIN, "")
        variables = self._items(index, block, "variables", _VARIABLE)
        columns = self._items(index, block, "columns", _COLUMN)
        examples = self._items(index, block, "examples", _EXAMPLE)
        if len(self.problems) == before:
            self._bounds(index, block)
        if len(self.problems) > before:
            return None
        try:
            return self._whole(index, block, variables, columns, examples)
        except ValueError as error:
            self._add(index, f"a value is no JSON: {error}")
            return None

    def doubled(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        seen: set[tuple[str, str]] = set()
        for index, block in enumerate(blocks):
            environment, name = str(block.get("environment")), str(block.get("name"))
            if (environment, name) in seen:
                self._add(index, f"{name} is pinned twice in environment {environment}", "remove one of the blocks")
            seen.add((environment, name))

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
            self._add(index, message, _RESTORE)
            return None
        pin = Pin(
            environment=block["environment"],
            name=block["name"],
            endpoint_id=block["endpoint_id"],
            version=block["version"],
            version_id=block.get("version_id"),
            created_at=block.get("created_at"),
            materialized=block["materialized"],
            freshness_seconds=block.get("freshness_seconds"),
            bucket_overrides=block.get("bucket_overrides"),
            query=query,
            optional_breakdown_properties=tuple(block.get("optional_breakdown_properties", ())),
            allowed=tuple(block.get("allowed", ())),
            variables=tuple(map(_read_variable, variables)),
            columns=tuple(PinnedColumn(**column) for column in columns) if "columns" in block else None,
            examples=tuple(map(_read_example, examples)),
        )
        if self.is_verified and pin.contract_hash != block["contract_hash"]:
            message = (
                f"the pin of {pin.name} is not the one that its contract_hash names: the lock was edited by hand, or a "
                "merge mixed two pins"
            )
            self._add(index, message, _RESTORE)
            return None
        return pin

    def _bounds(self, index: int, block: dict[str, Any]) -> None:
        """Refuse what no server and no manifest says; names become parts of paths."""
        freshness = block.get("freshness_seconds", 1)
        if not 1 <= block["version"] < _BEYOND_VERSIONS:
            self._add(index, f"version is a number from 1 on, not {str(block['version'])[:20]}", _RESTORE)
        if not 1 <= freshness < _BEYOND_SECONDS:
            self._add(index, f"freshness_seconds is a number of seconds, not {str(freshness)[:20]}", _RESTORE)
        if not is_endpoint_name(block["name"]):
            self._add(index, f"{block['name'][:80]!r} is not the name of an endpoint", _RESTORE)
        if not is_environment_name(block["environment"]):
            self._add(index, f"{block['environment'][:80]!r} is not the name of an environment", _RESTORE)
        for key in ("endpoint_id", "kind"):
            if not block[key].strip() or not block[key].isprintable():
                self._add(index, f"{key} is {block[key][:80]!r}, which cannot be", _RESTORE)

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
            self._add(index, f"unknown key {prefix}{key}", _RESTORE)
        for key, each in known.items():
            if key not in table:
                if each.needed:
                    self._add(index, f"the key {prefix}{key} is missing", _RESTORE)
            elif not _is_of_kind(table[key], each.kind):
                self._add(index, f"{prefix}{key} is {_SAID.get(each.kind, 'a time')}")

    def _add(self, index: int, message: str, fix: str | None = None) -> None:
        line = self.lines[index] if index < len(self.lines) else 0
        self.problems.append(
            Problem(
                path=self.path,
                line=line,
                column=1 if line else 0,
                message=message,
                code="lock.invalid",
                fix=_pasted(fix, self.path),
            )
        )


def _is_of_kind(value: object, kind: type) -> bool:
    """A truth value is no number here. A frozen clock of a test makes a time an instance of a class of its own."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _pasted(fix: str | None, path: str) -> str | None:
    return fix.format(path) if fix else None


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
