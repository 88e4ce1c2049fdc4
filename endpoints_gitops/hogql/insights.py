"""Query nodes of insights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def strip(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node without keys that hold nothing, at any depth."""
    return {key: _stripped(value) for key, value in node.items() if value is not None}


def _stripped(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, Mapping):
        return strip(value)
    return [_stripped(item) for item in value] if isinstance(value, list) else value
