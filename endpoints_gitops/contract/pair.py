"""Two contracts of one endpoint and the facts that several rules need, each computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from endpoints_gitops.contract.context import RuleContext
from endpoints_gitops.contract.contract import HOGQL, Contract, ContractColumn, ContractVariable, Input, Stability
from endpoints_gitops.hogql.canonical import canonical_query
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.hogql.query_changes import ChangeKind, QueryChange
from endpoints_gitops.hogql.variables import operators
from endpoints_gitops.model.finding import Scope
from endpoints_gitops.model.json import Json, canonical
from endpoints_gitops.model.sunset import SunsetNotice

_INDIRECT: Final = (ChangeKind.COLUMNS, ChangeKind.SOURCE, ChangeKind.JOIN)
_STABILITIES: Final = ("draft", "beta", "stable")


@dataclass(frozen=True, kw_only=True)
class ContractPair:
    """`before` is the contract that callers rely on; `after` is the new one, completed by `settled`."""

    before: Contract
    after: Contract
    context: RuleContext

    @property
    def version(self) -> int | None:
        """The version that callers use before the change."""
        return self.before.identity.version if self.before.identity else None

    @property
    def is_current(self) -> bool:
        """Whether callers without a pin get that version."""
        return self.before.identity is None or self.before.identity.is_current

    @cached_property
    def asks_the_same(self) -> bool:
        """Whether the queries differ at most in formatting, and the defaults of variables are equal."""
        if self.before.query == self.after.query:
            return True
        return self.is_same_text and not self.defaults_differ

    @cached_property
    def defaults_differ(self) -> bool:
        """Whether the default of a variable differs in the query, which creates a version."""
        return canonical(self._defaults(self.before)) != canonical(self._defaults(self.after))

    @cached_property
    def is_same_text(self) -> bool:
        """Whether the queries differ at most in formatting, apart from the values of variables."""
        bare = [_without_variables(side.query) for side in (self.before, self.after)]
        if bare[0] == bare[1]:
            return True
        return not self.changes and canonical(canonical_query(bare[0])) == canonical(canonical_query(bare[1]))

    @cached_property
    def cuts_version(self) -> bool:
        """Whether the change creates a new version, so that a pin protects from it."""
        old, new = self.before.identity, self.after.identity
        if old is not None and new is not None:
            return (old.endpoint_id, old.version) != (new.endpoint_id, new.version)
        return not self.asks_the_same

    @property
    def is_served(self) -> bool:
        """Whether both contracts come from a server."""
        return self.before.identity is not None and self.after.identity is not None

    @property
    def setting_scope(self) -> Scope:
        """The scope of a changed setting: together with a new query, it affects only the new version."""
        return Scope.VERSION if self.cuts_version else Scope.IN_PLACE

    @property
    def stability(self) -> Stability:
        """The more stable of the two; `stable` if neither is known, and for the upgrade of a pin."""
        known = [side.stability for side in (self.before, self.after) if side.stability is not None]
        return "stable" if self.context.is_move else max(known, key=_STABILITIES.index, default="stable")

    @property
    def notice(self) -> SunsetNotice | None:
        """The announcement that callers knew before the change. The server knows none, so there the new side says."""
        is_known = self.before.deprecation is not None or self.before.knows_notice
        return self.before.deprecation if is_known else self.after.deprecation

    @property
    def is_rows(self) -> bool:
        """Whether both sides are HogQL queries, which return rows."""
        return self.before.kind == self.after.kind == HOGQL

    @property
    def is_insight(self) -> bool:
        """Whether both sides are the same kind of insight."""
        return self.before.kind == self.after.kind != HOGQL

    @cached_property
    def changes(self) -> tuple[QueryChange, ...]:
        """The semantic changes between two HogQL texts."""
        if not self.is_rows:
            return ()
        from endpoints_gitops.hogql.query_changes import changes

        return changes(self.before.sql or "", self.after.sql or "")

    @cached_property
    def touches_variables(self) -> bool:
        """Whether a change can affect how variables are used; otherwise their uses are not compared."""
        return any(change.kind in _INDIRECT or "{" in f"{change.before}{change.after}" for change in self.changes)

    def changed(self, *kinds: ChangeKind) -> tuple[QueryChange, ...]:
        return tuple(change for change in self.changes if change.kind in kinds)

    @cached_property
    def columns(self) -> tuple[tuple[ContractColumn, ContractColumn], ...]:
        """The columns that both sides have, matched by name; of duplicate names the first."""
        old, new = by_name(self.before.columns), by_name(self.after.columns)
        return tuple((old[name], new[name]) for name in old if name in new)

    @property
    def knows_columns(self) -> bool:
        return self.is_rows and self.before.columns is not None and self.after.columns is not None

    @cached_property
    def removed_columns(self) -> tuple[ContractColumn, ...]:
        new = by_name(self.after.columns)
        return tuple(column for name, column in by_name(self.before.columns).items() if name not in new)

    @cached_property
    def added_columns(self) -> tuple[ContractColumn, ...]:
        old = by_name(self.before.columns)
        return tuple(column for name, column in by_name(self.after.columns).items() if name not in old)

    @cached_property
    def renamed_columns(self) -> Mapping[str, ContractColumn]:
        """The new columns with the expression of a removed one, by the removed name."""
        renamed: dict[str, ContractColumn] = {}
        for old in self.removed_columns:
            taken = {column.name for column in renamed.values()}
            same = (new for new in self.added_columns if new.name not in taken and _is_same_column(old, new))
            if (new := next(same, None)) is not None:
                renamed[old.name] = new
        return renamed

    @cached_property
    def removed_variables(self) -> tuple[ContractVariable, ...]:
        """The variables that the new query no longer has. Those that materialization removes are left to rule S102."""
        kept = {item.name for item in self.after.inputs}
        return tuple(variable for variable in self.before.variables if variable.name not in kept)

    @cached_property
    def added_variables(self) -> tuple[ContractVariable, ...]:
        known = {item.name for item in self.before.inputs}
        return tuple(variable for variable in self.after.variables if variable.name not in known)

    @cached_property
    def variables(self) -> tuple[tuple[ContractVariable, ContractVariable], ...]:
        """The variables that both sides accept, before and after."""
        new = {variable.name: variable for variable in self.after.variables}
        return tuple((old, new[old.name]) for old in self.before.variables if old.name in new)

    @cached_property
    def renamed_variables(self) -> Mapping[str, ContractVariable]:
        """The new variables that are used like a removed one, by the removed name."""
        renamed: dict[str, ContractVariable] = {}
        for old in self.removed_variables:
            taken = {variable.name for variable in renamed.values()}
            same = (new for new in self.added_variables if new.name not in taken and self._is_same_use(old, new))
            if (new := next(same, None)) is not None:
                renamed[old.name] = new
        return renamed

    def _is_same_use(self, old: ContractVariable, new: ContractVariable) -> bool:
        if not self.is_rows or ("unknown" not in (old.type, new.type) and old.type != new.type):
            return False
        old_operators, new_operators = operators_of(self.before, old.name), operators_of(self.after, new.name)
        return bool(old_operators) and old_operators == new_operators

    @property
    def turned_on(self) -> bool:
        """Whether callers start to read a table."""
        return self.after.is_from_table and not self.before.is_from_table

    @property
    def turned_off(self) -> bool:
        """Whether materialization is turned off. A query that no longer allows a table is left to rule S109."""
        return self.before.is_from_table and not self.after.serving.materialized

    def input(self, name: str) -> Input | None:
        return next((item for item in self.before.inputs if item.name == name), None)

    @staticmethod
    def _defaults(side: Contract) -> Mapping[str, Json]:
        return {item.name: item.default for item in side.inputs} if side.kind == HOGQL else {}


def by_name(columns: tuple[ContractColumn, ...] | None) -> dict[str, ContractColumn]:
    """The columns by name, in order; of duplicate names the first."""
    columns_by_name: dict[str, ContractColumn] = {}
    for column in columns or ():
        columns_by_name.setdefault(column.name, column)
    return columns_by_name


def operators_of(side: Contract, variable: str) -> tuple[str, ...] | None:
    """The comparisons of a variable in the query; None if the query cannot be parsed."""
    try:
        return operators(side.sql, variable) if side.sql is not None else None
    except ParseFailure:
        return None


def _is_same_column(old: ContractColumn, new: ContractColumn) -> bool:
    return old.expression is not None and old.expression == new.expression and old.type == new.type


def _without_variables(query: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in query.items() if key not in ("variables", "version")}
