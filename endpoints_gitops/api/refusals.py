"""From an unsuccessful answer to its ApiError (docs/server.md#errors).

Status, `attr` and `code` decide the class. The text is used only where the server sends nothing else; an unknown text
falls back to the more general class.
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
"""The code of the local server for features that it does not support."""
_QUERY_ERROR_PREFIXES: Final = (
    "Invalid HogQL query",
    "Query resolution failed",
    "Query execution failed",
    "There's no column",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ErrorBody:
    """The body of an error: the full envelope, `{"error"}` or `{"detail"}`."""

    detail: str
    code: str | None = None
    attr: str | None = None
    error_event_id: str | None = None


def error_of(answer: Answer, request: Request, request_line: str, mask: Mask) -> ApiError:
    """The error of an unsuccessful answer. `request_line` is for the message; `mask` removes the key from a text."""
    if 300 <= answer.status < 400:
        return _redirected(answer, request_line, mask)
    body = _error_body(answer, mask)
    if body is None:
        return _without_error_body(answer, request_line, mask)
    kind = _kind(answer, body, request)
    scope = _scope(body) if kind is errors.MissingScope else None
    error = kind(
        _message(kind, answer, body, request),
        request=request_line,
        endpoint=request.names,
        status=answer.status,
        server_code=body.code,
        attr=body.attr,
        detail=body.detail,
        retry_after=retry_after(answer),
        error_event_id=body.error_event_id,
        fix=f"add the scope {scope} to the key in PostHog: Settings, Personal API keys" if scope else None,
    )
    if isinstance(error, errors.MissingScope):
        error.scope = scope
    if kind is errors.EndpointNotFound:
        error.subject = request.names
    return error


def retry_after(answer: Answer) -> float | None:
    """The `Retry-After` header, a number or a date, in seconds between 0 and LONGEST_WAIT; None if missing or
    invalid."""
    text = answer.headers.get("retry-after", "").strip()[:_LONGEST]
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
            zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = (zoned - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_WAIT) if math.isfinite(seconds) else None


def excerpt(answer: Answer, mask: Mask) -> str:
    """The kind of the body and its first characters, on one line."""
    text = mask(answer.body.decode("utf-8", "replace"))[:4096]
    title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
    if title or text.lstrip()[:1] == "<":
        return f"an HTML page: {_truncated(title[1] if title else text)}"
    return _truncated(text) if text.strip() else "nothing"


def _truncated(text: str) -> str:
    flat = one_line(" ".join(text.split()))
    return flat if len(flat) <= _EXCERPT else f"{flat[:_EXCERPT]}…"


def _error_body(answer: Answer, mask: Mask) -> _ErrorBody | None:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not ("detail" in body or "error" in body):
        return None
    detail = body["detail"] if body.get("detail") is not None else body.get("error")
    text = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
    code, attr, event = (_text(body.get(key), mask) for key in ("code", "attr", "error_event_id"))
    return _ErrorBody(detail=mask(text), code=code, attr=attr, error_event_id=one_line(event) if event else None)


def _text(value: Any, mask: Mask) -> str | None:  # noqa: ANN401 - JSON of any shape
    return mask(value)[:_LONGEST] if isinstance(value, str) else None


def _kind(answer: Answer, body: _ErrorBody, request: Request) -> type[ApiError]:
    status = answer.status
    if status == 400:
        return _kind_of_400(body)
    if status == 403:
        return _kind_of_403(body)
    if status == 404:
        return _kind_of_404(body, request)
    if status == 429:
        return errors.TooManyAtOnce if retry_after(answer) is None else errors.Throttled
    if status >= 500:
        return _kind_of_5xx(status, body)
    if status == 401:
        return errors.KeyNotSeen if body.code == "not_authenticated" else errors.Unauthenticated
    others = {402: errors.QuotaExceeded, 405: errors.MethodRefused, 415: errors.MediaTypeRefused}
    return others.get(status, ApiError)


def _kind_of_400(body: _ErrorBody) -> type[ApiError]:
    return _BY_CODE.get(body.code or "") or _kind_by_attr(body) or _kind_by_text(body)


def _kind_by_attr(body: _ErrorBody) -> type[ApiError] | None:
    if body.attr == "version" and "not found" in body.detail:
        return errors.VersionNotFound
    if body.attr == "name" and "already exists" in body.detail:
        return errors.NameTaken
    by_attr = {
        "variables": errors.VariablesRefused,
        "query": errors.InvalidQuery,
        "is_materialized": errors.CannotMaterialize,
    }
    return by_attr.get(body.attr or "")


def _kind_by_text(body: _ErrorBody) -> type[ApiError]:
    if body.detail.startswith("OFFSET is not supported"):
        return errors.OffsetRefused
    if body.detail.startswith("Cannot materialize endpoint"):
        return errors.CannotMaterialize
    if re.fullmatch(r"Version \d+ is inactive and cannot be executed\.", body.detail):
        return errors.VersionInactive
    if (body.code or "").startswith("hogql_") or body.detail.startswith(_QUERY_ERROR_PREFIXES):
        return errors.InvalidQuery
    if body.attr is None and body.code not in {*_FIELD_CODES, _LOCAL}:
        return errors.ClickHouseRefused
    return errors.Refused


def _kind_of_403(body: _ErrorBody) -> type[ApiError]:
    by_text = {
        "missing required scope": errors.MissingScope,
        "does not have access to the requested": errors.OtherProject,
        "This action does not support": errors.KeyKindRefused,
        "do not have": errors.AccessDenied,
        "don't have access": errors.AccessDenied,
    }
    return next((kind for text, kind in by_text.items() if text in body.detail), errors.Forbidden)


def _kind_of_404(body: _ErrorBody, request: Request) -> type[ApiError]:
    if body.detail.startswith("Project not found"):
        return errors.ProjectNotFound
    if re.match(r"(No v|V)ersion\b", body.detail):
        return errors.VersionNotFound
    return errors.EndpointNotFound if request.names else errors.NotFound


def _kind_of_5xx(status: int, body: _ErrorBody) -> type[ApiError]:
    known = _BY_CODE.get(body.code or "")
    if known is not None and issubclass(known, errors.ServerFault):
        return known
    return errors.GatewayFault if status in {502, 504} else errors.ServerFault


def _message(kind: type[ApiError], answer: Answer, body: _ErrorBody, request: Request) -> str:
    if kind is errors.EndpointNotFound:
        missing = "active endpoint" if request.path.endswith("/run/") else "endpoint"
        return f"this project has no {missing} {request.names!r}"
    about = f" ({body.attr})" if body.attr else ""
    return one_line(f"{answer.status} {body.detail[:_LONGEST]}{about}")


def _scope(body: _ErrorBody) -> str | None:
    """The scope that the server's text names."""
    scope = re.search(r"'([^']+)'", body.detail)
    return one_line(scope[1]) if scope else None


def _redirected(answer: Answer, request_line: str, mask: Mask) -> ApiError:
    try:
        parts = urlsplit(mask(answer.headers.get("location", "")))
        target = one_line(f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else parts.path)
    except ValueError:
        target = ""
    message = f"{answer.status} redirects to {target or 'no URL'}; not followed, because the key would be sent there"
    return errors.Redirected(message, request=request_line, status=answer.status)


def _without_error_body(answer: Answer, request_line: str, mask: Mask) -> ApiError:
    message = f"{answer.status} with {excerpt(answer, mask)} instead of the JSON error of the API"
    kind: type[ApiError] = errors.BadAnswer
    if answer.status >= 500:
        kind = errors.GatewayFault
    elif answer.status == 429:
        kind = errors.Throttled
    return kind(message, request=request_line, status=answer.status, retry_after=retry_after(answer))
