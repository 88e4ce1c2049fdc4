"""The refusal of an insight that the local server does not compute, and refusals that PostHog has too."""

from __future__ import annotations

from endpoints_gitops.local.engine.refusals import QueryRefused

CODE = "not_supported_locally"


class NotComputed(QueryRefused):
    """This part of an insight is not computed locally; the message names its key."""

    def __init__(self, key: str, why: str = "") -> None:
        reason = f": {why}" if why else ""
        super().__init__(f"The local server does not compute {key}{reason}.", CODE)
        self.key = key
