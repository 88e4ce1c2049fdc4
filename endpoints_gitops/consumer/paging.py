"""Where reading every row begins: by offset, or by the key of a pinned query (docs/server.md#paging)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from endpoints_gitops.api.run_pages import AnyPage, KeyPage, PageRequest, key_page_rows, page_rows
from endpoints_gitops.consumer.checking import HOGQL
from endpoints_gitops.consumer.pinned import Call, is_whole, paged_query
from endpoints_gitops.consumer.sending import mistake_of
from endpoints_gitops.errors import UsageError
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
"""A value of each type whose values look alike in JSON. Text can hold anything, and is judged when it is there."""


def first_page(call: Call, size: int | None, key: str | None = None) -> AnyPage:
    """The first page of a call, `size` rows at a time. Raises UsageError for a size or a key that cannot be used."""
    pin, least = call.pin, 1 if key is None else 2
    if size is not None and not is_whole(size, least):
        raise UsageError(f"{pin.label}: page_size is a whole number from {least}", code="call.option")
    if key is not None:
        return _first_page_by_key(call, size, key)
    paged = paged_query(pin)
    if paged.is_union:
        fix = "wrap it: SELECT * FROM (… UNION ALL …), or `run` it, which gives at most 100 rows of each SELECT"
        raise UsageError(f"{pin.label}: the server has no pages of a UNION", fix=fix, code="call.option")
    limit = page_rows(size, is_stable=paged.unstable is None)
    return PageRequest(limit=limit, version=pin.version, ceiling=paged.ceiling)


def _first_page_by_key(call: Call, size: int | None, key: str) -> KeyPage:
    pin = call.pin
    if pin.kind != HOGQL:
        raise _refused(pin, key, f"a {pin.kind} has no pages")
    if pin.materialized:
        raise _refused(pin, key, "it is materialised, and a table keeps no order")
    try:
        way = keyset(str(pin.query.get("query") or ""), key)
    except KeysetRefused as refused:
        raise _refused(pin, key, str(refused)) from None
    variable = next((variable for variable in pin.variables if variable.name == way.variable), None)
    if variable is None:
        raise _refused(pin, key, f"the lock has no variable {way.variable}")
    if call.values.get(variable.name, variable.default) is None:
        reason = f"nothing says where to begin: {variable.name} has no default"
        raise _refused(pin, key, reason, fix=f"pass {variable.name}=…, a value below every {key}")
    _check_type(pin, key, variable)
    return KeyPage(column=key, variable=variable.name, limit=key_page_rows(size, way.ceiling), version=pin.version)


def _check_type(pin: Pin, key: str, variable: PinnedVariable) -> None:
    """Raise UsageError where the values of the column cannot be values of the variable."""
    word = next((column.type for column in pin.columns or () if column.name == key), "unknown")
    if word in ("boolean", "array", "json"):
        raise _refused(pin, key, f"its values are of type {word}, which orders nothing")
    if (sample := _SAMPLES.get(word)) and mistake_of(variable, sample, sample, is_insight=False) is not None:
        raise _refused(pin, key, f"its type is {word}, and {variable.name} takes {variable.type}")


def _refused(pin: Pin, key: str, reason: str, *, fix: str | None = None) -> UsageError:
    wanted = f"write the query with WHERE {key} > {{variables.after}} and ORDER BY {key}, and pin that version"
    message = f"{pin.label} cannot be paged by {key}: {reason}"
    return UsageError(message, fix=fix or f"{wanted}; without key= it is paged by offset", code="call.paging")
