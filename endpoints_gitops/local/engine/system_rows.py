"""The rows of system tables, which a query brings along (docs/server.md#system-tables).

They are the state of a server, which changes between its queries, and servers can share an engine. The tables of the
engine are empty: a query that reads one begins with a CTE of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.syntax_tree import nodes
from endpoints_gitops.hogql.tables import Table, TypedColumn
from endpoints_gitops.hogql.types import Kind
from endpoints_gitops.local.engine.interface import RowsOfSystemTable
from endpoints_gitops.local.engine.literals import identifier, text
from endpoints_gitops.local.engine.project_data import UTC_ZONE
from endpoints_gitops.local.engine.storage import SYSTEM_TABLES, declared_type

_ROW: Final = "system_row"


def with_rows(
    printed: str, tree: Tree, tables: Mapping[str, Table], rows_of: RowsOfSystemTable, zone: str = UTC_ZONE
) -> str:
    """The printed query of a tree, with the rows of the system tables that it names, and their times in this zone. Of
    their columns, those that the query cannot name are left out, because ClickHouse limits the size of a query."""
    words = {str(part) for node in nodes(tree) if node["node"] == "Field" for part in node["chain"]}
    is_starred = "*" in words or any(node["node"] == "ColumnsExpr" for node in nodes(tree))
    parts = []
    for name in sorted(SYSTEM_TABLES.intersection(_tables_named(tree))):
        columns = list(tables[name].columns.values())
        used = [column for column in columns if is_starred or column.name in words] or columns[:1]
        parts.append(f"{identifier(name)} AS ({_rows(used, rows_of(name), zone)})")
    if not parts:
        return printed
    query = f"SELECT * FROM ({printed})" if tree["node"] == "SelectSetQuery" else printed  # noqa: S608 - translated
    return f"WITH {', '.join(parts)} {query}"


def _tables_named(tree: Tree) -> Iterable[str]:
    chains = (node["table"].get("chain") or () for node in nodes(tree) if node["node"] == "JoinExpr")
    return (".".join(map(str, chain)) for chain in chains)


def _rows(columns: list[TypedColumn], rows: Iterable[Mapping[str, Any]], zone: str) -> str:
    """The query of rows: their JSON in one literal, read with the types of the columns."""
    written = json.dumps([[row[column.name] for column in columns] for row in rows], ensure_ascii=False)
    types = f"Array(Tuple({', '.join(map(declared_type, columns))}))"
    selected = []
    for place, column in enumerate(columns, start=1):
        value = f"tupleElement({_ROW}, {place})"
        if column.stored.kind is Kind.DATETIME64:
            value = f"toTimeZone({value}, {text(zone)})"
        selected.append(f"{value} AS {identifier(column.name)}")
    read = f"arrayJoin(JSONExtract({text(written)}, {text(types)})) AS {_ROW}"
    return f"SELECT {', '.join(selected)} FROM (SELECT {read})"  # noqa: S608 - our own names, and quoted text
