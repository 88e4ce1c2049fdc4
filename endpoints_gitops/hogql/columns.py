"""The columns that come out of a query, in order, as far as the text alone decides it (docs/server.md#hogql).

Nothing is guessed in silence: what cannot be told is marked, with the reason. `*` over a table that every project
has is written out and still reported, as it follows the table and not the query.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.query_columns import Found, FoundColumn, query_columns
from endpoints_gitops.hogql.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputColumn:
    """`type` is the server's word. `nullable` is None where it cannot be told.

    `known` says that name, type and nullability are certain; else `why` has the reason. `is_named` says that of the
    name alone. `full` is the type of an array or tuple with those of its items, where it is known. `expression` is what
    the column is computed from, printed without its alias: equal for two columns that are computed alike.
    """

    name: str
    type: str
    nullable: bool | None
    expression: str
    known: bool
    full: str | None = None
    is_named: bool = True
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """`complete` is False where not even the list of columns is known: then `why` says because of what.

    `stars` are the `*` in the list, as written, also those that could be written out.
    """

    columns: tuple[OutputColumn, ...]
    complete: bool
    why: str | None = None
    stars: tuple[str, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether the list and its names are those of any server: no `*` follows a table, no name is guessed."""
        return self.complete and not self.stars and all(column.is_named for column in self.columns)

    @property
    def duplicates(self) -> tuple[str, ...]:
        """Names that stand more than once, in order."""
        counts = Counter(column.name for column in self.columns)
        return tuple(name for name, count in counts.items() if count > 1)


@lru_cache(maxsize=4096)
def output(sql: str) -> Output:
    """The columns of a query. Of a set of SELECTs, the first one names them."""
    try:
        found = query_columns(parse(sql), Scope())
    except ParseFailure as failure:
        return Output(columns=(), complete=False, why=failure.message)
    return _output(found)


def _output(found: Found) -> Output:
    return Output(
        columns=tuple(map(_column, found.columns)),
        complete=found.why is None,
        why=found.why,
        stars=tuple(found.stars),
    )


def _column(found: FoundColumn) -> OutputColumn:
    typed = found.typed
    known = typed.is_known and found.guessed is None and typed.why is None
    why = found.guessed or typed.why or (None if known else "whether it can be NULL is not known")
    return OutputColumn(
        name=found.name,
        type=typed.word,
        nullable=typed.nullable,
        full=typed.full,
        expression=found.expression if isinstance(found.expression, str) else readable(found.expression),
        known=known,
        is_named=found.guessed is None,
        why=None if known else why,
    )
