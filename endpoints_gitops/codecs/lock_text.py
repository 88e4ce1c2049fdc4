"""The text of `endpoints.lock`. Reading it is `codecs.lock`.

tomlkit spells the values; the layout is ours: a key a line, lists with an item a line, SQL as it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import tomlkit

from endpoints_gitops.codecs.lock import SCHEMA_VERSION
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Lock, Pin, PinnedColumn, PinnedExample, PinnedVariable

_HEAD: Final = "# Written by `endpoints-gitops lock` and `upgrade`; review it, do not edit it.\n"


def write_lock(lock: Lock) -> bytes:
    """The file: the same bytes for equal locks, whatever order the pins were given in."""
    ordered = sorted(lock.pins, key=lambda pin: (pin.environment, pin.name))
    blocks = "".join(f"\n[[pins]]\n{''.join(_lines(pin))}" for pin in ordered)
    return f"{_HEAD}schema_version = {SCHEMA_VERSION}\n{blocks}".encode()


def _lines(pin: Pin) -> Iterator[str]:
    """The keys of a block in the order in which a reader wants them; what holds nothing is left out."""
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
        yield f"bucket_overrides = {_inline(pin.bucket_overrides)}\n"
    yield _line("query_hash", pin.query_hash)
    yield _line("contract_hash", pin.contract_hash)


def _query(pin: Pin) -> Iterator[str]:
    """SQL as it is read, so that a moved pin shows the difference; the rest of the node as JSON."""
    sql = pin.query.get("query") if pin.kind == "HogQLQuery" else None
    if isinstance(sql, str):
        yield f"sql = {_block(sql)}\n"
    said = ("kind", "query") if isinstance(sql, str) else ("kind",)
    rest = {key: value for key, value in pin.query.items() if key not in said}
    if rest:
        yield f"node = {_block(_json(rest, indent=2))}\n"


def _variable(variable: PinnedVariable) -> str:
    default = {"default": _json(variable.default)} if variable.has_default else {}
    return _inline({"name": variable.name, "type": variable.type, "required": variable.required, **default})


def _column(column: PinnedColumn) -> str:
    nullable = {} if column.nullable is None else {"nullable": column.nullable}
    full = {} if column.full is None else {"full": column.full}
    return _inline({"name": column.name, "type": column.type, **nullable, **full})


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
    return f"{key} = {_spelled(list(value) if isinstance(value, tuple) else value)}\n"


def _inline(value: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{_key(key)} = {_spelled(item)}" for key, item in value.items()) + " }"


def _key(name: str) -> str:
    return tomlkit.key(name).as_string()


def _spelled(value: object) -> str:
    """Text that holds double quotes, as JSON does, stands in single ones where it can."""
    if (
        isinstance(value, str)
        and '"' in value
        and "'" not in value
        and "\n" not in value
        and not any(map(_must_be_escaped, value))
    ):
        return f"'{value}'"
    return tomlkit.item(value).as_string()


def _block(text: str) -> str:
    """A text over several lines that starts and ends on lines of its own; reading takes the last break off."""
    if "'''" in text or any(map(_must_be_escaped, text)):
        return _escaped(text)
    return f"'''\n{text}\n'''"


def _must_be_escaped(character: str) -> bool:
    return character == "\x7f" or (character < " " and character not in "\n\t")


def _escaped(text: str) -> str:
    """TOML's escapes are those of JSON."""
    lines = (json.dumps(line, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f") for line in text.split("\n"))
    return '"""\n' + "\n".join(lines) + '\n"""'


def _json(value: Json, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent)
