"""One change between two queries, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What about the query changed."""

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
    """`locus` says where, such as `where`, `columns.users` or `cte recent/group by`. The texts are HogQL; None is
    nothing.

    `removed` and `added` are the keys of a grouping, the conditions of a filter, the names of columns. `is_variable`
    says that nothing but the use of variables changed. `why` is set where it cannot be told what changed.
    """

    kind: ChangeKind
    before: str | None
    after: str | None
    locus: str
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    is_variable: bool = False
    why: str | None = None
