"""The tables of the catalogue as one project has them: with its kinds of groups and its types of properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from endpoints_gitops.hogql.tables import TABLES, Relation, Table, group_relation
from endpoints_gitops.hogql.types import Kind


def project_tables(
    group_types: Mapping[str, int], property_types: Mapping[str, Mapping[str, Kind]] = MappingProxyType({})
) -> dict[str, Table]:
    """The tables that hold data. `group_types` are the names of the project's kinds of groups with their slots.

    `property_types` has the types of properties by the table that stores them.
    """
    groups = {name: group_relation(slot) for name, slot in group_types.items()}
    return {
        name: _with_groups(_with_properties(table, property_types.get(table.stored_as, {})), groups)
        for name, table in TABLES.items()
        if not table.is_generated
    }


def _with_properties(table: Table, types: Mapping[str, Kind]) -> Table:
    if not types:
        return table
    columns = {**table.columns, "properties": replace(table.columns["properties"], properties=types)}
    return replace(table, columns=columns)


def _with_groups(table: Table, groups: Mapping[str, Relation]) -> Table:
    return replace(table, relations={**table.relations, **groups}) if table.name == "events" else table
