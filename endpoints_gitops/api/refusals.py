"""From an answer that is no success to the error that says what to do (docs/server.md#errors).

Told apart by status, `attr` and `code`; the text is looked at only where the server says no more than that, and then a
text that is not known falls back to the wider class.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from endpoints_gitops.api import errors
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.api.rate_limiter import LONGEST_WAIT
from endpoints_gitops.api.wire import Answer, Request
from endpoints_gitops.model.printable import one_line

type Mask = Callable[[str], str]

_LONGEST: Final = 2_000
_EXCERPT: Final = 120
_BY_CODE: Final[Mapping[str, type[ApiError]]] = {
    "parse_error": errors.BodyRefused,
    "query_timeout": errors.QueryTimeout,
    "query_memory_limit": errors.QueryMemory,
    "query_too_large": errors.QueryTooLarge,
    "query_estimated_too_slow": errors.QueryTooSlow,
    "table_access_denied": errors.TableDenied,
    "invalid_property_filter": errors.InvalidQuery,
    "query_capacity": errors.AtCapacity,
    "database_unavailable": errors.DatabaseUnavailable,
}
_FIELD_CODES: Final = frozenset(
    {None, "invalid", "invalid_input", "required", "blank", "null", "invalid_choice", "unique"}
)
_LOCAL: Final = "not_supported_locally"
"""What the local server does not do; its message says so, and ClickHouse was not asked."""
_ABOUT_THE_QUERY: Final = (
    "Invalid HogQL query",
    "Query resolution failed",
    "Query execution failed",
    "There's no column",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What the body says: the envelope, `{"error"}` or `{"detail"}`."""

    detail: str
    code: str | None = None
    attr: str | None = None


def error_of(answer: Answer, request: Request, line: str, mask: Mask) -> ApiError:
    """The error that this answer is. `line` is the request line, `mask` takes the key out of a text."""
    if 300 <= answer.status < 400:
        return _redirected(answer, line, mask)
    said = _said(answer, mask)
    if said is None:
        return _not_of_the_api(answer, line, mask)
    kind = _kind(answer, said, request)
    scope = _scope(said) if kind is errors.MissingScope else None
    error = kind(
        _message(kind, answer, said, request),
        request=line,
        endpoint=request.names,
        status=answer.status,
        server_code=said.code,
        attr=said.attr,
        detail=said.detail,
        retry_after=retry_after(answer),
        fix=f"add the scope {scope} to the key in PostHog: Settings, Personal API keys" if scope else None,
    )
    if isinstance(error, errors.MissingScope):
        error.scope = scope
    if kind is errors.EndpointNotFound:
        error.subject = request.names
    return error


def retry_after(answer: Answer) -> float | None:
    """Seconds from now, from a number or a date, between 0 and LONGEST_WAIT; None where none can be read."""
    text = answer.headers.get("retry-after", "").strip()[:_LONGEST]
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (zoned - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_WAIT) if math.isfinite(seconds) else None


def excerpt(answer: Answer, mask: Mask) -> str:
    """What kind of body it is, and its first characters on one line."""
    text = mask(answer.body.decode("utf-8", "replace"))[:4096]
    title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
    if title or text.lstrip()[:1] == "<":
        return f"a page of HTML: {_shortened(title[1] if title else text)}"
    return _shortened(text) if text.strip() else "nothing"


def _shortened(text: str) -> str:
    flat = one_line(" ".join(text.split()))
    return flat if len(flat) <= _EXCERPT else f"{flat[:_EXCERPT]}…"


def _said(answer: Answer, mask: Mask) -> _Said | None:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not ("detail" in body or "error" in body):
        return None
    detail = body["detail"] if body.get("detail") is not None else body.get("error")
    text = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
    return _Said(detail=mask(text), code=_text(body.get("code"), mask), attr=_text(body.get("attr"), mask))


def _text(value: Any, mask: Mask) -> str | None:  # noqa: ANN401 - JSON of any shape
    return mask(value)[:_LONGEST] if isinstance(value, str) else None


def _kind(answer: Answer, said: _Said, request: Request) -> type[ApiError]:
    status = answer.status
    if status == 400:
        return _kind_of_400(said)
    if status == 403:
        return _kind_of_403(said)
    if status == 404:
        return _kind_of_404(said, request)
    if status == 429:
        return errors.TooManyAtOnce if retry_after(answer) is None else errors.Throttled
    if status >= 500:
        return _kind_of_5xx(status, said)
    if status == 401:
        return errors.KeyNotSeen if said.code == "not_authenticated" else errors.Unauthenticated
    others = {402: errors.QuotaExceeded, 405: errors.MethodRefused, 415: errors.MediaTypeRefused}
    return others.get(status, ApiError)


def _kind_of_400(said: _Said) -> type[ApiError]:
    return _BY_CODE.get(said.code or "") or _kind_by_attr(said) or _kind_by_text(said)


def _kind_by_attr(said: _Said) -> type[ApiError] | None:
    if said.attr == "version" and "not found" in said.detail:
        return errors.VersionNotFound
    if said.attr == "name" and "already exists" in said.detail:
        return errors.NameTaken
    by_attr = {
        "variables": errors.VariablesRefused,
        "query": errors.InvalidQuery,
        "is_materialized": errors.CannotMaterialize,
    }
    return by_attr.get(said.attr or "")


def _kind_by_text(said: _Said) -> type[ApiError]:
    if said.detail.startswith("OFFSET is not supported"):
        return errors.OffsetRefused
    if said.detail.startswith("Cannot materialize endpoint"):
        return errors.CannotMaterialize
    if re.fullmatch(r"Version \d+ is inactive and cannot be executed\.", said.detail):
        return errors.VersionInactive
    if (said.code or "").startswith("hogql_") or said.detail.startswith(_ABOUT_THE_QUERY):
        return errors.InvalidQuery
    if said.attr is None and said.code not in {*_FIELD_CODES, _LOCAL}:
        return errors.ClickHouseRefused
    return errors.Refused


def _kind_of_403(said: _Said) -> type[ApiError]:
    by_text = {
        "missing required scope": errors.MissingScope,
        "does not have access to the requested": errors.OtherProject,
        "This action does not support": errors.KeyKindRefused,
        "do not have": errors.AccessDenied,
        "don't have access": errors.AccessDenied,
    }
    return next((kind for text, kind in by_text.items() if text in said.detail), errors.Forbidden)


def _kind_of_404(said: _Said, request: Request) -> type[ApiError]:
    if said.detail.startswith("Project not found"):
        return errors.ProjectNotFound
    if re.match(r"(No v|V)ersion\b", said.detail):
        return errors.VersionNotFound
    return errors.EndpointNotFound if request.names else errors.NotFound


def _kind_of_5xx(status: int, said: _Said) -> type[ApiError]:
    known = _BY_CODE.get(said.code or "")
    if known is not None and issubclass(known, errors.ServerFault):
        return known
    return errors.GatewayFault if status in {502, 504} else errors.ServerFault


def _message(kind: type[ApiError], answer: Answer, said: _Said, request: Request) -> str:
    if kind is errors.EndpointNotFound:
        missing = "there is no endpoint" if not request.path.endswith("/run/") else "there is no active endpoint"
        return f"{missing} {request.names!r} in this project"
    about = f" ({said.attr})" if said.attr else ""
    return one_line(f"{answer.status} {said.detail[:_LONGEST]}{about}")


def _scope(said: _Said) -> str | None:
    """The scope that the server's sentence names."""
    scope = re.search(r"'([^']+)'", said.detail)
    return one_line(scope[1]) if scope else None


def _redirected(answer: Answer, line: str, mask: Mask) -> ApiError:
    try:
        parts = urlsplit(mask(answer.headers.get("location", "")))
        place = one_line(f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else parts.path)
    except ValueError:
        place = ""
    told = f"{answer.status} sent us on to {place or 'nowhere'}; not followed, so that the key goes nowhere else"
    return errors.Redirected(told, request=line, status=answer.status)


def _not_of_the_api(answer: Answer, line: str, mask: Mask) -> ApiError:
    told = f"{answer.status} with {excerpt(answer, mask)}, where the API answers with JSON that says what is wrong"
    kind: type[ApiError] = errors.BadAnswer
    if answer.status >= 500:
        kind = errors.GatewayFault
    elif answer.status == 429:
        kind = errors.Throttled
    return kind(told, request=line, status=answer.status, retry_after=retry_after(answer))
