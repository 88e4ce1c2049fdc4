"""Who calls an endpoint and what kind of change is judged: what decides how grave a difference is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from endpoints_gitops.model.pin import ReadingStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who calls the endpoint.

    `version` is the pinned one, None for a caller without a pin. `is_active` says that this version exists and can
    be run. `columns` are those that it reads, None for any of them. `is_direct`: it asks with `refresh: direct`;
    `is_typed`: it reads rows into types; `is_paging`: it asks with `limit` and `offset`.
    """

    name: str
    version: int | None = None
    is_active: bool = True
    reads: ReadingStyle = "name"
    columns: tuple[str, ...] | None = None
    is_direct: bool = False
    is_typed: bool = False
    is_paging: bool = False

    @property
    def is_protected(self) -> bool:
        """Whether a new version cannot reach it."""
        return self.version is not None and self.is_active

    def reads_column(self, name: str) -> bool:
        return self.reads == "position" or self.columns is None or name in self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """How to judge.

    Without `callers`, one is assumed that pins nothing and reads by name. `is_move`: a pin goes from one version to the
    other, so no pin protects from anything. `is_unknown_error`: what cannot be decided is an error (C112, M107).
    `sharing` are the other endpoints that use a shared variable, by its code name.
    """

    callers: tuple[Caller, ...] = ()
    is_move: bool = False
    is_unknown_error: bool = False
    sharing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def judged_for(self) -> tuple[Caller, ...]:
        """The callers whose ways of reading count."""
        return self.callers or (Caller(name=""),)

    @property
    def is_protected(self) -> bool:
        """Whether nobody who is known to call can be reached by a new version."""
        return not self.is_move and bool(self.callers) and all(one.is_protected for one in self.callers)
