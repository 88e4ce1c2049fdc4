"""The semantic changes between two queries, clause by clause (rules M101 to M107, C116).

Layout, comments, case of keywords, redundant parentheses, the order of conditions joined by AND and of grouping keys,
and prefixes of columns do not matter. Every other difference is a change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from endpoints_gitops.hogql.canonical import NormalSelect, normal_selects, sources_of, text
from endpoints_gitops.hogql.functions import is_aggregation, is_bucket
from endpoints_gitops.hogql.locus import Locus, QueryPath
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.syntax_tree import QUERIES, fold, is_node, joins, of_kind


class ChangeKind(StrEnum):
    """The kinds of changes."""

    AGGREGATION = "aggregation"
    BUCKET = "bucket"
    COLUMNS = "columns"
    DISTINCT = "distinct"
    EXPRESSION = "expression"
    FILTER = "filter"
    GROUPING = "grouping"
    JOIN = "join"
    LIMIT = "limit"
    OPAQUE = "opaque"
    ORDERING = "ordering"
    SOURCE = "source"
    WINDOW = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryChange:
    """A change. `locus` is its location, such as `where`, `columns.users` or `cte recent/group by`. `before` and
    `after` are HogQL, None if there is none.

    `removed` and `added` are keys of a grouping, conditions of a filter, or names of columns. `is_variable`: only the
    use of variables changed. `why` is set if the change cannot be analyzed.
    """

    kind: ChangeKind
    before: str | None
    after: str | None
    locus: Locus
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    is_variable: bool = False
    why: str | None = None


_FILTERS: Final = (("prewhere", "prewhere"), ("where", "where"), ("having", "having"), ("qualify", "qualify"))
_LIMITS: Final = (("limit_by", "limit by"), ("limit", "limit"), ("limit_with_ties", "with ties"), ("offset", "offset"))
_OF_TABLE: Final = ("table_args", "table_final", "sample", "column_aliases")
_EVENT_TESTS: Final = ("==", "in")


def select_changes(old: NormalSelect, new: NormalSelect) -> Iterator[QueryChange]:
    """The changes between two SELECTs, in the order of the clauses."""
    path = old.path
    yield from _column_changes(old.node, new.node, path)
    yield from _simple(
        ChangeKind.DISTINCT, Locus("distinct", path=path), old.node.get("distinct"), new.node.get("distinct")
    )
    yield from _with_changes(old.node, new.node, path)
    yield from _source_changes(old.node, new.node, path)
    yield from _simple(ChangeKind.JOIN, Locus("array join", path=path), _array_join(old.node), _array_join(new.node))
    for key, word in _FILTERS:
        yield from _filter_changes(old, new, key, Locus(word, path=path))
    yield from _grouping_changes(old, new, Locus("group by", path=path))
    windows = [select.node.get("window_exprs") or None for select in (old, new)]
    yield from _simple(ChangeKind.WINDOW, Locus("window", path=path), windows[0], windows[1])
    yield from _ordering_changes(old, new, Locus("order by", path=path))
    for key, word in _LIMITS:
        yield from _simple(ChangeKind.LIMIT, Locus(word, path=path), old.node.get(key), new.node.get(key))


def _simple(kind: ChangeKind, locus: Locus, old: Any, new: Any) -> Iterator[QueryChange]:  # noqa: ANN401 - parts of trees
    before, after = (None, None) if old == new else (_shown(old), _shown(new))
    if before != after:
        same = _without_variables(old) == _without_variables(new)
        yield QueryChange(kind=kind, before=before, after=after, locus=locus, is_variable=same)


def _shown(value: Any) -> str | None:  # noqa: ANN401 - part of a tree
    """The text of a part of a tree, including flags and lists of nodes."""
    if value is None or value is False or value == []:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(text, value))
    if isinstance(value, dict) and not is_node(value):
        return ", ".join(f"{name} AS ({text(node)})" for name, node in sorted(value.items()))
    return text(value)


def _column_changes(old: Tree, new: Tree, path: QueryPath) -> Iterator[QueryChange]:
    before, after = _named_columns(old), _named_columns(new)
    removed = tuple(name for name in before if name not in after)
    added = tuple(name for name in after if name not in before)
    if list(before) != list(after):
        yield QueryChange(
            kind=ChangeKind.COLUMNS,
            before=", ".join(name for name, _ in before),
            after=", ".join(name for name, _ in after),
            locus=Locus("columns", path=path),
            removed=tuple(name for name, _ in removed),
            added=tuple(name for name, _ in added),
        )
    for name in (name for name in before if name in after):
        texts_of = ("", "") if before[name] == after[name] else (text(before[name]), text(after[name]))
        if texts_of[0] != texts_of[1]:
            yield QueryChange(
                kind=_expression_kind(before[name], after[name]),
                before=texts_of[0],
                after=texts_of[1],
                locus=Locus("columns", name[0], path=path),
                is_variable=_without_variables(before[name]) == _without_variables(after[name]),
            )


def _named_columns(select: Tree) -> dict[tuple[str, int], Tree]:
    """The columns by name and by the number of previous columns with the same name."""
    seen: Counter[str] = Counter()
    columns = {}
    for item in select["select"]:
        name, expression = (str(item["alias"]), item["expr"]) if item["node"] == "Alias" else (text(item), item)
        columns[name, seen[name]] = expression
        seen[name] += 1
    return columns


def _expression_kind(old: Tree, new: Tree) -> ChangeKind:
    if _texts_of_calls(old, is_aggregation) != _texts_of_calls(new, is_aggregation):
        return ChangeKind.AGGREGATION
    windows = [sorted(text(call) for call in of_kind(side, "WindowFunction")) for side in (old, new)]
    if windows[0] != windows[1]:
        return ChangeKind.WINDOW
    is_cut_anew = _texts_of_calls(old, is_bucket) != _texts_of_calls(new, is_bucket)
    return ChangeKind.BUCKET if is_cut_anew else ChangeKind.EXPRESSION


def _texts_of_calls(expression: Tree, is_counted: Callable[[str], bool]) -> list[str]:
    return sorted(text(call) for call in of_kind(expression, "Call") if is_counted(str(call["name"])))


def _with_changes(old: Tree, new: Tree, path: QueryPath) -> Iterator[QueryChange]:
    """The changes of single values in WITH, and of attributes of CTEs."""
    before, after = _ctes(old), _ctes(new)
    for name in dict.fromkeys((*before, *after)):
        if (name in before and name in after) or _is_value(before.get(name) or after.get(name)):
            locus = Locus("with", name, path=path)
            yield from _simple(ChangeKind.EXPRESSION, locus, before.get(name), after.get(name))


def _ctes(select: Tree) -> dict[str, Tree]:
    """The CTEs by name, without their queries, which are compared separately."""
    return {str(cte["name"]): cte if _is_value(cte) else {**cte, "expr": _HIDDEN} for cte in select.get("ctes") or ()}


def _is_value(cte: Tree | None) -> bool:
    return cte is not None and cte.get("cte_type") == "column"


_HIDDEN: Final[Tree] = {"node": "Field", "chain": ["…"]}


def _source_changes(old: Tree, new: Tree, path: QueryPath) -> Iterator[QueryChange]:
    before, after = list(joins(old)), list(joins(new))
    for index in range(max(len(before), len(after))):
        old_join, new_join = (side[index] if index < len(side) else None for side in (before, after))
        if old_join is not None and new_join is not None and _alone(old_join) == _alone(new_join):
            continue
        tables = [_table(join) for join in (old_join, new_join)]
        kind = ChangeKind.SOURCE if index == 0 or None not in tables else ChangeKind.JOIN
        if tables[0] != tables[1]:
            yield QueryChange(kind=kind, before=tables[0], after=tables[1], locus=Locus("from", path=path))
        how = [_how(join) for join in (old_join, new_join)]
        if how[0] != how[1] and None not in tables:
            locus = Locus("join", str(tables[1]), path=path)
            yield QueryChange(kind=ChangeKind.JOIN, before=how[0], after=how[1], locus=locus)


def _alone(join: Tree) -> Tree:
    return {key: value for key, value in join.items() if key not in ("next_join", "alias")}


def _table(join: Tree | None) -> str | None:
    """The table of a join without its alias; a subquery is compared separately."""
    if join is None:
        return None
    table = _SUBQUERY if join["table"]["node"] in QUERIES else join["table"]
    more = {key: join[key] for key in _OF_TABLE if join.get(key) is not None}
    return text({"node": "JoinExpr", "table": table, **more})


_SUBQUERY: Final[Tree] = {"node": "Field", "chain": ["subquery"]}


def _how(join: Tree | None) -> str | None:
    if join is None:
        return None
    constraint = join.get("constraint")
    return " ".join(filter(None, [join.get("join_type"), text(constraint) if constraint else ""])) or None


def _array_join(select: Tree) -> str | None:
    items = select.get("array_join_list")
    return f"{select['array_join_op']} {', '.join(map(text, items))}" if items else None


def _filter_changes(old: NormalSelect, new: NormalSelect, key: str, locus: Locus) -> Iterator[QueryChange]:
    """The changes of a filter, condition by condition of its AND; conditions with variables are separate changes."""
    is_same = old.node.get(key) == new.node.get(key) if key == "having" else False
    if is_same or old.expanded.get(key) == new.expanded.get(key):
        return
    before, after = _conditions(old.expanded.get(key)), _conditions(new.expanded.get(key))
    removed = [node for shown, node in before.items() if shown not in after]
    added = [node for shown, node in after.items() if shown not in before]
    for is_variable in (False, True):
        old_conditions, new_conditions = (_holding(conditions, is_variable) for conditions in (removed, added))
        if old_conditions or new_conditions:
            yield QueryChange(
                kind=_filter_kind(old_conditions, new_conditions),
                before=" AND ".join(map(text, old_conditions)) or None,
                after=" AND ".join(map(text, new_conditions)) or None,
                locus=locus,
                removed=tuple(map(text, old_conditions)),
                added=tuple(map(text, new_conditions)),
                is_variable=is_variable,
            )


def _conditions(condition: Tree | None) -> dict[str, Tree]:
    waiting, by_text = [condition] if condition else [], {}
    while waiting:
        node = waiting.pop(0)
        if node["node"] == "And":
            waiting = [*node["exprs"], *waiting]
        elif node["node"] == "Call" and node["name"] == "and":
            waiting = [*node["args"], *waiting]
        else:
            by_text[text(node)] = node
    return by_text


def _holding(conditions: Iterable[Tree], is_variable: bool) -> list[Tree]:
    return [node for node in conditions if any(of_kind(node, "Placeholder")) is is_variable]


def _filter_kind(removed: list[Tree], added: list[Tree]) -> ChangeKind:
    """The kind of a filter change: a different event is a different source."""
    both = removed and added
    return ChangeKind.SOURCE if both and all(map(_is_event_test, [*removed, *added])) else ChangeKind.FILTER


def _is_event_test(node: Tree) -> bool:
    if node["node"] != "CompareOperation" or node["op"] not in _EVENT_TESTS:
        return False
    is_event = node["left"]["node"] == "Field" and node["left"]["chain"][-1] == "event"
    return is_event and all(part["node"] in ("Constant", "Tuple", "Array") for part in _parts(node["right"]))


def _parts(node: Tree) -> list[Tree]:
    return [node, *node.get("exprs", ())]


def _grouping_changes(old: NormalSelect, new: NormalSelect, locus: Locus) -> Iterator[QueryChange]:
    modes = [side.node.get("group_by_mode") for side in (old, new)]
    if modes[0] == modes[1] and old.expanded.get("group_by") == new.expanded.get("group_by"):
        return
    before, after = ([text(key) for key in side.expanded.get("group_by") or ()] for side in (old, new))
    removed = tuple(key for key in before if key not in after)
    added = tuple(key for key in after if key not in before)
    if removed or added or modes[0] != modes[1]:
        yield QueryChange(
            kind=ChangeKind.GROUPING,
            before=_grouping(modes[0], before),
            after=_grouping(modes[1], after),
            locus=locus,
            removed=removed,
            added=added,
        )


def _grouping(mode: str | None, keys: list[str]) -> str | None:
    shown = ", ".join(keys)
    return f"{mode} ({shown})" if mode else shown or None


def _ordering_changes(old: NormalSelect, new: NormalSelect, locus: Locus) -> Iterator[QueryChange]:
    """The changes of ORDER BY. The same name, or the same expression under a different name, is the same order."""
    before, after = old.node.get("order_by"), new.node.get("order_by")
    if before == after or _shown(before) == _shown(after):
        return
    if _shown(old.expanded.get("order_by")) != _shown(new.expanded.get("order_by")):
        yield QueryChange(kind=ChangeKind.ORDERING, before=_shown(before), after=_shown(after), locus=locus)


def _without_variables(value: Any) -> str | None:  # noqa: ANN401 - part of a tree
    return _shown(fold(value, _masked)) if isinstance(value, dict | list) else _shown(value)


def _masked(node: dict[str, Any]) -> Any:  # noqa: ANN401 - part of a tree
    return {"node": "Field", "chain": ["variable"]} if node.get("node") == "Placeholder" else node


__all__ = ["ChangeKind", "QueryChange", "changes"]


def changes(before: str, after: str) -> tuple[QueryChange, ...]:
    """Every change, in the order of the clauses; empty if both queries are equivalent.

    A text that cannot be parsed, or not in time, is one change of the kind `opaque`.
    """
    if before == after:
        return ()
    try:
        old, new = normal_selects(before), normal_selects(after)
        sets = list(_set_changes(parse(before), parse(after)))
    except ParseFailure as failure:
        return () if _same_text(before, after) else (_opaque(before, after, failure.message),)
    all_changes = [change for path in dict.fromkeys((*old, *new)) for change in _at(path, old.get(path), new.get(path))]
    return tuple(sets + all_changes)


def _same_text(before: str, after: str) -> bool:
    return before.replace("\r\n", "\n").strip() == after.replace("\r\n", "\n").strip()


def _opaque(before: str, after: str, why: str) -> QueryChange:
    return QueryChange(kind=ChangeKind.OPAQUE, before=before, after=after, locus=Locus(), why=why)


def _at(path: QueryPath, old: NormalSelect | None, new: NormalSelect | None) -> Iterator[QueryChange]:
    if old is not None and new is not None:
        yield from select_changes(old, new)
    else:
        before, after = (text(side.node) if side else None for side in (old, new))
        yield QueryChange(kind=ChangeKind.SOURCE, before=before, after=after, locus=Locus(path=path))


def _set_changes(old: Tree, new: Tree) -> Iterator[QueryChange]:
    """The changes of set operators and of the limits of sets, where both queries have a set."""
    waiting: list[tuple[QueryPath, Tree, Tree]] = [((), old, new)]
    while waiting:
        path, before, after = waiting.pop()
        operators = _operators(before), _operators(after)
        if operators[0] != operators[1]:
            locus = Locus("union", path=path)
            yield QueryChange(kind=ChangeKind.SOURCE, before=operators[0], after=operators[1], locus=locus)
        for key in ("limit", "offset"):
            texts = [_of_set(side, key) for side in (before, after)]
            if texts[0] != texts[1]:
                locus = Locus(key, path=path)
                yield QueryChange(kind=ChangeKind.LIMIT, before=texts[0], after=texts[1], locus=locus)
        waiting.extend(_inner_sets(path, before, after))


def _operators(node: Tree) -> str | None:
    if node["node"] != "SelectSetQuery":
        return None
    return ", ".join(str(arm["set_operator"]) for arm in node["subsequent_select_queries"])


def _of_set(node: Tree, key: str) -> str | None:
    return text(node[key]) if node["node"] == "SelectSetQuery" and node.get(key) else None


def _inner_sets(path: QueryPath, before: Tree, after: Tree) -> Iterator[tuple[QueryPath, Tree, Tree]]:
    old, new = (dict(sources_of(node)) for node in (before, after))
    return (((*path, step), old[step], new[step]) for step in old if step in new)
