"""The plan: what a push would do, in order, each change with what it was computed against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.plan.judging import Judged, Verdict
from endpoints_gitops.plan.meaning import Key, Meaning
from endpoints_gitops.plan.variables import VariableChange


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DEACTIVATE = "deactivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrite:
    """What may be written over: everything that is in conflict or drifted, or single names while that version is current."""

    everything: bool = False
    versions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precondition:
    """The state that a change was computed against. All None and empty: there was no such endpoint.

    `settings` has the keys that the change writes, and those that its body repeats or depends on.
    """

    endpoint_id: str | None = None
    version: int | None = None
    version_id: str | None = None
    settings: Meaning = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    key: Key
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one endpoint. `path` and `line` are where the definition says so; None for one without a file."""

    name: str
    action: Action
    keys: tuple[KeyChange, ...]
    precondition: Precondition = Precondition()
    path: str | None = None
    line: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A difference that is not written. `key` is None where the whole endpoint is meant; `fix` is a command."""

    name: str
    verdict: Verdict
    key: Key | None
    reason: str
    version: int | None = None
    author: str | None = None
    date: str | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a push does, and what it leaves alone. `variables` come before `changes`; `cosmetic` are names."""

    host: str
    project_id: int
    environment: str
    variables: tuple[VariableChange, ...] = ()
    changes: tuple[Change, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()
    cosmetic: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.changes or self.variables)

    @property
    def conflicts(self) -> tuple[LeftAlone, ...]:
        return tuple(one for one in self.left_alone if one.verdict is Verdict.CONFLICT)

    @property
    def drifted(self) -> tuple[LeftAlone, ...]:
        return tuple(one for one in self.left_alone if one.verdict is Verdict.DRIFTED)


def make_plan(
    judged: Iterable[Judged],
    variables: Iterable[VariableChange],
    *,
    host: str,
    project_id: int,
    environment: str,
    overwrite: Overwrite = Overwrite(),
    prune: frozenset[str] | None = None,
    allow_cosmetic: bool = False,
    shared_variables: bool = False,
) -> Plan:
    """The plan for what was judged.

    `prune` has the names that may be deactivated (defined once and now no more, not protected, not renamed from); None
    without `--prune`. Raises UsageError where `overwrite` names what was not judged.
    """
    raise NotImplementedError


def body(change: Change, variables: Mapping[str, InsightVariable]) -> JsonObject:
    """The request body of a change: what changes and nothing else, with the ids of the project's variables.

    A version that is or stays materialised repeats its bucket overrides, else the server clears them
    (docs/server.md#versions). Raises UsageError where a variable is not there.
    """
    raise NotImplementedError


def holds(precondition: Precondition, endpoint: Endpoint | None) -> tuple[Key, ...]:
    """The keys in which the server is no more what the change was computed against; empty where it may be written."""
    raise NotImplementedError
