"""Names of endpoints and environments, in a module without models, so that reading a manifest does not load them."""

from __future__ import annotations

import re
from typing import Final

NAME_PATTERN: Final = r"^[a-zA-Z][a-zA-Z0-9_-]{0,127}$"  # docs/server.md#bodies
_NAME: Final = re.compile(NAME_PATTERN)


_ENVIRONMENT: Final = re.compile(r"[^\x00-\x1f\x7f/\\:.][^\x00-\x1f\x7f/\\:]{0,127}")


def is_environment_name(text: str) -> bool:
    """Whether this is a valid name of an environment. It is also a folder name, so it must not be a path."""
    return _ENVIRONMENT.fullmatch(text) is not None and text.isprintable() and bool(text.strip())


def is_endpoint_name(text: str) -> bool:
    """Whether the server accepts this as the name of an endpoint (docs/server.md#bodies)."""
    return _NAME.fullmatch(text) is not None
