"""The callers of an endpoint and the kind of change, which decide the severity of a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from endpoints_gitops.model.sunset import DEFAULT_POLICY, DeprecationPolicy

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import ReadingStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A caller of the endpoint, usually an app.

    `version` is the pinned version, None for a caller without a pin. `is_active` says that this version exists and can
    be run. `columns` are those that it reads, None if it can read any of them. `is_direct`: it calls with
    `refresh: direct`; `is_typed`: it reads rows into types; `is_paging`: it calls with `limit` and `offset`.
    `collected` is the day on which the consumers' registry saw it, None for the app beside the definitions.
    """

    name: str
    version: int | None = None
    is_active: bool = True
    reads: ReadingStyle = "name"
    columns: tuple[str, ...] | None = None
    is_direct: bool = False
    is_typed: bool = False
    is_paging: bool = False
    collected: date | None = None

    @property
    def is_protected(self) -> bool:
        """Whether a new version cannot affect it."""
        return self.version is not None and self.is_active

    def described(self, today: date) -> str:
        """What is known of it, in a few words: `billing: version 3, reads plan, mrr, last seen 94 days ago`."""
        version = "unpinned" if self.version is None else f"version {self.version}"
        return f"{self.name}: {', '.join((version, *self.facts(today)))}"

    def facts(self, today: date) -> tuple[str, ...]:
        """What is known of it besides name and version."""
        facts = [] if self.is_active else ["which cannot be run"]
        if self.reads == "call":
            facts.append("reads no rows")
        elif self.reads == "position":
            facts.append("reads by position")
        elif self.columns:
            facts.append(f"reads {', '.join(self.columns)}")
        if self.collected is not None:
            from endpoints_gitops.model.consumers import last_seen

            facts.append(f"last seen {last_seen(self.collected, today)}")
        return tuple(facts)

    def reads_column(self, name: str) -> bool:
        return self.reads == "position" or self.columns is None or name in self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """What decides the severity of a difference.

    Without `callers`, one is assumed that has no pin and reads by name. `is_move`: a pin moves from one version to the
    other, so no pin protects from the change. `is_unknown_error`: changes that cannot be analyzed are errors (C112,
    M107). `sharing` are the other endpoints that use a shared variable, by its code name. `today` is the date in UTC,
    None where no clock is known; `policy` says how many days matter for a sunset.
    """

    callers: tuple[Caller, ...] = ()
    is_move: bool = False
    is_unknown_error: bool = False
    sharing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    today: date | None = None
    policy: DeprecationPolicy = DEFAULT_POLICY

    @property
    def effective_callers(self) -> tuple[Caller, ...]:
        """The callers, or the one that is assumed without any."""
        return self.callers or (Caller(name=""),)

    @property
    def is_protected(self) -> bool:
        """Whether a new version cannot affect any known caller."""
        return not self.is_move and bool(self.callers) and all(caller.is_protected for caller in self.callers)
