"""Announced removals of endpoints: the notice in a definition or a lock, and how many days matter. Dates are in UTC.

This module imports almost nothing, because every start of a consumer's app reads the notices in its lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from endpoints_gitops.errors import Location
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SunsetNotice:
    """The announcement, made on `since`, that an endpoint can be removed from `sunset` on."""

    since: date
    sunset: date
    replaced_by: str | None = None
    reason: str | None = None

    def days_left(self, today: date) -> int:
        """The days until the sunset: 0 on that day, negative after it."""
        return (self.sunset - today).days

    def is_over(self, today: date) -> bool:
        """Whether the endpoint can be removed: on the day of the sunset, and after it."""
        return self.days_left(today) <= 0

    def when(self, today: date) -> str:
        """The sunset in words: `sunset 2026-12-31, in 30 days`."""
        days = self.days_left(today)
        count = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
        relative = "today" if days == 0 else f"in {count}" if days > 0 else f"{count} ago"
        return f"sunset {self.sunset}, {relative}"

    @property
    def because(self) -> str:
        """The reason on one line, in parentheses after a blank; empty without one."""
        return f" ({' '.join(self.reason.split())})" if self.reason and self.reason.strip() else ""

    def as_json(self) -> dict[str, str | None]:
        """The notice with its dates as ISO text."""
        return {
            "since": self.since.isoformat(),
            "sunset": self.sunset.isoformat(),
            "replaced_by": self.replaced_by,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DeprecationPolicy:
    """How many days matter: `minimum_days` is the shortest time from announcement to sunset; `warn_days` before the
    sunset warnings begin for authors, and errors for apps; an endpoint without a call for `idle_days` is idle."""

    minimum_days: int = 30
    warn_days: int = 14
    idle_days: int = 30


DEFAULT_POLICY: Final = DeprecationPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """The notice of one definition, and what findings about it need.

    `where` and `replaced_by_where` are the places of `sunset` and `replaced_by`; `is_on` is False if the definition
    itself says `active: false`.
    """

    name: str
    notice: SunsetNotice
    where: Location
    replaced_by_where: Location
    stability: str = "stable"
    is_on: bool = True

    @classmethod
    def of(cls, loaded: LoadedDefinition, environment: str | None = None) -> Announcement | None:
        """The announcement of a definition; None if it is not deprecated."""
        definition = loaded.definition.in_environment(environment)
        if definition.deprecation is None:
            return None
        return cls(
            name=loaded.name,
            notice=definition.deprecation.notice,
            where=loaded.where("deprecation.sunset"),
            replaced_by_where=loaded.where("deprecation.replaced_by"),
            stability=definition.stability or "stable",
            is_on=definition.active is not False,
        )


def notice_item(notice: SunsetNotice | None, today: date) -> JsonObject | None:
    """The notice in machine output, with the days left; None without a notice."""
    return None if notice is None else {**notice.as_json(), "days_left": notice.days_left(today)}


def today_at(now: datetime) -> date:
    """The date in UTC of a time with a zone."""
    return now.astimezone(UTC).date()
