"""HTTP statuses, explained for `endpoints-gitops explain 403`: what each can mean here, and what to do about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Final

from endpoints_gitops.api import errors
from endpoints_gitops.api.errors import ApiError

_STATUSES: Final[Mapping[str, tuple[str, tuple[type[ApiError], ...]]]] = {
    "400": (
        "The server looked at the request and refused it. Nothing was changed, and it is never sent again by itself.",
        (errors.Refused,),
    ),
    "401": ("The server does not know who asks.", (errors.Unauthenticated,)),
    "402": ("The organization has used up what it may ask.", (errors.QuotaExceeded,)),
    "403": ("The server knows who asks, and does not allow this.", (errors.Forbidden,)),
    "404": ("What was asked for is not there, or is switched off.", (errors.NotFound,)),
    "405": ("The server does not do this on this route.", (errors.MethodRefused,)),
    "415": ("The server does not read JSON here.", (errors.MediaTypeRefused,)),
    "429": (
        "Too many requests. Sent again when `Retry-After` has passed, until --max-wait (of an app: max_wait) is over.",
        (errors.Throttled,),
    ),
    "500": ("The server failed. What is safe to repeat is sent again until --max-wait is over.", (errors.ServerFault,)),
    "502": ("Something before PostHog's server failed; sent again as a 500 is.", (errors.GatewayFault,)),
    "503": (
        "The server has no room, or no database, for a moment; sent again as a 500 is, after `Retry-After`.",
        (errors.AtCapacity, errors.DatabaseUnavailable),
    ),
    "504": ("Something before PostHog's server did not wait for it; sent again as a 500 is.", (errors.GatewayFault,)),
}


def statuses() -> dict[str, str]:
    """An explanation for each status."""
    return {status: "\n\n".join([said, *map(_about, _every(kinds))]) for status, (said, kinds) in _STATUSES.items()}


def _every(kinds: tuple[type[ApiError], ...]) -> Iterator[type[ApiError]]:
    """The classes with all below them."""
    for kind in kinds:
        yield kind
        yield from _every(tuple(kind.__subclasses__()))


def _about(kind: type[ApiError]) -> str:
    first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return f"{kind.code} ({kind.__name__}): {first}\n  What to do: {kind.remedy}."
