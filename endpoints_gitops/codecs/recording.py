"""A recording: one stored answer of one pinned version for one set of variables, for the tests of an app.

Its content is its identity: the file is named after endpoint, version and variables, so that a renamed test changes
nothing, two tests share one recording, and two processes write the same bytes. It is JSON with one row a line, so that
a review shows which rows changed, and reading it runs nothing. What may stand in it is a list of what is allowed. The
digest at its end covers everything else: a file that is damaged or was edited is refused. Files of releases that wrote
no digest are read without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from endpoints_gitops.codecs.reader import Document, check_digest
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import Json, JsonObject, canonical, fingerprint

_FIX: Final = "pytest --endpoints=refresh records it again"
_KEY_SHAPED: Final = re.compile(rb"ph[xs]_[A-Za-z0-9]{6,}")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH: Final = 40
_NOTHING_SENT: Final = "no-variables"
_PAGE_KEYS: Final = frozenset(("limit", "offset", "has_more"))
"""Keys of a page; a complete answer has none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`columns` is None for insights. `types` pairs columns with ClickHouse's types, as the answer had them.

    `query_hash` is that of the pin that was called: where the lock has another one, this answer is to another query.
    `limit` and `offset` are those of the call, None where it asked for no page; `has_more` is what the page said.
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
    """The content to store holds a key, or something shaped like one. Nothing was written."""

    code = "recording.key"


def identity(variables: JsonObject) -> str:
    """The part of the file's name that is different for every set of variables; the order of keys does not count."""
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
    """The path of the recording of a call, below the folder of recordings. `limit` and `offset` are the call's.

    `shown` are the variables as the file's name may show them (default: `variables`).
    """
    page: JsonObject = {} if limit is None else {"limit": limit, "offset": offset or 0}
    same = identity(variables) if not page else fingerprint({"variables": variables, **page})[:12]
    words = "-".join([slug_of(variables if shown is None else shown), *(f"{name}-{page[name]}" for name in page)])
    return f"{endpoint}/v{version}/{words}-{same}.json"


def write_recording(recording: Recording, *, keys: Iterable[str] = ()) -> bytes:
    """The file: the same bytes for the same answer.

    Raises KeyInside where it would hold one of `keys`, or something shaped like a key.
    """
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
    """The recording that a file holds. Raises InvalidInput, naming `path`, with every mistake in it."""
    document = Document.of_json(content, path, code="recording.invalid", fix=_FIX)
    keys = document.value.keys() if isinstance(document.value, dict) else {}
    has_digest, page = "digest" in keys, _PAGE_KEYS.intersection(keys)
    digest, actual = document.take("digest"), document.fingerprint()
    recording = document.part(Recording, document.value, ())
    if recording and page and (recording.limit is None or len(page) < len(_PAGE_KEYS)):
        document.add(("limit",), "limit, offset and has_more belong together: a page has all of them")
    document.raise_mistakes()
    assert recording is not None, "there are no mistakes"
    if has_digest:
        check_digest(document, digest, actual)
    return recording


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
    """The keys of a page; empty for a complete answer."""
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


def slug_of(variables: JsonObject) -> str:
    """The variables as far as a file's name can hold them, for people who look for the file."""
    words = "-".join(f"{name}-{_word(variables[name])}" for name in sorted(variables))
    short = _NO_WORD.sub("-", words.lower()).strip("-")[:_SLUG_LENGTH].rstrip("-")
    return short or ("variables" if variables else _NOTHING_SENT)


def _word(value: Json) -> str:
    return value if isinstance(value, str) else canonical(value)
