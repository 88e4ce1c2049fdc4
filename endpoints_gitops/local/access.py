"""Access control: what a member may do with endpoints (docs/server.md#auth)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from endpoints_gitops.local.call import RouteCall
from endpoints_gitops.local.errors import forbidden
from endpoints_gitops.local.store import StoredEndpoint


class AccessLevel(StrEnum):
    """What a member may do, each level including those before it."""

    NONE = "none"
    VIEWER = "viewer"
    EDITOR = "editor"
    MANAGER = "manager"


_ORDER: Final = tuple(AccessLevel)


@dataclass(slots=True, kw_only=True)
class AccessControl:
    """The levels of one user: for all endpoints, and for some of them by id. All other users are administrators.

    PostHog lets the creator of an endpoint pass; here levels apply to endpoints that the user created too.
    """

    user_id: int
    default: AccessLevel = AccessLevel.MANAGER
    endpoints: dict[str, AccessLevel] = field(default_factory=dict)

    def clear(self) -> None:
        self.default = AccessLevel.MANAGER
        self.endpoints.clear()

    def check(self, call: RouteCall, endpoint: StoredEndpoint | None, *, writes: bool) -> None:
        """Raise a 403 if a call that is not a run needs a higher level."""
        if not self._applies(call):
            return
        level = self.endpoints.get(endpoint.id, self.default) if endpoint is not None else self.default
        needed = AccessLevel.EDITOR if writes else AccessLevel.VIEWER
        if _ORDER.index(level) < _ORDER.index(needed):
            raise forbidden(f"You do not have {needed} access to this resource.")

    def check_run(self, call: RouteCall, endpoint: StoredEndpoint) -> None:
        """Raise a 403 if the endpoint itself is denied; the level for all endpoints does not matter to a run."""
        if endpoint.id in self.hidden(call):
            raise forbidden("You do not have access to this endpoint.")

    def is_closed(self, call: RouteCall) -> bool:
        """Whether all endpoints are denied."""
        return self._applies(call) and self.default is AccessLevel.NONE

    def hidden(self, call: RouteCall) -> list[str]:
        """The ids of the endpoints that are denied, which no list contains."""
        denied = [id_ for id_, level in self.endpoints.items() if level is AccessLevel.NONE]
        return denied if self._applies(call) else []

    def _applies(self, call: RouteCall) -> bool:
        return call.user is not None and call.user.id == self.user_id
