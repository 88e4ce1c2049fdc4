"""Freshness: how old an answer can be, seconds in requests and words in files; and when tables idle
(docs/server.md#materialization).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

SCHEDULES: Final = {
    "15min": 900,
    "30min": 1800,
    "1hour": 3600,
    "6hour": 21600,
    "12hour": 43200,
    "24hour": 86400,
    "7day": 604800,
}
DEFAULT_SECONDS: Final = 86400
IDLE_AFTER: Final = timedelta(days=30)
"""After this time without a call by an API key, the server turns off the table of a version
(docs/server.md#tables-that-idle)."""


def schedule_word(seconds: int) -> str | None:
    """The word for a number of seconds, None if the server has no such schedule."""
    return next((word for word, value in SCHEDULES.items() if value == seconds), None)


def age(seconds: int) -> str:
    """How old an answer can be, for people: `age(604800)` is "7 days", `age(86400)` is "24 hours"."""
    if seconds >= 2 * 86400 and seconds % 86400 == 0:
        count, unit = seconds // 86400, "day"
    elif seconds >= 3600 and seconds % 3600 == 0:
        count, unit = seconds // 3600, "hour"
    elif seconds >= 60 and seconds % 60 == 0:
        count, unit = seconds // 60, "minute"
    else:
        count, unit = seconds, "second"
    return f"{count} {unit}{'' if count == 1 else 's'}"
