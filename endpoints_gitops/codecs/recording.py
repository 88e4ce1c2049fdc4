"""A recording: one stored answer of a pinned version for one set of variables, for the tests of an app.

The file is named after endpoint, version and variables, so that renaming a test changes nothing, tests share
recordings, and concurrent processes write the same bytes. It is JSON with one row per line, so that a review shows
which rows changed. Only listed keys are allowed. The digest at its end covers the rest of the file: a damaged or
edited file is refused. Files of releases without a digest are accepted.
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
_BEFORE_A_KEY: Final = rb"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))"
"""The beginning of a word, perhaps after an escape of JSON: `graphs_monthly` is not a key."""
_KEY_SHAPED: Final = re.compile(_BEFORE_A_KEY + rb"ph[xsa]_[A-Za-z0-9]{6,}")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH: Final = 40
_NOTHING_SENT: Final = "no-variables"
_PAGE_KEYS: Final = frozenset(("limit", "offset", "has_more"))
"""The keys of a page; a complete answer has none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A stored answer. `columns` is None for insights. `types` are pairs of column and ClickHouse type, as in the
    answer.

    `query_hash` is that of the pin that was called: if the lock has a different one, the answer belongs to a different
    query. `limit` and `offset` are those of the call, None without a page; `has_more` is that of the page.
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
    """The content contains an API key, or text that looks like one. Nothing was written."""

    code = "recording.key"


def identity(variables: JsonObject) -> str:
    """The part of the file name that is unique for every set of variables; the order of keys does not matter."""
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
    """The path of the recording of a call in the folder of recordings. `limit` and `offset` are those of the call.

    `shown` are the variables to show in the file name (default: `variables`).
    """
    page: JsonObject = {} if limit is None else {"limit": limit, "offset": offset or 0}
    same = identity(variables) if not page else fingerprint({"variables": variables, **page})[:12]
    words = "-".join([slug_of(variables if shown is None else shown), *(f"{name}-{page[name]}" for name in page)])
    return f"{endpoint}/v{version}/{words}-{same}.json"


def write_recording(recording: Recording, *, keys: Iterable[str] = ()) -> bytes:
    """The bytes of the file, which are equal for equal answers.

    Raises KeyInside if they contain one of `keys`, or text that looks like a key.
    """
    content = "".join(_lines(recording)).encode("utf-8")
    refuse_keys(content, keys, what=f"the answer of {recording.endpoint}@{recording.version}")
    return content


def refuse_keys(content: bytes, keys: Iterable[str], *, what: str) -> None:
    """Raise KeyInside if `content` contains a key; the message does not repeat it."""
    if _KEY_SHAPED.search(content) or any(key and key.encode("utf-8") in content for key in keys):
        message = f"{what} contains an API key, or text that looks like one (phx_…, phs_…, pha_…): it is not stored"
        fix = "remove the column from the query, or redact it in the fixture endpoints_config"
        raise KeyInside(message, fix=fix)


def read_recording(content: bytes, path: str) -> Recording:
    """Parse a recording. Raises InvalidInput, naming `path`, with every mistake in it."""
    document = Document.of_json(content, path, code="recording.invalid", fix=_FIX)
    keys = document.value.keys() if isinstance(document.value, dict) else {}
    has_digest, page = "digest" in keys, _PAGE_KEYS.intersection(keys)
    digest, actual = document.take("digest"), document.fingerprint()
    recording = document.part(Recording, document.value, ())
    if recording and page and (recording.limit is None or len(page) < len(_PAGE_KEYS)):
        document.add(("limit",), "limit, offset and has_more must be set together")
    document.raise_mistakes()
    assert recording is not None, "there are no mistakes"
    if has_digest:
        check_digest(document, digest, actual)
    return recording


def _lines(recording: Recording) -> Iterator[str]:
    """The lines of the file: one per key, then one per row."""
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
    """A value as JSON with readable text; half of a surrogate pair must be escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if _is_encodable(text) else json.dumps(value, allow_nan=False)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def slug_of(variables: JsonObject) -> str:
    """The variables in a form for file names, so that people find the file."""
    words = "-".join(f"{name}-{_word(variables[name])}" for name in sorted(variables))
    short = _NO_WORD.sub("-", words.lower()).strip("-")[:_SLUG_LENGTH].rstrip("-")
    return short or ("variables" if variables else _NOTHING_SENT)


def _word(value: Json) -> str:
    return value if isinstance(value, str) else canonical(value)
