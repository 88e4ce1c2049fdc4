"""Refusals of the local server, in PostHog's two shapes (docs/server.md#errors)."""

from __future__ import annotations

from collections.abc import Mapping

from endpoints_gitops.model.json import JsonObject


class RequestRefused(Exception):
    """End the request with this status and body."""

    def __init__(self, status: int, body: JsonObject, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    @property
    def detail(self) -> str:
        return str(self.body.get("detail") or self.body.get("error") or "")

    @property
    def attr(self) -> str | None:
        attr = self.body.get("attr")
        return attr if isinstance(attr, str) else None


def envelope(kind: str, code: str, detail: str, attr: str | None = None) -> JsonObject:
    return {"type": kind, "code": code, "detail": detail, "attr": attr}


def invalid(detail: str, attr: str | None = None, *, code: str = "invalid_input") -> RequestRefused:
    """A 400 about a field, or about the whole body if `attr` is None."""
    return RequestRefused(400, envelope("validation_error", code, detail, attr))


_LONGEST_DETAIL = 20_000


def unreadable(detail: str) -> RequestRefused:
    """A 400 for a body that is not JSON or does not match the schema. The end of a long text is left out."""
    if len(detail) > _LONGEST_DETAIL:
        detail = f"{detail[:_LONGEST_DETAIL]} …"
    return RequestRefused(400, envelope("invalid_request", "parse_error", f"JSON parse error - {detail}"))


def bare(status: int, text: str, **more: int) -> RequestRefused:
    """A refusal without the envelope."""
    return RequestRefused(status, {"error": text, **more})


def not_found(detail: str = "Not found.") -> RequestRefused:
    return RequestRefused(404, envelope("invalid_request", "not_found", detail))


def forbidden(detail: str) -> RequestRefused:
    return RequestRefused(403, envelope("authentication_error", "permission_denied", detail))


def unauthenticated(code: str, detail: str, site: str) -> RequestRefused:
    """A 401. `site` is the URL of this server, under which a client would look for the way to sign in."""
    challenge = {"WWW-Authenticate": f'Bearer resource_metadata="{site}/.well-known/oauth-protected-resource"'}
    return RequestRefused(401, envelope("authentication_error", code, detail), challenge)


def method_not_allowed(method: str) -> RequestRefused:
    return RequestRefused(405, envelope("invalid_request", "method_not_allowed", f'Method "{method}" not allowed.'))


def unsupported_media_type(given: str) -> RequestRefused:
    detail = f'Unsupported media type "{given}" in request.'
    return RequestRefused(415, envelope("invalid_request", "unsupported_media_type", detail))


def too_large(limit: int) -> RequestRefused:
    return RequestRefused(
        413, envelope("invalid_request", "request_too_large", f"The body is larger than {limit:,} bytes.")
    )


def throttled(seconds: int) -> RequestRefused:
    unit = "second" if seconds == 1 else "seconds"
    detail = f"Request was throttled. Expected available in {seconds} {unit}."
    return RequestRefused(429, envelope("throttled_error", "throttled", detail), {"Retry-After": str(seconds)})


def unavailable(detail: str) -> RequestRefused:
    """A 503: ClickHouse does not answer."""
    return RequestRefused(503, envelope("server_error", "database_unavailable", detail), {"Retry-After": "1"})


def broken(detail: str = "A server error occurred.") -> RequestRefused:
    return RequestRefused(500, envelope("server_error", "error", detail))
