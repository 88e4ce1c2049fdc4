"""The first page of a pinned query: by offset or by key (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from endpoints_gitops.api.run_pages import AnyPage, KeyPage, PageRequest, key_page_rows, page_rows
from endpoints_gitops.consumer.checking import HOGQL
from endpoints_gitops.consumer.pinned import Call, is_whole, paged_query
from endpoints_gitops.consumer.sending import mistake_of
from endpoints_gitops.errors import UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.hogql.paging import KeysetRefused, keyset
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedVariable

_SAMPLES: Final[Mapping[str, Json]] = {
    "integer": 1,
    "float": 0.5,
    "decimal": "0.5",
    "date": "2026-07-01",
    "datetime": "2026-07-01T00:00:00Z",
}
"""A JSON value of each type. Strings are missing because they are checked by their value."""


def first_page(call: Call, size: int | None, key: str | None = None) -> AnyPage:
    """The first page of a call, with `size` rows per page.

    Raises UsageError for an unusable size or key, and MissingExtra for a key without the parser.
    """
    return _first_by_key(call, size, key) if key is not None else _first_by_offset(call, size)


def _first_by_offset(call: Call, size: int | None) -> PageRequest:
    pin = call.pin
    _check_size(pin, size, 1)
    paged = paged_query(pin)
    if paged.is_union:
        fix = "wrap it: SELECT * FROM (… UNION ALL …), or `run` it, which returns at most 100 rows of each SELECT"
        raise UsageError(f"{pin.label}: the server cannot page a UNION", fix=fix, code="call.option")
    limit = page_rows(size, is_stable=paged.unstable is None)
    return PageRequest(limit=limit, version=pin.version, ceiling=paged.ceiling)


def _check_size(pin: Pin, size: int | None, least: int) -> None:
    if size is not None and not is_whole(size, least):
        raise UsageError(f"{pin.label}: page_size must be an integer of at least {least}", code="call.option")


def _first_by_key(call: Call, size: int | None, key: str) -> KeyPage:
    pin = call.pin
    _check_size(pin, size, 2)
    if pin.kind != HOGQL:
        raise _refused(pin, key, f"a {pin.kind} has no pages")
    if pin.materialized:
        raise _refused(pin, key, "it is materialized, and a table has no order")
    require("hogql", "iterate(key=…)")
    try:
        keys = keyset(str(pin.query.get("query") or ""), key)
    except KeysetRefused as refused:
        raise _refused(pin, key, str(refused)) from None
    variable = next((variable for variable in pin.variables if variable.name == keys.variable), None)
    if variable is None:
        raise _refused(pin, key, f"the lock has no variable {keys.variable}")
    if call.values.get(variable.name, variable.default) is None:
        reason = f"the start is unknown, because {variable.name} has no default"
        raise _refused(pin, key, reason, fix=f"pass {variable.name}=…, a value less than every {key}")
    _check_type(pin, key, variable)
    return KeyPage(column=key, variable=variable.name, limit=key_page_rows(size, keys.ceiling), version=pin.version)


def _check_type(pin: Pin, key: str, variable: PinnedVariable) -> None:
    """Raise UsageError if values of the column cannot be values of the variable."""
    word = next((column.type for column in pin.columns or () if column.name == key), "unknown")
    if word in ("boolean", "array", "json"):
        raise _refused(pin, key, f"its type is {word}, which has no order")
    if (sample := _SAMPLES.get(word)) and mistake_of(variable, sample, sample, is_insight=False) is not None:
        raise _refused(pin, key, f"its type is {word}, but the type of {variable.name} is {variable.type}")


def _refused(pin: Pin, key: str, reason: str, *, fix: str | None = None) -> UsageError:
    rewrite = f"write the query with WHERE {key} > {{variables.after}} and ORDER BY {key}, and pin that version"
    message = f"{pin.label} cannot be paged by {key}: {reason}"
    return UsageError(message, fix=fix or f"{rewrite}; or omit key= to page by offset", code="call.paging")
