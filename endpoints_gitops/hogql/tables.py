"""The catalog of tables that every project has: columns in order, and relations (docs/server.md#hogql).

Types, translation and the local engine's storage use it. A column is `name:kind`; the default kind is string. `@type`
is its ClickHouse type if the kind does not determine it, `=other` the column that it is an alias of. Marks at the end:

- `?` can be NULL.
- `-` is not included in `*`; `~` is included in some projects only.
- `^` is a timestamp whose comparisons the server does not change.
- `#` is a column whose type in answers is not documented: the local engine uses the given kind.
- `+` is stated by the rows of events of `serve --data`.
- `!` exists on the server and not in the local engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from endpoints_gitops.hogql.types import Kind, Typed

_EVENTS: Final = """
uuid:uuid+ event+ properties:json+ timestamp:datetime64^+ distinct_id+ elements_chain+ created_at:datetime64^+
$session_id $window_id person_mode@Enum8('full'=0,'propertyless'=1,'force_upgrade'=2) person_id:uuid~+ $group_0 $group_1
$group_2 $group_3 $group_4 elements_chain_href elements_chain_texts:[string] elements_chain_ids:[string]
elements_chain_elements:[string] event_person_id:uuid=person_id~ event_issue_id:uuid?# issue_id:uuid=event_issue_id?#
$session_id_uuid:unknown-! team_id:integer-
"""
_STORED_PERSONS: Final = """
id:uuid created_at:datetime64@DateTime64(3,'UTC') properties:json is_identified:boolean@Int8#
"""
_PERSONS: Final = f"""
{_STORED_PERSONS} $virt_initial_referring_domain_type:unknown~! $virt_initial_channel_type:unknown~!
$virt_revenue:unknown-! $virt_revenue_last_30_days:unknown-! team_id:integer-
"""
_RAW_PERSONS: Final = f"{_STORED_PERSONS} team_id:integer- is_deleted:integer@Int8# version:integer@UInt64"
_GROUPS: Final = """
index:integer@UInt8 key created_at:datetime64@DateTime64(3,'UTC') updated_at:datetime64@DateTime64(3,'UTC')
properties:json team_id:integer-
"""
_DISTINCT_IDS: Final = "distinct_id person_id:uuid team_id:integer-"
_COHORTS: Final = "person_id:uuid cohort_id:integer team_id:integer-"
_SESSIONS: Final = """
session_id id=session_id- session_id_v7:unknown-! distinct_id $start_timestamp:datetime64^ $end_timestamp:datetime64^
max_inserted_at:datetime64# $urls:[string] $num_uniq_urls:integer $entry_current_url? $entry_pathname?
$entry_hostname? $end_current_url? $end_pathname? $end_hostname? $entry_referring_domain? $entry_referrer?
$entry_utm_source? $entry_utm_campaign? $entry_utm_medium? $entry_utm_term? $entry_utm_content? $entry_gclid?
$entry_gad_source? $entry_gclsrc? $entry_dclid? $entry_gbraid? $entry_wbraid? $entry_fbclid? $entry_msclkid?
$entry_twclid? $entry_li_fat_id? $entry_mc_cid? $entry_igshid? $entry_ttclid? $entry__kx? $entry_irclid?
$pageview_count:integer $autocapture_count:integer $screen_count:integer $channel_type:unknown!
$session_duration:integer duration:integer=$session_duration- $is_bounce:boolean?# $last_external_click_url:unknown!
$page_screen_autocapture_count_up_to:unknown! $exit_current_url=$end_current_url?- $exit_pathname=$end_pathname?-
$vitals_lcp:unknown! team_id:integer-
"""
_ENDPOINTS: Final = """
id@UUID team_id:integer@Int32- name is_active:integer current_version:integer@Int32 derived_from_insight?
created_by_id:integer@Int32? created_at:datetime64 updated_at:datetime64 last_executed_at:datetime64? deleted:integer
"""
_ENDPOINT_VERSIONS: Final = """
id@UUID team_id:integer@Int32- endpoint_id@UUID version:integer@Int32 description query:json
data_freshness_seconds:integer@Int32 created_at:datetime64 is_active:integer columns:json
"""
_INSIGHT_VARIABLES: Final = """
id:uuid team_id:integer@Int32- name type code_name values:json? default_value:json?
"""
_WRITTEN: Final = re.compile(
    r"(?P<name>[\w$]+)(:(?P<kind>[\w\[\]]+))?(=(?P<target>[\w$]+))?(@(?P<stored>[^-?~^#!+]+))?(?P<marks>[-?~^#!+]*)"
)


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A column of a table or of a query. `starred`: `*` includes it; None if that depends on the project.

    `typed` is its type in answers of any server, `local_typed` that of the local engine if it differs. `target` is the
    column that this one is an alias of, `clickhouse` its ClickHouse type if the kind does not determine it.
    `is_in_data`: rows of `serve --data` state it. `properties` are the properties of a JSON column for which the
    project defines a type.
    """

    name: str
    typed: Typed
    starred: bool | None = True
    local_typed: Typed | None = None
    is_local: bool = True
    is_in_data: bool = False
    target: str | None = None
    clickhouse: str | None = None
    properties: Mapping[str, Kind] = MappingProxyType({})

    @property
    def stored(self) -> Typed:
        """The type in the local engine."""
        return self.local_typed or self.typed

    @property
    def stored_as(self) -> str:
        return self.target or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relation to rows of another table: `local` = `foreign`, and the `fixed` columns have fixed values.

    `columns` are available through it, None for all. The local engine supports it if `is_local`.
    """

    table: str
    local: str
    foreign: str
    fixed: Mapping[str, int] = MappingProxyType({})
    columns: frozenset[str] | None = None
    is_local: bool = True


SYSTEM: Final = "system."


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. `key` are the columns whose combination is unique for each row, empty if unknown. `stored_as` is its
    name in ClickHouse. `is_generated` marks a table without project data, `is_system` one with what users made in
    PostHog.
    """

    name: str
    columns: Mapping[str, TypedColumn]
    relations: Mapping[str, Relation] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    stored_as: str = ""
    is_generated: bool = False

    @property
    def is_system(self) -> bool:
        return self.name.startswith(SYSTEM)

    def columns_by(self, relation: Relation) -> Mapping[str, TypedColumn]:
        """The columns of this table that are available through a relation."""
        if relation.columns is None:
            return self.columns
        return {name: column for name, column in self.columns.items() if name in relation.columns}


def table(
    name: str,
    columns: Iterable[TypedColumn],
    relations: Mapping[str, Relation] | None = None,
    *,
    key: tuple[str, ...] = (),
    stored_as: str = "",
    is_generated: bool = False,
) -> Table:
    return Table(
        name=name,
        columns={column.name: column for column in columns},
        relations=relations or {},
        key=key,
        stored_as=stored_as or name,
        is_generated=is_generated,
    )


def _columns(written: str) -> list[TypedColumn]:
    return [_column(word) for word in written.split()]


def _column(written: str) -> TypedColumn:
    match = _WRITTEN.fullmatch(written)
    assert match is not None, written
    name, marks = match["name"], match["marks"]
    typed = _typed(match["kind"] or "string", name, nullable="?" in marks)
    typed = replace(typed, is_timestamp="^" in marks)
    is_documented = "#" not in marks
    return TypedColumn(
        name,
        typed if is_documented else _undocumented(name),
        starred=None if "~" in marks else "-" not in marks,
        local_typed=None if is_documented else typed,
        is_local="!" not in marks,
        is_in_data="+" in marks,
        target=match["target"],
        clickhouse=match["stored"],
    )


def _typed(kind: str, name: str, *, nullable: bool) -> Typed:
    if kind == "unknown":
        return _undocumented(name)
    if kind.startswith("["):
        return Typed(Kind.ARRAY, item=Typed(Kind(kind.strip("[]"))))
    return Typed(Kind(kind), nullable, keys=() if kind == "json" else None)


def _undocumented(name: str) -> Typed:
    return Typed(Kind.UNKNOWN, None, f"the type of {name} is not documented")


GROUP_SLOTS: Final = range(5)
_PERSON: Final = Relation(table="persons", local="person_id", foreign="id")
_BY_DISTINCT_ID: Final = Relation(table="person_distinct_ids", local="distinct_id", foreign="distinct_id")
_KEPT_OF_PERSON: Final = frozenset({"id", "created_at", "properties"})
_KEPT_OF_GROUP: Final = frozenset({"key", "created_at", "properties"})
"""The person and group columns that an event stores."""


def group_relation(slot: int) -> Relation:
    """The relation from an event to its group of one of the project's group types."""
    return Relation(table="groups", local=f"$group_{slot}", foreign="key", fixed={"index": slot})


_OF_EVENTS: Final = {
    "person": _PERSON,
    "poe": replace(_PERSON, columns=_KEPT_OF_PERSON),
    "pdi": _BY_DISTINCT_ID,
    "override": replace(_BY_DISTINCT_ID, is_local=False),
    "session": Relation(table="sessions", local="$session_id", foreign="session_id"),
    **{f"group_{slot}": group_relation(slot) for slot in GROUP_SLOTS},
    **{f"goe_{slot}": replace(group_relation(slot), columns=_KEPT_OF_GROUP) for slot in GROUP_SLOTS},
}
_OF_PERSONS: Final = {"pdi": Relation(table="person_distinct_ids", local="id", foreign="person_id")}
_OF_MEMBERS: Final = {"person": _PERSON}

NUMBERS: Final = table("numbers", _columns("number:integer"), key=("number",), is_generated=True)
TABLES: Final[Mapping[str, Table]] = {
    known_table.name: known_table
    for known_table in (
        table("events", _columns(_EVENTS), _OF_EVENTS, key=("uuid",)),
        table("persons", _columns(_PERSONS), _OF_PERSONS, key=("id",)),
        table("raw_persons", _columns(_RAW_PERSONS), _OF_PERSONS, stored_as="persons"),
        table("person_distinct_ids", _columns(_DISTINCT_IDS), _OF_MEMBERS, key=("distinct_id",)),
        table("cohort_people", _columns(_COHORTS), _OF_MEMBERS),
        table("static_cohort_people", _columns(_COHORTS), _OF_MEMBERS),
        table("groups", _columns(_GROUPS), key=("index", "key")),
        table("sessions", _columns(_SESSIONS), key=("session_id",)),
        table(f"{SYSTEM}data_modeling_endpoints", _columns(_ENDPOINTS), key=("id",)),
        table(f"{SYSTEM}data_modeling_endpoint_versions", _columns(_ENDPOINT_VERSIONS), key=("id",)),
        table(f"{SYSTEM}insight_variables", _columns(_INSIGHT_VARIABLES), key=("id",)),
        NUMBERS,
    )
}
EVENT_PROPERTIES: Final = tuple(
    column.name for column in TABLES["events"].columns.values() if column.name.startswith("$") and column.is_local
)
"""The columns of events that are properties with the same name."""
