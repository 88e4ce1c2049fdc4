"""The plan: the changes that a push makes, in order, each with its precondition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, get_args

from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.model.definition import BucketFunction
from endpoints_gitops.model.endpoint import InsightVariable
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.plan.diff import Attribution, Revision, explained, last_write
from endpoints_gitops.plan.settings import Key, Settings, variables_of
from endpoints_gitops.plan.variables import VariableChange


class ChangeAction(StrEnum):
    """What a change does to an endpoint. None deletes it."""

    CREATE = "create"
    UPDATE = "update"
    DEACTIVATE = "deactivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precondition:
    """The state that a change was computed against. All is None or empty where the endpoint did not exist.

    `settings` has the keys that the change writes, and those that its body repeats or depends on. The query is there
    only where it stays and says what a change in place does to callers: which variables they have to send.
    """

    endpoint_id: str | None = None
    version: int | None = None
    version_id: str | None = None
    settings: Settings = field(default_factory=dict)

    @classmethod
    def of(cls, remote: Revision, keys: Iterable[Key]) -> Precondition:
        """The state of an endpoint that a change of these keys depends on. Raises ValueError where no server has it."""
        endpoint = remote.endpoint
        if endpoint is None:
            raise ValueError(f"{remote.label} is not on a server")
        written = frozenset(keys)
        wanted = {*written, *_DEPENDED_ON} - {Key.QUERY}
        if Key.QUERY not in written and not written.isdisjoint(_ON_VARIABLES):
            wanted.add(Key.QUERY)
        return cls(
            endpoint_id=endpoint.id,
            version=endpoint.current_version,
            version_id=endpoint.current_version_id,
            settings={key: value for key, value in remote.settings.items() if key in wanted},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """One key, before and after. A query that is sent has a value for each variable that has one on the server.

    `overwrites` is the attribution of a change of the server that this replaces, None where it replaces none.
    """

    key: Key
    before: Json
    after: Json
    overwrites: Attribution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChange:
    """The change of one endpoint. `path` and `line` are those of the definition; None for an endpoint without a
    file.
    """

    name: str
    action: ChangeAction
    keys: tuple[KeyChange, ...]
    precondition: Precondition = field(default_factory=Precondition)
    path: str | None = None
    line: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def sends_query(self) -> bool:
        return any(key_change.key is Key.QUERY for key_change in self.keys)

    @property
    def cuts_a_version(self) -> bool:
        """Whether the change makes a new version: only a query does, and creating begins with version 1."""
        return self.action is not ChangeAction.CREATE and self.sends_query

    @property
    def expected_version(self) -> int:
        """The version that is current after the change if nothing else is written meanwhile."""
        before = self.precondition.version
        return 1 if before is None else before + self.cuts_a_version

    @property
    def before(self) -> Settings:
        """The server's values of the keys that are written."""
        return {key_change.key: key_change.before for key_change in self.keys}

    @property
    def after(self) -> Settings:
        """The values that are written."""
        return {key_change.key: key_change.after for key_change in self.keys}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A difference that is not written. `key` is None for the whole endpoint; `fix` says what to do.

    `version`, `author` and `date` (ISO) are of what the server has, as far as they are known.
    """

    name: str
    attribution: Attribution
    key: Key | None
    reason: str
    version: int | None = None
    author: str | None = None
    date: str | None = None
    fix: str = ""

    @property
    def explanation(self) -> str:
        """The reason, with what is known of the server's last write."""
        date = datetime.fromisoformat(self.date) if self.date else None
        return explained(self.reason, last_write(self.key, self.version, self.author, date))


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A reason why an endpoint is not written although its file is ahead: a finding that stops it.

    `code` is that of the rule, `where` the `path:line` of the finding.
    """

    name: str
    code: str
    reason: str
    where: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a push does, and what it leaves alone. `variables` come before `changes`.

    `withheld` says what is not sent because of findings; `cosmetic` names the definitions whose query differs in form
    only, which is not sent.
    """

    host: str
    project_id: int
    environment: str
    variables: tuple[VariableChange, ...] = ()
    changes: tuple[EndpointChange, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    cosmetic: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.changes or self.variables)

    @property
    def conflicts(self) -> tuple[LeftAlone, ...]:
        return tuple(left for left in self.left_alone if left.attribution is Attribution.CONFLICT)

    @property
    def idled(self) -> tuple[LeftAlone, ...]:
        """Tables that the server switched off by itself: neither drift nor conflict."""
        return tuple(left for left in self.left_alone if left.attribution is Attribution.IDLED)

    @property
    def drifted(self) -> tuple[LeftAlone, ...]:
        return tuple(left for left in self.left_alone if left.attribution is Attribution.DRIFTED)

    def exit_codes(self, *, fail_on_drift: bool = False) -> tuple[ExitCode, ...]:
        """The exit codes for what is not written, the same for `plan` and `push`."""
        codes = [ExitCode.FINDINGS] if self.withheld else []
        codes += [ExitCode.CONFLICT] if self.conflicts or (fail_on_drift and self.drifted) else []
        return tuple(codes)


_ON_VARIABLES: Final = (Key.MATERIALIZATION, Key.OPTIONAL_BREAKDOWNS)
_DEPENDED_ON: Final = (Key.ACTIVE, Key.MATERIALIZATION, Key.BUCKET_OVERRIDES)
_WIRE: Final = {
    Key.QUERY: "query",
    Key.DESCRIPTION: "description",
    Key.TAGS: "tags",
    Key.ACTIVE: "is_active",
    Key.MATERIALIZATION: "is_materialized",
    Key.FRESHNESS: "data_freshness_seconds",
    Key.OPTIONAL_BREAKDOWNS: "optional_breakdown_properties",
    Key.BUCKET_OVERRIDES: "bucket_overrides",
}


def body(change: EndpointChange, variables: Mapping[str, InsightVariable]) -> JsonObject:
    """The request body of a change: what changes and nothing else. `variables` are the project's, by code name.

    A version that is or stays materialised repeats its bucket overrides, else the server clears them
    (docs/server.md#versions). Raises UsageError where the project lacks a variable that the query says a value for, and
    for a bucket override that the server would refuse after it cut a version.
    """
    sent: dict[str, Json] = {"name": change.name} if change.action is ChangeAction.CREATE else {}
    for key_change in change.keys:
        sent[_WIRE[key_change.key]] = (
            _query(change, key_change.after, variables) if key_change.key is Key.QUERY else key_change.after
        )
    after = {**change.precondition.settings, **{key_change.key: key_change.after for key_change in change.keys}}
    overrides = after.get(Key.BUCKET_OVERRIDES)
    if after.get(Key.ACTIVE) is not False and after.get(Key.MATERIALIZATION) is True and overrides:
        sent[_WIRE[Key.BUCKET_OVERRIDES]] = overrides
    _check_buckets(change, sent.get(_WIRE[Key.BUCKET_OVERRIDES]))
    return sent


def _check_buckets(change: EndpointChange, overrides: Json) -> None:
    allowed = get_args(BucketFunction)
    wrong = [f"{column}: {value}" for column, value in _items(overrides) if value not in allowed]
    if wrong:
        raise UsageError(
            f"{change.name} has bucket_overrides that the server refuses: {', '.join(wrong)}",
            where=change.path,
            fix=f"the server takes {', '.join(allowed)}",
            code="plan.buckets",
        )


def _items(value: Json) -> Iterable[tuple[str, Json]]:
    return value.items() if isinstance(value, Mapping) else ()


def _query(change: EndpointChange, query: Json, variables: Mapping[str, InsightVariable]) -> Json:
    """The query node with its variables by the ids of this project."""
    stated = variables_of(query)
    if not stated or not isinstance(query, Mapping):
        return query
    unknown = sorted(stated.keys() - variables.keys())
    if unknown:
        raise UsageError(
            f"{change.name} says a value for {', '.join(unknown)}, and the project has no such variable",
            where=change.path,
            fix="list it under variables in the definition with its type, and push creates it",
            code="plan.variable",
        )
    return {**query, "variables": dict(_entry(variables[name], entry) for name, entry in stated.items())}


def _entry(variable: InsightVariable, stated: JsonObject) -> tuple[str, JsonObject]:
    entry: dict[str, Json] = {
        "variableId": variable.id,
        "code_name": variable.code_name,
        "value": stated["value"],
        "isNull": stated["value"] is None,
    }
    return variable.id, entry
