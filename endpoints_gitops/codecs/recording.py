"""A recording: one stored answer of one pinned version for one set of variables, for the tests of an app.

Its identity is its content: the file is named after endpoint, version and variables, so that renaming a test changes
nothing, two tests share one, and two processes write the same bytes. JSON, a row a line: opening one runs nothing, and
a review shows which rows changed. What may stand in it is a list of what is allowed, not of what is not. The digest at
its end is over everything else: a file that was damaged or edited is refused. Files of releases that wrote none are
read without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NoReturn

from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.json import Json, JsonObject, canonical, fingerprint

_FIX: Final = "pytest --endpoints=refresh makes it anew"
_KEY_SHAPED: Final = re.compile(rb"ph[xs]_[A-Za-z0-9]{6,}")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH: Final = 40
_NOTHING_SENT: Final = "no-variables"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`columns` is None for insights. `types` pairs columns with ClickHouse's types, as the answer had them.

    `query_hash` is that of the pin that was called: another one in the lock says that this answer is of another query.
    `limit` and `offset` are those of the call, None where it asked for no page; `has_more` is what a page was answered.
    """

    endpoint: str
    version: int
    version_id: str | None
    variables: JsonObject
    recorded_on: date
    query_hash: str
    columns: tuple[str, ...] | None
    types: tuple[tuple[str, str], ...]
    rows: tuple[Json, ...]
    limit: int | None = None
    offset: int | None = None
    has_more: bool = False


class KeyInside(UsageError):
    """What was to be stored holds a key, or something shaped like one. Nothing was written."""

    code = "recording.key"


def identity(variables: JsonObject) -> str:
    """The part of the file's name that no two sets of variables share; the order of keys does not count."""
    return fingerprint(variables)[:12]


def file_of(
    endpoint: str,
    version: int,
    variables: JsonObject,
    *,
    limit: int | None = None,
    offset: int | None = None,
    shown: JsonObject | None = None,
) -> str:
    """Where the recording of a call is, below the folder of recordings. `limit` and `offset` belong to the call.

    `shown` are the variables as the name of the file may show them; the same as `variables` if not given.
    """
    page: JsonObject = {} if limit is None else {"limit": limit, "offset": offset or 0}
    same = identity(variables) if not page else fingerprint({"variables": variables, **page})[:12]
    words = "-".join([_slug(variables if shown is None else shown), *(f"{name}-{page[name]}" for name in page)])
    return f"{endpoint}/v{version}/{words}-{same}.json"


def write_recording(recording: Recording, *, keys: Iterable[str] = ()) -> bytes:
    """The same bytes for the same answer. Raises KeyInside for what holds one of `keys`, or is shaped like a key."""
    content = "".join(_lines(recording)).encode("utf-8")
    refuse_keys(content, keys, what=f"the answer of {recording.endpoint}@{recording.version}")
    return content


def refuse_keys(content: bytes, keys: Iterable[str], *, what: str) -> None:
    """Raise KeyInside where `content` holds a key; the message does not repeat it."""
    if _KEY_SHAPED.search(content) or any(key and key.encode("utf-8") in content for key in keys):
        message = f"{what} holds an API key, or something shaped like one (phx_…, phs_…): it is not stored"
        fix = "leave the column out of the query, or redact it in the fixture endpoints_config"
        raise KeyInside(message, fix=fix)


def read_recording(content: bytes, path: str) -> Recording:
    """The recording that a file holds. Raises InvalidInput, naming `path`, for anything that is not all of one."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"this is no JSON, as a recording is ({error})")
    if not isinstance(value, dict):
        _refuse(path, "a recording is an object")
    _check_keys(value, path)
    digest = value.pop("digest", None)
    if digest is not None and digest != fingerprint(value):
        _refuse(path, "its digest is of something else: the file was damaged, or edited by hand")
    return Recording(
        endpoint=value["endpoint"],
        version=value["version"],
        version_id=value["version_id"],
        variables=value["variables"],
        recorded_on=_date(value["recorded_on"], path),
        query_hash=value["query_hash"],
        columns=None if value["columns"] is None else tuple(value["columns"]),
        types=_pairs(value["types"], path),
        rows=tuple(value["rows"]),
        limit=value.get("limit"),
        offset=value.get("offset"),
        has_more=value.get("has_more", False),
    )


def _lines(recording: Recording) -> Iterator[str]:
    """One key a line, in this order; the rows come last, one a line too."""
    head: Mapping[str, Json] = {
        "endpoint": recording.endpoint,
        "version": recording.version,
        "version_id": recording.version_id,
        "variables": {name: recording.variables[name] for name in sorted(recording.variables)},
        "recorded_on": recording.recorded_on.isoformat(),
        "query_hash": recording.query_hash,
        **_page(recording),
        "columns": recording.columns,
        "types": recording.types,
    }
    digest = fingerprint({**head, "rows": recording.rows})
    yield "{\n"
    for key, value in head.items():
        yield f"  {json.dumps(key)}: {_text(value)},\n"
    yield '  "rows": ['
    for number, row in enumerate(recording.rows):
        yield f"{',' if number else ''}\n    {_text(row)}"
    yield "\n  ]" if recording.rows else "]"
    yield f',\n  "digest": {_text(digest)}\n}}\n'


def _page(recording: Recording) -> Mapping[str, Json]:
    """Nothing for an answer that is whole."""
    if recording.limit is None:
        return {}
    return {"limit": recording.limit, "offset": recording.offset, "has_more": recording.has_more}


def _text(value: Json) -> str:
    """Text as people write it; half of a surrogate pair can only be spelled out."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return written if _is_encodable(written) else json.dumps(value, allow_nan=False)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _slug(variables: JsonObject) -> str:
    """For people only, who look for a file: what was sent, as far as a file's name can hold it."""
    said = "-".join(f"{name}-{_said(variables[name])}" for name in sorted(variables))
    short = _NO_WORD.sub("-", said.lower()).strip("-")[:_SLUG_LENGTH].rstrip("-")
    return short or ("variables" if variables else _NOTHING_SENT)


def _said(value: Json) -> str:
    return value if isinstance(value, str) else canonical(value)


_KEYS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "endpoint": (str, "text"),
    "version": (int, "a whole number"),
    "version_id": ((str, type(None)), "text or null"),
    "variables": (dict, "an object"),
    "recorded_on": (str, "a date"),
    "query_hash": (str, "text"),
    "columns": ((list, type(None)), "a list or null"),
    "types": (list, "a list of pairs"),
    "rows": (list, "a list"),
}


_PAGE_KEYS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "limit": (int, "a whole number"),
    "offset": ((int, type(None)), "a whole number or null"),
    "has_more": (bool, "true or false"),
}
"""Keys of a page; an answer that is whole has none of them."""


def _check_keys(value: Mapping[str, Any], path: str) -> None:
    keys = {**_KEYS, **_PAGE_KEYS} if "limit" in value else _KEYS
    for key in value.keys() - keys.keys() - {"digest"}:
        _refuse(path, f"unknown key {key!r}")
    for key, (kind, said) in keys.items():
        if key not in value:
            _refuse(path, f"the key {key!r} is missing")
        if not isinstance(value[key], kind) or (isinstance(value[key], bool) and kind is not bool):
            _refuse(path, f"{key} is {said}")
    if not isinstance(value.get("digest", ""), str):
        _refuse(path, "digest is text")
    if not all(isinstance(name, str) for name in value["columns"] or ()):
        _refuse(path, "columns is a list of names")


def _date(said: str, path: str) -> date:
    try:
        return date.fromisoformat(said)
    except ValueError:
        _refuse(path, "recorded_on is a date such as 2026-07-31")


def _pairs(sent: Sequence[Any], path: str) -> tuple[tuple[str, str], ...]:
    for pair in sent:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
            _refuse(path, "types is a list of pairs of column and type")
    return tuple((name, kind) for name, kind in sent)


def _refuse(path: str, message: str) -> NoReturn:
    raise InvalidInput((Problem(path=path, message=message, code="recording.invalid", fix=_FIX),), fix=_FIX)
