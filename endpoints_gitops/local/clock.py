"""The stopped clock of queries: what `--now` says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_FIRST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_END: Final = datetime(2106, 1, 1, tzinfo=UTC)


def clock_time(text: str) -> datetime:
    """An ISO time that `now()` can be, in UTC unless it has a zone: one of ClickHouse's DateTime, with which it
    computes. Raises ValueError, whose text is for the user.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO time; write it like 2026-07-01T12:00:00Z") from None
    zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not _FIRST <= zoned < _END:
        raise ValueError(f"{text!r} is outside the range of ClickHouse's times: 1970-01-02 to 2105")
    return zoned
