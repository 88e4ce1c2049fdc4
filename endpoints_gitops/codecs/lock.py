"""`endpoints.lock`: TOML, one block for each pin, one key a line, so that branches merge and a review is readable.

Values that TOML cannot represent (null, objects of any shape) are JSON text. Reading imports nothing heavy, because
every start of a consumer's app reads the lock. Writing uses tomlkit for the values; this module defines the layout.

In schema 2, `contract_hash` covers the complete pin, and reading verifies it. In schema 1 it covered only the contract,
which requires an analysis of the query: reading keeps it, and `contract.pins` verifies it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from endpoints_gitops.advice import AND, Advice, Command, OtherCommand
from endpoints_gitops.codecs.reader import Document, between, check_schema_version, satisfies
from endpoints_gitops.codecs.text import KeyPath
from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.name import is_endpoint_name, is_environment_name
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable, query_hash
from endpoints_gitops.model.sunset import SunsetNotice

SCHEMA_VERSION: Final = 2
_OLDEST_SCHEMA: Final = 1
_CONFLICT: Final = (
    "the file has conflict markers of a merge. The fix keeps the pins of this side and adds those that the manifest "
    "uses; `outdated` then shows pins that the other side had upgraded"
)
_MARKER: Final = re.compile(r"^(<{7} |>{7} |\|{7} )", re.MULTILINE)
_LARGEST: Final = 2**31 - 1
_HEAD: Final = "# Written by `endpoints-gitops lock` and `upgrade`; review it, do not edit it.\n"


@dataclass(kw_only=True, eq=False, repr=False)
class _LockFile:
    schema_version: int
    pins: tuple[Mapping[str, object], ...] = ()


@dataclass(kw_only=True, eq=False, repr=False)
class _VariableTable:
    """A variable. `default` is JSON text."""

    name: str
    type: str
    required: bool
    default: str | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class _ExampleTable:
    """An example. `variables` and `rows` are JSON text."""

    name: str | None = None
    variables: str
    rows: str | None = None


type _Word = Annotated[str, satisfies(lambda text: text.isprintable() and bool(text.strip()), "a printable text")]


@dataclass(kw_only=True, eq=False, repr=False)
class _PinBlock:
    """A `[[pins]]` block. Names become parts of paths, so they are restricted."""

    environment: Annotated[str, satisfies(is_environment_name, "the name of an environment")]
    name: Annotated[str, satisfies(is_endpoint_name, "the name of an endpoint")]
    endpoint_id: _Word
    version: Annotated[int, between(1, _LARGEST)]
    version_id: str | None = None
    created_at: datetime | None = None
    kind: _Word
    materialized: bool
    freshness_seconds: Annotated[int, between(1, _LARGEST)] | None = None
    optional_breakdown_properties: tuple[str, ...] = ()
    bucket_overrides: Mapping[str, str] | None = None
    query_hash: str
    contract_hash: str
    allowed: tuple[str, ...] = ()
    deprecation: SunsetNotice | None = None
    sql: str | None = None
    node: str = "{}"
    variables: tuple[_VariableTable, ...] = ()
    columns: tuple[PinnedColumn, ...] | None = None
    examples: tuple[_ExampleTable, ...] = ()


def read_lock(content: bytes, path: str) -> Lock:
    """Parse a lock. `path` names the file in messages.

    Raises InvalidInput with every mistake: text that is not TOML, conflict markers, a newer schema, unknown or missing
    keys, wrong types, duplicate pins, a query or pin that does not match its hash, and invalid numbers or names.
    """
    restore = Advice(OtherCommand("git", "checkout", "HEAD", "--", path), AND, Command("lock"))
    document = Document.of_toml(_text(content, path, restore), path, code="lock.invalid", fix=restore)
    schema = check_schema_version(document, SCHEMA_VERSION, oldest=_OLDEST_SCHEMA, code="lock.newer")
    blocks = document.read(_LockFile).pins
    _note_duplicates(document, blocks)
    parsed = [document.part(_PinBlock, block, ("pins", index)) for index, block in enumerate(blocks)]
    is_verified = schema > _OLDEST_SCHEMA
    pins = [
        _pin(document, block, ("pins", index), is_verified=is_verified) for index, block in enumerate(parsed) if block
    ]
    document.raise_mistakes(f"{path} has mistakes")
    whole = sorted(filter(None, pins), key=lambda pin: (pin.environment, pin.name))
    old = {} if is_verified else {(block.environment, block.name): block.contract_hash for block in parsed if block}
    return Lock(pins=tuple(whole), old_hashes=old)


def _text(content: bytes, path: str, restore: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problem = Problem(path=path, message="this file is not UTF-8", code="lock.invalid", fix=restore)
        raise InvalidInput((problem,)) from None
    marker = _MARKER.search(text)
    if marker:
        line = text.count("\n", 0, marker.start()) + 1
        fix = Advice(
            OtherCommand("git", "checkout", "--ours", path), AND, Command("lock"), AND, OtherCommand("git", "add", path)
        )
        raise InvalidInput((Problem(path=path, line=line, column=1, message=_CONFLICT, code="lock.conflict", fix=fix),))
    return text


def _note_duplicates(document: Document, blocks: Sequence[Mapping[str, object]]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, block in enumerate(blocks):
        environment, name = str(block.get("environment")), str(block.get("name"))
        if (environment, name) in seen:
            message = f"{name} is pinned twice in environment {environment}"
            document.add(("pins", index), message, fix="remove one of the blocks")
        seen.add((environment, name))


def _pin(document: Document, block: _PinBlock, location: KeyPath, *, is_verified: bool) -> Pin | None:
    """The pin of a block; None if its JSON texts or hashes are wrong, which is added to the mistakes."""
    try:
        query = _stored_query(block)
        variables, examples = tuple(map(_read_variable, block.variables)), tuple(map(_read_example, block.examples))
    except (ValueError, RecursionError) as error:
        document.add(location, f"a value of {block.name} is not valid JSON: {error}")
        return None
    if query_hash(query) != block.query_hash:
        message = f"the query of {block.name} does not match its query_hash: the lock was edited by hand"
        document.add(location, message)
        return None
    pin = Pin(
        environment=block.environment,
        name=block.name,
        endpoint_id=block.endpoint_id,
        version=block.version,
        version_id=block.version_id,
        created_at=block.created_at,
        materialized=block.materialized,
        freshness_seconds=block.freshness_seconds,
        bucket_overrides=block.bucket_overrides,
        query=query,
        optional_breakdown_properties=block.optional_breakdown_properties,
        allowed=block.allowed,
        deprecation=block.deprecation,
        variables=variables,
        columns=block.columns,
        examples=examples,
    )
    if is_verified and pin.contract_hash != block.contract_hash:
        message = (
            f"the pin of {pin.name} does not match its contract_hash: the lock was edited by hand, or a merge mixed "
            "two pins"
        )
        document.add(location, message)
        return None
    return pin


def _stored_query(block: _PinBlock) -> JsonObject:
    query: dict[str, Json] = {"kind": block.kind}
    if block.sql is not None:
        query["query"] = block.sql.removesuffix("\n")
    node = json.loads(block.node)
    if not isinstance(node, dict):
        raise ValueError("node must be an object")
    return {**query, **node}


def _read_variable(table: _VariableTable) -> PinnedVariable:
    has_default = table.default is not None
    return PinnedVariable(
        name=table.name,
        type=table.type,
        required=table.required,
        has_default=has_default,
        default=json.loads(table.default) if table.default is not None else None,
    )


def _read_example(table: _ExampleTable) -> PinnedExample:
    rows = json.loads(table.rows) if table.rows is not None else None
    variables = json.loads(table.variables)
    if not isinstance(variables, dict) or not (rows is None or isinstance(rows, list)):
        raise ValueError("an example must have an object of variables and a list of rows")
    return PinnedExample(name=table.name, variables=variables, rows=None if rows is None else tuple(rows))


def write_lock(lock: Lock) -> bytes:
    """The bytes of the file, which are equal for equal locks, whatever the order of their pins."""
    ordered = sorted(lock.pins, key=lambda pin: (pin.environment, pin.name))
    blocks = "".join(f"\n[[pins]]\n{''.join(_lines(pin))}" for pin in ordered)
    return f"{_HEAD}schema_version = {SCHEMA_VERSION}\n{blocks}".encode()


def _lines(pin: Pin) -> Iterator[str]:
    """The lines of a block, without empty keys."""
    yield from _identity(pin)
    if pin.allowed:
        yield _line("allowed", pin.allowed)
    if pin.deprecation is not None:
        stated = {key: value for key, value in pin.deprecation.as_json().items() if value is not None}
        yield f"deprecation = {_inline(stated)}\n"
    yield from _query(pin)
    yield from _list("variables", (_variable(item) for item in pin.variables), is_present=bool(pin.variables))
    yield from _list("columns", (_column(item) for item in pin.columns or ()), is_present=pin.columns is not None)
    yield from _list("examples", (_example(item) for item in pin.examples), is_present=bool(pin.examples))


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
        yield f"bucket_overrides = {_inline(pin.bucket_overrides)}\n"
    yield _line("query_hash", pin.query_hash)
    yield _line("contract_hash", pin.contract_hash)


def _query(pin: Pin) -> Iterator[str]:
    """The query: SQL as text, so that a review shows how it changed; the rest of the node as JSON."""
    sql = pin.query.get("query") if pin.kind == "HogQLQuery" else None
    if isinstance(sql, str):
        yield f"sql = {_block(sql)}\n"
    separate = ("kind", "query") if isinstance(sql, str) else ("kind",)
    rest = {key: value for key, value in pin.query.items() if key not in separate}
    if rest:
        yield f"node = {_block(_json(rest, indent=2))}\n"


def _variable(variable: PinnedVariable) -> str:
    default = {"default": _json(variable.default)} if variable.has_default else {}
    return _inline({"name": variable.name, "type": variable.type, "required": variable.required, **default})


def _column(column: PinnedColumn) -> str:
    nullable = {} if column.nullable is None else {"nullable": column.nullable}
    full = {} if column.full is None else {"full": column.full}
    varies = {"varies": True} if column.varies else {}
    return _inline({"name": column.name, "type": column.type, **nullable, **full, **varies})


def _example(example: PinnedExample) -> str:
    name = {} if example.name is None else {"name": example.name}
    rows = {} if example.rows is None else {"rows": _json(list(example.rows))}
    return _inline({**name, "variables": _json(dict(example.variables)), **rows})


def _list(key: str, items: Iterator[str], *, is_present: bool) -> Iterator[str]:
    if not is_present:
        return
    lines = "".join(f"  {item},\n" for item in items)
    yield f"{key} = [\n{lines}]\n"


def _line(key: str, value: object) -> str:
    return f"{key} = {_spelled(list(value) if isinstance(value, tuple) else value)}\n"


def _inline(value: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{_key(key)} = {_spelled(item)}" for key, item in value.items()) + " }"


def _key(name: str) -> str:
    import tomlkit

    return tomlkit.key(name).as_string()


def _spelled(value: object) -> str:
    """A value as TOML. Text with double quotes, such as JSON, is single-quoted if possible."""
    if (
        isinstance(value, str)
        and '"' in value
        and "'" not in value
        and "\n" not in value
        and not any(map(_must_be_escaped, value))
    ):
        return f"'{value}'"
    import tomlkit

    return tomlkit.item(value).as_string()


def _block(text: str) -> str:
    """A multi-line text between quotes on separate lines; reading removes the last line break."""
    if "'''" in text or any(map(_must_be_escaped, text)):
        return _escaped(text)
    return f"'''\n{text}\n'''"


def _must_be_escaped(character: str) -> bool:
    return character == "\x7f" or (character < " " and character not in "\n\t")


def _escaped(text: str) -> str:
    """The text with escapes, which are the same in TOML and JSON."""
    lines = (json.dumps(line, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f") for line in text.split("\n"))
    return '"""\n' + "\n".join(lines) + '\n"""'


def _json(value: Json, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent)
