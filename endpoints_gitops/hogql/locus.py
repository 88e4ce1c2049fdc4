"""A part of a query as a text that knows its parts: `where`, `columns.users`, `cte recent/group by`."""

from __future__ import annotations

from typing import Self

type QueryPath = tuple[str, ...]
"""The steps from the outermost SELECT to one inside of it, such as `("union 2", "subquery 1")`."""


class Locus(str):
    """What a change or a finding is about. As a `str` it is the stable name that machine output has.

    `path` leads to a SELECT, `clause` is a part of it (empty: all of it), and `name` a column, a variable, a table or a
    CTE in that part. `is_in_findings` says that the text begins with `query.` as in findings, where `columns.users` is
    a column of the answer.
    """

    path: QueryPath
    clause: str
    name: str
    is_in_findings: bool

    def __new__(cls, clause: str = "", name: str = "", *, path: QueryPath = (), is_in_findings: bool = False) -> Self:
        separator = "." if clause in ("columns", "variables") else " "
        last = f"{clause}{separator}{name}" if name else clause
        text = "/".join((*path, last) if last else path)
        locus = super().__new__(cls, f"query.{text}" if text and is_in_findings else text or "query")
        locus.path, locus.clause, locus.name, locus.is_in_findings = path, clause, name, is_in_findings
        return locus

    @property
    def column(self) -> str | None:
        """The column of the answer that it is; None for anything else."""
        return self.name or None if self.clause == "columns" and not self.path else None

    def in_findings(self) -> Locus:
        """The same part as findings name it."""
        return self if self.column else Locus(self.clause, self.name, path=self.path, is_in_findings=True)
