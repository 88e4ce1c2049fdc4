"""What changed in meaning between two queries, clause by clause (rules M101 to M107, C116).

Layout, comments, case of keywords, redundant brackets, the order of conditions joined by AND and of grouping keys,
and how a column is prefixed do not count. Whatever else differs is named: there is no difference without a change.
"""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.hogql.change_clauses import select_changes
from endpoints_gitops.hogql.changes import ChangeKind, QueryChange
from endpoints_gitops.hogql.normal import NormalSelect, normal_selects, sources_of, text
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse

__all__ = ["ChangeKind", "QueryChange", "changes"]


def changes(before: str, after: str) -> tuple[QueryChange, ...]:
    """Every change, in the order of the clauses; empty where both ask the same.

    A text that cannot be parsed, or not in bounded time, is one change of the kind `opaque`.
    """
    if before == after:
        return ()
    try:
        old, new = normal_selects(before), normal_selects(after)
        sets = list(_set_changes(parse(before), parse(after)))
    except ParseFailure as failure:
        return () if _same_text(before, after) else (_opaque(before, after, failure.message),)
    found = [change for path in dict.fromkeys((*old, *new)) for change in _at(path, old.get(path), new.get(path))]
    return tuple(sets + found)


def _same_text(before: str, after: str) -> bool:
    return before.replace("\r\n", "\n").strip() == after.replace("\r\n", "\n").strip()


def _opaque(before: str, after: str, why: str) -> QueryChange:
    return QueryChange(kind=ChangeKind.OPAQUE, before=before, after=after, locus="query", why=why)


def _at(path: str, old: NormalSelect | None, new: NormalSelect | None) -> Iterator[QueryChange]:
    if old is not None and new is not None:
        yield from select_changes(old, new)
    else:
        before, after = (text(each.node) if each else None for each in (old, new))
        yield QueryChange(kind=ChangeKind.SOURCE, before=before, after=after, locus=path or "query")


def _set_changes(old: Tree, new: Tree) -> Iterator[QueryChange]:
    """How the arms of a set are put together, and its own limit, at every place where both have a set."""
    waiting = [("", old, new)]
    while waiting:
        path, before, after = waiting.pop()
        operators = _operators(before), _operators(after)
        if operators[0] != operators[1]:
            yield QueryChange(
                kind=ChangeKind.SOURCE, before=operators[0], after=operators[1], locus=f"{path}union".strip()
            )
        for key in ("limit", "offset"):
            texts = [_of_set(each, key) for each in (before, after)]
            if texts[0] != texts[1]:
                yield QueryChange(kind=ChangeKind.LIMIT, before=texts[0], after=texts[1], locus=f"{path}{key}")
        waiting.extend(_inner_sets(path, before, after))


def _operators(node: Tree) -> str | None:
    if node["node"] != "SelectSetQuery":
        return None
    return ", ".join(str(each["set_operator"]) for each in node["subsequent_select_queries"])


def _of_set(node: Tree, key: str) -> str | None:
    return text(node[key]) if node["node"] == "SelectSetQuery" and node.get(key) else None


def _inner_sets(path: str, before: Tree, after: Tree) -> Iterator[tuple[str, Tree, Tree]]:
    old, new = (dict(sources_of(node)) for node in (before, after))
    return ((f"{path}{step}/", old[step], new[step]) for step in old if step in new)
