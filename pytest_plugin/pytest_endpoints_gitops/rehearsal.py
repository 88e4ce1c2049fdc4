"""Errors that a test rehearses, in the server's words (docs/server.md#errors)."""

from __future__ import annotations

from typing import Final

from endpoints_gitops.local.errors import RequestRefused, envelope, throttled


def rehearsed(status: int, retry_after: int | None) -> RequestRefused:
    """A rehearsed error. Raises ValueError for a status that is not that of an error, and for `retry_after` that
    the server cannot send.
    """
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
        raise ValueError(f"status is that of an error, from 400 to 599, not {status!r}")
    if retry_after is not None and (
        isinstance(retry_after, bool) or not isinstance(retry_after, int) or retry_after < 0
    ):
        raise ValueError(f"retry_after is a whole number of seconds, at least 0, not {retry_after!r}")
    if status == 429:
        return throttled(1 if retry_after is None else retry_after)
    other = ("server_error", "error") if status >= 500 else ("validation_error", "invalid_input")
    words = _REHEARSED.get(status, (*other, "Rehearsed by a test."))
    return RequestRefused(status, envelope(*words), {} if retry_after is None else {"Retry-After": str(retry_after)})


_REHEARSED: Final = {
    401: (
        "authentication_error",
        "authentication_failed",
        "Personal API key found in request Authorization header is invalid.",
    ),
    403: ("authentication_error", "permission_denied", "API key missing required scope 'endpoint:read'"),
    404: ("invalid_request", "not_found", "Not found."),
    500: ("server_error", "error", "A server error occurred."),
    503: ("server_error", "query_capacity", "Queries are at capacity. Try again later."),
}
