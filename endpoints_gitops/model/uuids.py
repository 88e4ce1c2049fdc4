"""UUIDs, the form of most ids of PostHog."""

from __future__ import annotations

import uuid


def is_uuid(text: str) -> bool:
    """Whether Python, and so the server, reads this as a UUID; with or without hyphens."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
