"""Typed calls: what generated Python code is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.consumer.errors import ClientOutdated

if TYPE_CHECKING:
    from endpoints_gitops.consumer.rows import Rows, TypedRows
    from endpoints_gitops.model.pin import Pin


class Unset(Enum):
    """The class of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return self.value


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET
"""The value of a variable that is not passed: the server uses the default of the query."""


@dataclass(slots=True, eq=False)
class TypedEndpoint[Record]:
    """A pinned endpoint as generated code knows it.

    `record` is the class of each record, `fields` are its fields in the order of the pinned columns, None if records
    are those of `Rows`. `pins` has the version and the contract hash by environment. `module` is the name of the
    generated module.
    """

    name: str
    record: type[Any]
    pins: Mapping[str, tuple[int, str]]
    module: str
    fields: tuple[str, ...] | None = None
    _checked: Pin | None = field(default=None, init=False, repr=False)

    def call(self, variables: Mapping[str, object]) -> TypedCall[Record]:
        """A call with these variables, without those that are UNSET."""
        return TypedCall(self, {name: value for name, value in variables.items() if value is not UNSET})

    def check(self, pin: Pin) -> None:
        """Raise ClientOutdated if the code was generated for a different pin."""
        if pin is self._checked:
            return
        version, contract_hash = self.pins.get(pin.environment, (None, None))
        if contract_hash != pin.contract_hash:
            raise ClientOutdated(self._mismatch(pin, version), pin=pin, module=self.module, fix=_REGENERATE)
        self._checked = pin

    def rows(self, rows: Rows) -> TypedRows[Record]:
        """The rows with records of the generated class.

        Raises ColumnsBroken if the columns do not have the pinned names and types, whatever `contract` says, and
        ResultsBroken for a result of another class.
        """
        from endpoints_gitops.consumer.rows import TypedRows

        return TypedRows.typed(rows, self.record, self.fields)

    def _mismatch(self, pin: Pin, version: int | None) -> str:
        if version is None:
            generated = ", ".join(sorted(self.pins))
            return (
                f"{self.module} was generated for {self.name} of {generated}; the pin of environment "
                f"{pin.environment} has other columns or variables, or is newer"
            )
        if version != pin.version:
            return f"{self.module} was generated for {self.name}@{version}, but the lock pins {pin.label}"
        return f"{self.module} was generated for another contract of {pin.label} than the lock has"


@dataclass(frozen=True, slots=True)
class TypedCall[Record]:
    """A call of a pinned endpoint, which a generated function returns: pass it to `run` or `iterate`.

    rows = endpoints.run(revenue_by_plan(month="2026-07"))
    """

    endpoint: TypedEndpoint[Record]
    variables: Mapping[str, object]


_REGENERATE: Final = Advice(Command("generate"))
