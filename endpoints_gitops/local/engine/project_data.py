"""What queries know of their project: its time zone, week start, test accounts, actions and cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.errors import Location

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MONDAY: Final = 1
UTC_ZONE: Final = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectExpression:
    """A HogQL expression over a table that the file of the settings holds at `where`, to be checked by ClickHouse."""

    hogql: str
    table: str
    where: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAction:
    """An action: `condition` is the HogQL of its events."""

    id: int
    name: str
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCohort:
    """A cohort: `members` is the HogQL that selects the ids of its persons. A static one lists `persons`, by id or
    distinct id, and has its own table. `where` is its place in the file of the settings."""

    id: int
    name: str
    members: str
    persons: tuple[str, ...] | None
    where: Location

    @property
    def is_static(self) -> bool:
        return self.persons is not None

    @property
    def table(self) -> str:
        return "static_cohort_people" if self.is_static else "cohort_people"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectData:
    """The settings of a project, for HogQL and insights alike.

    `test_account_filters` are property filters, `path_cleaning` pairs of a regular expression and what replaces it.
    `expressions` are all that the file of the settings holds, also those of actions and cohorts. `is_given` is false
    for the settings of a project of which nothing is known.
    """

    timezone: str = UTC_ZONE
    week_start_day: int = 0
    test_account_filters: tuple[Mapping[str, Any], ...] = ()
    path_cleaning: tuple[tuple[str, str], ...] = ()
    actions: tuple[ProjectAction, ...] = ()
    cohorts: tuple[ProjectCohort, ...] = ()
    expressions: tuple[ProjectExpression, ...] = ()
    is_given: bool = False

    @property
    def zone(self) -> ZoneInfo:
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.timezone)

    @property
    def week_mode(self) -> int:
        """ClickHouse's mode of weeks: 0 begins on Sunday, 3 on Monday."""
        return 3 if self.week_start_day == MONDAY else 0

    def action(self, wanted: object) -> ProjectAction | None:
        """The action with this id or name."""
        return next((action for action in self.actions if _is(wanted, action.id, action.name)), None)

    def cohort(self, wanted: object) -> ProjectCohort | None:
        """The cohort with this id or name."""
        return next((cohort for cohort in self.cohorts if _is(wanted, cohort.id, cohort.name)), None)


def _is(wanted: object, number: int, name: str) -> bool:
    if isinstance(wanted, str):
        return wanted == name
    return isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted == number


UNKNOWN_PROJECT: Final = ProjectData()
