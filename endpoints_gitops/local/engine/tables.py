"""The tables that queries can read: their columns in order, and what is reached through them (docs/server.md#hogql)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from endpoints_gitops.local.engine.kinds import Kind

GROUP_SLOTS: Final = range(5)
ENTRY_PARAMETERS: Final = (
    *(f"utm_{part}" for part in ("source", "campaign", "medium", "term", "content")),
    *("gclid", "gad_source", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "twclid", "li_fat_id"),
    *("mc_cid", "igshid", "ttclid", "_kx", "irclid"),
)
"""Parameters of the first address of a session that it keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as queries see it. `starred` is false for what `*` leaves out; `target` is what it is another name of.

    `typed` are the properties in a column of JSON that the project has a type for: numbers, truth values, times.
    """

    name: str
    kind: Kind = Kind.STRING
    nullable: bool = False
    starred: bool = True
    moment: bool = False
    target: str | None = None
    element: Kind = Kind.UNKNOWN
    typed: Mapping[str, Kind] = MappingProxyType({})

    @property
    def stored_as(self) -> str:
        return self.target or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Rows of another table that belong to a row: `local` = `foreign`, and its `fixed` columns have given values.

    `seen` are the columns that can be asked for this way; None for all.
    """

    table: str
    local: str
    foreign: str
    fixed: Mapping[str, int] = MappingProxyType({})
    seen: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`stored_as` is the name in ClickHouse.

    `absent` are columns that PostHog has and this server has not, with whether they are in `*`.
    """

    name: str
    columns: Mapping[str, Column]
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    absent: Mapping[str, bool] = field(default_factory=dict)
    stored_as: str


def table(
    name: str,
    columns: Iterable[Column],
    reaches: Mapping[str, Reach] | None = None,
    *,
    absent: Mapping[str, bool] | None = None,
    of: str = "",
) -> Table:
    return Table(
        name=name,
        columns={column.name: column for column in columns},
        reaches=reaches or {},
        absent=absent or {},
        stored_as=of or name,
    )


def _strings(*names: str) -> list[Column]:
    return [Column(name=name) for name in names]


def _starless(name: str, kind: Kind = Kind.STRING, target: str | None = None) -> Column:
    return Column(name=name, kind=kind, starred=False, target=target)


def _moment(name: str) -> Column:
    return Column(name=name, kind=Kind.DATETIME, moment=True)


def _texts(name: str) -> Column:
    return Column(name=name, kind=Kind.ARRAY, element=Kind.STRING)


_PERSON = Reach(table="persons", local="person_id", foreign="id")
_PERSON_ON_EVENT = frozenset({"id", "created_at", "properties"})
_GROUP_ON_EVENT = frozenset({"key", "created_at", "properties"})
"""What an event keeps of its person and its groups. Here nothing ever changes, so it is what they are now."""


def _group(slot: int) -> Reach:
    return Reach(table="groups", local=f"$group_{slot}", foreign="key", fixed={"index": slot})


_EVENTS: Final = (
    Column(name="uuid", kind=Kind.UUID),
    Column(name="event"),
    Column(name="properties", kind=Kind.JSON),
    _moment("timestamp"),
    *_strings("distinct_id", "elements_chain"),
    _moment("created_at"),
    *_strings("$session_id", "$window_id", "person_mode"),
    Column(name="person_id", kind=Kind.UUID),
    *_strings(*(f"$group_{slot}" for slot in GROUP_SLOTS), "elements_chain_href"),
    *(_texts(f"elements_chain_{part}") for part in ("texts", "ids", "elements")),
    Column(name="event_person_id", kind=Kind.UUID, target="person_id"),
    Column(name="event_issue_id", kind=Kind.UUID, nullable=True),
    Column(name="issue_id", kind=Kind.UUID, nullable=True, target="event_issue_id"),
    _starless("team_id", Kind.INTEGER),
)
_PERSONS: Final = (
    Column(name="id", kind=Kind.UUID),
    Column(name="created_at", kind=Kind.DATETIME),
    Column(name="properties", kind=Kind.JSON),
    Column(name="is_identified", kind=Kind.BOOLEAN),
    _starless("team_id", Kind.INTEGER),
)
_GROUPS: Final = (
    Column(name="index", kind=Kind.INTEGER),
    Column(name="key"),
    Column(name="created_at", kind=Kind.DATETIME),
    Column(name="updated_at", kind=Kind.DATETIME),
    Column(name="properties", kind=Kind.JSON),
    _starless("team_id", Kind.INTEGER),
)


def _entry(name: str) -> Column:
    return Column(name=name, nullable=True)


_SESSIONS: Final = (
    Column(name="session_id"),
    _starless("id", target="session_id"),
    Column(name="distinct_id"),
    _moment("$start_timestamp"),
    _moment("$end_timestamp"),
    Column(name="max_inserted_at", kind=Kind.DATETIME),
    _texts("$urls"),
    Column(name="$num_uniq_urls", kind=Kind.INTEGER),
    *(_entry(f"$entry_{part}") for part in ("current_url", "pathname", "hostname")),
    *(_entry(f"$end_{part}") for part in ("current_url", "pathname", "hostname")),
    *(_entry(f"$entry_{part}") for part in ("referring_domain", "referrer")),
    *(_entry(f"$entry_{part}") for part in ENTRY_PARAMETERS),
    *(Column(name=f"${part}_count", kind=Kind.INTEGER) for part in ("pageview", "autocapture", "screen")),
    Column(name="$session_duration", kind=Kind.INTEGER),
    _starless("duration", Kind.INTEGER, "$session_duration"),
    Column(name="$is_bounce", kind=Kind.BOOLEAN, nullable=True),
    *(
        Column(name=f"$exit_{part}", nullable=True, starred=False, target=f"$end_{part}")
        for part in ("current_url", "pathname")
    ),
    _starless("team_id", Kind.INTEGER),
)

_PERSONS_ABSENT: Final = dict.fromkeys(
    ("$virt_initial_referring_domain_type", "$virt_initial_channel_type"), True
) | dict.fromkeys(("$virt_revenue", "$virt_revenue_last_30_days"), False)
_SESSIONS_ABSENT: Final = dict.fromkeys(
    ("$channel_type", "$last_external_click_url", "$page_screen_autocapture_count_up_to", "$vitals_lcp"), True
) | {"session_id_v7": False}

NUMBERS: Final = table("numbers", [Column(name="number", kind=Kind.INTEGER)])


def built_in_tables(
    group_types: Mapping[str, int], property_types: Mapping[str, Mapping[str, Kind]] = MappingProxyType({})
) -> dict[str, Table]:
    """The tables every project has. `group_types` are the names of its kinds of groups with their slots.

    `property_types` has the types of properties by the table that stores them.
    """
    slots = {f"group_{slot}": slot for slot in GROUP_SLOTS} | dict(group_types)
    groups = {name: _group(slot) for name, slot in slots.items()}
    groups |= {f"goe_{slot}": replace(_group(slot), seen=_GROUP_ON_EVENT) for slot in GROUP_SLOTS}
    events = {
        "person": _PERSON,
        "poe": replace(_PERSON, seen=_PERSON_ON_EVENT),
        "pdi": Reach(table="person_distinct_ids", local="distinct_id", foreign="distinct_id"),
        "session": Reach(table="sessions", local="$session_id", foreign="session_id"),
    }
    distinct_ids = [Column(name="distinct_id"), Column(name="person_id", kind=Kind.UUID)]
    of_person = {"pdi": Reach(table="person_distinct_ids", local="id", foreign="person_id")}
    versions = [_starless("is_deleted", Kind.INTEGER), _starless("version", Kind.INTEGER)]
    members = [Column(name="person_id", kind=Kind.UUID), Column(name="cohort_id", kind=Kind.INTEGER)]
    found = (
        table("events", _EVENTS, events | groups),
        table("persons", _PERSONS, of_person, absent=_PERSONS_ABSENT),
        table("raw_persons", [*_PERSONS, *versions], of="persons"),
        table("person_distinct_ids", distinct_ids, {"person": _PERSON}),
        table("groups", _GROUPS),
        table("sessions", _SESSIONS, absent=_SESSIONS_ABSENT),
        table("cohort_people", members, {"person": _PERSON}),
        table("static_cohort_people", members, {"person": _PERSON}),
    )
    return {each.name: _with_types(each, property_types.get(each.stored_as, {})) for each in found}


def _with_types(of: Table, typed: Mapping[str, Kind]) -> Table:
    if not typed:
        return of
    columns = {**of.columns, "properties": replace(of.columns["properties"], typed=typed)}
    return replace(of, columns=columns)


BUILT_IN_NAMES: Final = frozenset({*built_in_tables({}), NUMBERS.name})
