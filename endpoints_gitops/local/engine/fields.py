"""Resolve names: aliases, columns, relations, and keys inside JSON (docs/server.md#hogql)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from endpoints_gitops.hogql.function_types import call_type
from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.tables import TypedColumn
from endpoints_gitops.hogql.types import Kind, Typed
from endpoints_gitops.local.engine.expressions import expression, translates
from endpoints_gitops.local.engine.literals import identifier, literal, text
from endpoints_gitops.local.engine.refusals import QueryRefused, Unresolved
from endpoints_gitops.local.engine.scope import Joined, Path, QueryScope, QuerySource, Sql


@translates("Field")
def field(node: Tree, scope: QueryScope) -> Sql:
    """Translate a field: a column, an alias, a lambda argument, a column CTE, or a path into one of them."""
    head, *rest = map(str, node["chain"])
    if head == "*" or (rest and rest[-1] == "*"):
        raise QueryRefused("Cannot use '*' here: it stands for columns in a SELECT, or for rows in count(*)")
    if head in scope.arguments:
        return _inside(scope.arguments[head], rest, head)
    if rest and head in scope.sources:
        return _walk(scope.sources[head], rest, scope)
    if head in scope.aliases:
        return _inside(scope.aliases[head], rest, head)
    return _looked_up(head, rest, scope)


@translates("ArrayAccess")
def array_access(node: Tree, scope: QueryScope) -> Sql:
    """Translate a JSON key, an array element or a map value."""
    _refuse_zero(node["property"].get("value"), "[1]")
    container = expression(node["array"], scope)
    key = node["property"]
    if container.json is not None and key["node"] == "Constant" and isinstance(key["value"], (str, int)):
        return _property(container.json, key["value"])
    index = expression(key, scope)
    typed = call_type("arrayElement", [container.typed, index.typed])
    return Sql(f"arrayElement({container.text}, {index.text})", typed)


@translates("TupleAccess")
def tuple_access(node: Tree, scope: QueryScope) -> Sql:
    _refuse_zero(node["index"], ".1")
    container = expression(node["tuple"], scope)
    if container.json is not None:
        return _property(container.json, int(node["index"]))
    parts, index = container.typed.parts or (), int(node["index"])
    typed = parts[index - 1] if 0 < index <= len(parts) else Typed(Kind.UNKNOWN, None)
    return Sql(f"tupleElement({container.text}, {index})", typed)


def _refuse_zero(index: object, example: str) -> None:
    if isinstance(index, int) and not isinstance(index, bool) and index == 0:
        raise QueryRefused("SQL indexes start from one, not from zero. E.g: array" + example)


def column_sql(source: QuerySource, column: TypedColumn) -> Sql:
    printed = source.column(column)
    is_json = column.stored.kind is Kind.JSON
    return Sql(
        printed,
        column.stored,
        json=Path(column=printed, properties=column.properties, zone=source.zone) if is_json else None,
    )


def as_alias(name: str, of: Sql) -> Sql:
    """An aliased expression, which is printed as its alias."""
    printed = identifier(name)
    return Sql(printed, of.typed.named(), json=Path(column=printed) if of.kind is Kind.JSON else None)


def _looked_up(head: str, rest: list[str], scope: QueryScope) -> Sql:
    holders = [source for source in scope.sources.values() if _has(source, head)]
    if len(holders) > 1:
        raise Unresolved(f"Ambiguous query. Found multiple sources for field: {head}")
    if holders:
        return _walk(holders[0], [head, *rest], scope)
    cte = scope.ctes.get(head)
    if cte is None:
        if rest and head in ("variables", "filters"):
            raise Unresolved(
                f"Unable to resolve field: {head}. A placeholder is written in braces: {{{head}.{rest[0]}}}"
            )
        raise Unresolved(f"Unable to resolve field: {head}")
    if rest:
        raise Unresolved(f"Cannot access fields on CTE {head} yet")
    if not cte.is_column:
        raise Unresolved(f"Cannot use table CTE {head} as a value. Use it in a FROM clause instead.")
    return expression(cte.node["expr"], scope.inside(ctes=cte.above))


def _has(source: QuerySource, name: str) -> bool:
    return name in source.columns or (source.table is not None and name in source.table.relations)


def _walk(source: QuerySource, names: list[str], scope: QueryScope) -> Sql:
    name, *rest = names
    column = source.columns.get(name)
    if column is not None:
        _refuse_absent(name, source, is_local=column.is_local)
        value = column_sql(source, column)
        if rest and value.json is None:
            raise Unresolved(f'Can not access property "{rest[0]}" on field "{name}".')
        return _property(value.json, *rest) if rest and value.json else value
    if not _has(source, name):
        raise Unresolved(f"Unable to resolve field: {name}")
    if not rest:
        raise Unresolved(f"Can't select a table when a column is expected: {name}")
    return _walk(_related(source, name, scope), rest, scope)


def _refuse_absent(name: str, source: QuerySource, *, is_local: bool) -> None:
    if not is_local:
        of = source.table.name if source.table else source.name
        raise QueryRefused(f"The field {name} of {of} exists in PostHog but not in the local server")


def _inside(value: Sql, keys: list[str], name: str) -> Sql:
    if not keys:
        return value
    if value.json is None:
        raise Unresolved(
            f"Cannot access property '{keys[0]}' on '{name}'. "
            "This can happen when a column alias shadows a table field. Try renaming the alias."
        )
    return _property(value.json, *keys)


def _related(source: QuerySource, name: str, scope: QueryScope) -> QuerySource:
    """A relation, which is joined on first use."""
    if name in source.joins:
        return source.joins[name].source
    assert source.table is not None
    relation = source.table.relations[name]
    _refuse_absent(name, source, is_local=relation.is_local)
    other = scope.context.tables[relation.table]
    related = QuerySource(
        name=name,
        printed=f"{source.printed}__{name}",
        columns=other.columns_by(relation),
        table=other,
        zone=source.zone,
    )
    local, foreign = source.columns[relation.local], other.columns[relation.foreign]
    conditions = [f"{source.column(local)} = {related.column(foreign)}"]
    conditions += [f"{related.column(other.columns[key])} = {literal(value)}" for key, value in relation.fixed.items()]
    joined = f"{identifier(other.stored_as)} AS {identifier(related.printed)}"
    source.joins[name] = Joined(source=related, text=f" LEFT JOIN {joined} ON {' AND '.join(conditions)}")
    return related


def _property(path: Path, *keys: str | int) -> Sql:
    """The value under a key, with the type of the project's property definition."""
    longer = replace(path, keys=(*path.keys, *keys))
    for key in keys:
        _refuse_zero(key, "[1]")
    kind = path.properties.get(str(longer.keys[0])) if len(longer.keys) == 1 else None
    printed = _stored_text(longer)
    typed = Typed(kind or Kind.STRING, nullable=True)
    return Sql(_TYPED[kind].format(printed, zone=path.zone) if kind else printed, typed, json=longer)


def _stored_text(path: Path) -> str:
    """JSON without the surrounding quotes, NULL if it is missing."""
    keys = ", ".join(text(key) if isinstance(key, str) else str(key) for key in path.keys)
    raw = f"JSONExtractRaw({path.column}, {keys})"
    return f"replaceRegexpAll(nullIf(nullIf({raw}, ''), 'null'), '^\"|\"$', '')"


def untyped(value: Sql) -> Sql:
    """A property as text, whatever its type; any other expression unchanged."""
    if value.json is None or not value.json.keys:
        return value
    return replace(value, text=_stored_text(value.json), typed=Typed(Kind.STRING, nullable=True))


_TYPED: Final = {
    Kind.FLOAT: "accurateCastOrNull({}, 'Float64')",
    Kind.DATETIME: "parseDateTime64BestEffortOrNull({}, 6, {zone})",
    Kind.BOOLEAN: "toBool(transform(toString({}), ['true', 'false'], [1, 0], NULL))",
}
