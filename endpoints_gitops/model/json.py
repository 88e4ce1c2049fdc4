"""Compare and hash JSON values; the order of keys does not matter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

type Json = bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None
type JsonObject = Mapping[str, Json]

_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Json) -> str:
    """The canonical JSON text of a value, equal for equal values."""
    return _CANONICAL.encode(value)


def fingerprint(value: Json) -> str:
    """A hash of a value (128 bits of SHA-256, hexadecimal)."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]
