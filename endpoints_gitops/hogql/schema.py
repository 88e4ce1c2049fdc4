"""The tables that every project has: their columns in order, and what is reached through them (docs/server.md#hogql).

A column is `name:kind`, of kind string where none is said. `?` marks one that may be NULL, `-` one that `*` leaves
out, `~` one that `*` has in some projects only, `^` a timestamp whose comparisons the server leaves as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from endpoints_gitops.hogql.types import Kind, Typed

_EVENTS: Final = """
uuid:uuid event properties:json timestamp:datetime64^ distinct_id elements_chain created_at:datetime64^ $session_id
$window_id person_mode person_id:uuid~ $group_0 $group_1 $group_2 $group_3 $group_4 elements_chain_href
elements_chain_texts:[string] elements_chain_ids:[string] elements_chain_elements:[string] event_person_id:uuid~
event_issue_id:unknown issue_id:unknown $session_id_uuid:unknown- team_id:integer-
"""
_PERSONS: Final = """
id:uuid created_at:datetime64 properties:json is_identified:unknown $virt_initial_referring_domain_type:unknown~
$virt_initial_channel_type:unknown~ $virt_revenue:unknown- $virt_revenue_last_30_days:unknown- team_id:integer-
"""
_GROUPS: Final = "index:integer key created_at:datetime64 updated_at:datetime64 properties:json team_id:integer-"
_DISTINCT_IDS: Final = "distinct_id person_id:uuid team_id:integer-"
_COHORTS: Final = "person_id:uuid cohort_id:integer team_id:integer-"
_SESSIONS: Final = """
session_id id- session_id_v7:unknown- distinct_id $start_timestamp:datetime64^ $end_timestamp:datetime64^
max_inserted_at:unknown $urls:[string] $num_uniq_urls:integer $entry_current_url? $entry_pathname? $entry_hostname?
$end_current_url? $end_pathname? $end_hostname? $entry_referring_domain? $entry_referrer? $entry_utm_source?
$entry_utm_campaign? $entry_utm_medium? $entry_utm_term? $entry_utm_content? $entry_gclid? $entry_gad_source?
$entry_gclsrc? $entry_dclid? $entry_gbraid? $entry_wbraid? $entry_fbclid? $entry_msclkid? $entry_twclid?
$entry_li_fat_id? $entry_mc_cid? $entry_igshid? $entry_ttclid? $entry__kx? $entry_irclid? $pageview_count:integer
$autocapture_count:integer $screen_count:integer $channel_type:unknown $session_duration:integer duration:integer-
$is_bounce:unknown $last_external_click_url:unknown $page_screen_autocapture_count_up_to:unknown $exit_current_url?-
$exit_pathname?- $vitals_lcp:unknown team_id:integer-
"""
_MARKS: Final = "?-~^"


@dataclass(frozen=True, slots=True)
class Column:
    """`starred` is False for what `*` leaves out, and None for what it has in some projects only."""

    name: str
    typed: Typed
    starred: bool | None = True


@dataclass(frozen=True, slots=True)
class Table:
    """`reaches` are names that stand for a row of another table, by that table's name."""

    name: str
    columns: Mapping[str, Column]
    reaches: Mapping[str, str] = field(default_factory=dict)


def _table(name: str, columns: str, **reaches: str) -> Table:
    return Table(name, {column.name: column for column in map(_column, columns.split())}, reaches)


def _column(written: str) -> Column:
    bare = written.rstrip(_MARKS)
    marks = written[len(bare) :]
    name, _, kind = bare.partition(":")
    starred = None if "~" in marks else "-" not in marks
    typed = replace(_typed(kind or "string", name, nullable="?" in marks), is_timestamp="^" in marks)
    return Column(name, typed, starred)


def _typed(kind: str, name: str, *, nullable: bool) -> Typed:
    if kind == "unknown":
        return Typed(Kind.UNKNOWN, None, f"what type {name} has is not documented")
    if kind.startswith("["):
        return Typed(Kind.ARRAY, item=Typed(Kind(kind.strip("[]"))))
    return Typed(Kind(kind), nullable, keys=() if kind == "json" else None)


_ON_EVENTS: Final = {"person": "persons", "poe": "persons", "pdi": "person_distinct_ids", "session": "sessions"}
_GROUPS_ON_EVENTS: Final = {f"{prefix}_{slot}": "groups" for prefix in ("group", "goe") for slot in range(5)}

TABLES: Final[Mapping[str, Table]] = {
    table.name: table
    for table in (
        _table("events", _EVENTS, override="person_distinct_ids", **_ON_EVENTS, **_GROUPS_ON_EVENTS),
        _table("persons", _PERSONS, pdi="person_distinct_ids"),
        _table("raw_persons", f"{_PERSONS} is_deleted:unknown version:integer", pdi="person_distinct_ids"),
        _table("person_distinct_ids", _DISTINCT_IDS, person="persons"),
        _table("cohort_people", _COHORTS, person="persons"),
        _table("static_cohort_people", _COHORTS, person="persons"),
        _table("groups", _GROUPS),
        _table("sessions", _SESSIONS),
        _table("numbers", "number:integer"),
    )
}
