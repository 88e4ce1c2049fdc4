"""Two contracts of one endpoint side by side, with the facts that several rules ask for, each found out once."""

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

_OPEN: Final = (ChangeKind.COLUMNS, ChangeKind.SOURCE, ChangeKind.JOIN)
_FIRMNESS: Final = ("draft", "beta", "stable")


@dataclass(frozen=True, kw_only=True)
class ContractPair:
    """`before` is what callers rely on so far; `after` has nothing open any more (`settled`)."""

    before: Contract
    after: Contract
    context: RuleContext

    @property
    def version(self) -> int | None:
        """The version that callers have now."""
        return self.before.identity.version if self.before.identity else None

    @property
    def is_current(self) -> bool:
        """Whether callers without a pin get that version."""
        return self.before.identity is None or self.before.identity.is_current

    @cached_property
    def asks_the_same(self) -> bool:
        """Whether the two queries differ in nothing or in form only, the defaults of variables included."""
        if self.before.query == self.after.query:
            return True
        return self.is_same_text and not self.defaults_differ

    @cached_property
    def defaults_differ(self) -> bool:
        """Whether a variable has another value in the query: that cuts a version."""
        return canonical(self._defaults(self.before)) != canonical(self._defaults(self.after))

    @cached_property
    def is_same_text(self) -> bool:
        """The same without the values of variables. A change that is known spares the canonical forms."""
        bare = [_without_variables(side.query) for side in (self.before, self.after)]
        if bare[0] == bare[1]:
            return True
        return not self.changes and canonical(canonical_query(bare[0])) == canonical(canonical_query(bare[1]))

    @cached_property
    def cuts_version(self) -> bool:
        """Whether this lands in a new version, so that a pin protects from it."""
        mine, other = self.before.identity, self.after.identity
        if mine is not None and other is not None:
            return (mine.endpoint_id, mine.version) != (other.endpoint_id, other.version)
        return not self.asks_the_same

    @property
    def is_served(self) -> bool:
        """Whether both sides are what a server has or had."""
        return self.before.identity is not None and self.after.identity is not None

    @property
    def setting_scope(self) -> Scope:
        """A setting that is sent together with a new query lands on the new version only."""
        return Scope.VERSION if self.cuts_version else Scope.IN_PLACE

    @property
    def stability(self) -> Stability:
        """The firmer promise of the two counts, and without one it is stable; so it is for a pin's own move."""
        said = [side.stability for side in (self.before, self.after) if side.stability is not None]
        return "stable" if self.context.is_move else max(said, key=_FIRMNESS.index, default="stable")

    @property
    def is_rows(self) -> bool:
        """Whether both sides answer rows of columns."""
        return self.before.kind == self.after.kind == HOGQL

    @property
    def is_insight(self) -> bool:
        """Whether both sides are the same kind of insight."""
        return self.before.kind == self.after.kind != HOGQL

    @cached_property
    def changes(self) -> tuple[QueryChange, ...]:
        """What changed in meaning between two HogQL texts."""
        if not self.is_rows:
            return ()
        from endpoints_gitops.hogql.query_changes import changes

        return changes(self.before.sql or "", self.after.sql or "")

    @cached_property
    def touches_variables(self) -> bool:
        """Whether a change can have to do with how variables are used: only then are their uses compared."""
        return any(change.kind in _OPEN or "{" in f"{change.before}{change.after}" for change in self.changes)

    def changed(self, *kinds: ChangeKind) -> tuple[QueryChange, ...]:
        return tuple(change for change in self.changes if change.kind in kinds)

    @cached_property
    def columns(self) -> tuple[tuple[ContractColumn, ContractColumn], ...]:
        """The columns that both sides have, by name; of doubled names the first."""
        old, new = by_name(self.before.columns), by_name(self.after.columns)
        return tuple((old[name], new[name]) for name in old if name in new)

    @property
    def knows_columns(self) -> bool:
        return self.is_rows and self.before.columns is not None and self.after.columns is not None

    @cached_property
    def removed_columns(self) -> tuple[ContractColumn, ...]:
        new = by_name(self.after.columns)
        return tuple(one for name, one in by_name(self.before.columns).items() if name not in new)

    @cached_property
    def added_columns(self) -> tuple[ContractColumn, ...]:
        old = by_name(self.before.columns)
        return tuple(one for name, one in by_name(self.after.columns).items() if name not in old)

    @cached_property
    def renamed_columns(self) -> Mapping[str, ContractColumn]:
        """What is gone by the name of which the same expression now stands under another."""
        found: dict[str, ContractColumn] = {}
        for old in self.removed_columns:
            taken = {one.name for one in found.values()}
            same = (new for new in self.added_columns if new.name not in taken and _is_same_column(old, new))
            if (new := next(same, None)) is not None:
                found[old.name] = new
        return found

    @cached_property
    def removed_variables(self) -> tuple[ContractVariable, ...]:
        """Without those that only materialisation takes away (rule S102)."""
        kept = {one.name for one in self.after.inputs}
        return tuple(one for one in self.before.variables if one.name not in kept)

    @cached_property
    def added_variables(self) -> tuple[ContractVariable, ...]:
        known = {one.name for one in self.before.inputs}
        return tuple(one for one in self.after.variables if one.name not in known)

    @cached_property
    def variables(self) -> tuple[tuple[ContractVariable, ContractVariable], ...]:
        """Those that both sides take."""
        new = {one.name: one for one in self.after.variables}
        return tuple((one, new[one.name]) for one in self.before.variables if one.name in new)

    @cached_property
    def renamed_variables(self) -> Mapping[str, ContractVariable]:
        found: dict[str, ContractVariable] = {}
        for old in self.removed_variables:
            taken = {one.name for one in found.values()}
            same = (new for new in self.added_variables if new.name not in taken and self._is_same_use(old, new))
            if (new := next(same, None)) is not None:
                found[old.name] = new
        return found

    def _is_same_use(self, old: ContractVariable, new: ContractVariable) -> bool:
        if not self.is_rows or ("unknown" not in (old.type, new.type) and old.type != new.type):
            return False
        mine, other = operators_of(self.before, old.name), operators_of(self.after, new.name)
        return bool(mine) and mine == other

    @property
    def turned_on(self) -> bool:
        """Whether callers read a table from now on."""
        return self.after.is_from_table and not self.before.is_from_table

    @property
    def turned_off(self) -> bool:
        """Whether the table is given up, not merely impossible from now on (rule S109)."""
        return self.before.is_from_table and not self.after.serving.materialized

    def input(self, name: str) -> Input | None:
        return next((one for one in self.before.inputs if one.name == name), None)

    @staticmethod
    def _defaults(side: Contract) -> Mapping[str, Json]:
        return {one.name: one.default for one in side.inputs} if side.kind == HOGQL else {}


def by_name(columns: tuple[ContractColumn, ...] | None) -> dict[str, ContractColumn]:
    """In order; of doubled names the first."""
    seen: dict[str, ContractColumn] = {}
    for one in columns or ():
        seen.setdefault(one.name, one)
    return seen


def operators_of(side: Contract, variable: str) -> tuple[str, ...] | None:
    """What the query compares a variable with; None where the text cannot be read."""
    try:
        return operators(side.sql, variable) if side.sql is not None else None
    except ParseFailure:
        return None


def _is_same_column(old: ContractColumn, new: ContractColumn) -> bool:
    return old.expression is not None and old.expression == new.expression and old.type == new.type


def _without_variables(query: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in query.items() if key not in ("variables", "version")}
