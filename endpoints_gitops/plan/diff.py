"""One endpoint on two sides, compared key by key: `Revision` is one side, `EndpointDiff` both with their differences.

`Snapshot` is the server, read once. The settings of a revision are derived when it is made, and everything that needs
them takes the revision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.evidence import Provenance, Recorded
from endpoints_gitops.plan.lineage import Lineage
from endpoints_gitops.plan.settings import (
    SERVER_DEFAULTS,
    Key,
    Settings,
    definition_settings,
    endpoint_settings,
    is_cosmetic,
    line_of,
    line_of_variable,
    same,
    variables_of,
)

if TYPE_CHECKING:
    from endpoints_gitops.contract.contract import Contract

_OF_THE_TABLE: Final = (Key.MATERIALIZATION, Key.BUCKET_OVERRIDES)


class Attribution(StrEnum):
    """Which side changed a key."""

    AHEAD = "ahead"
    """The file has something new; the server has what is known to be older."""
    DRIFTED = "drifted"
    """The server changed; the file has nothing new."""
    CONFLICT = "conflict"
    """Both changed, or that cannot be known."""
    IDLED = "idled"
    """The server switched an unused table off by itself."""


class Presence(StrEnum):
    """Which sides have an endpoint."""

    BOTH = "both"
    ONLY_LOCAL = "only_here"
    ONLY_REMOTE = "only_there"


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One state of one endpoint: a definition, an endpoint of a server, a pin, or what a plan writes.

    `label` names it for a reader. `version` is the server's number, `loaded` the definition and `endpoint` the server's
    answer, where the revision comes from one. `build_contract` builds `contract` when it is first used.
    """

    label: str
    settings: Settings
    version: int | None = None
    loaded: LoadedDefinition | None = None
    endpoint: Endpoint | None = None
    build_contract: Callable[[], Contract] | None = None

    @classmethod
    def local(
        cls,
        loaded: LoadedDefinition,
        environment: str | None,
        variables: Mapping[str, InsightVariable] | None = None,
    ) -> Self:
        """The revision of a definition in an environment. `variables` are the project's by code name, where known."""

        def contract() -> Contract:
            from endpoints_gitops.contract.build import from_definition

            return from_definition(loaded, environment, variables)

        settings = definition_settings(loaded, environment)
        return cls(label=loaded.path, settings=settings, loaded=loaded, build_contract=contract)

    @cached_property
    def contract(self) -> Contract:
        """What callers can rely on. Raises ValueError where the revision was made without `build_contract`."""
        if self.build_contract is None:
            raise ValueError(f"{self.label} has no contract")
        return self.build_contract()


@dataclass(frozen=True, kw_only=True)
class ServerRevision(Revision):
    """An endpoint, or one of its versions, as a server answered."""

    endpoint: Endpoint

    @classmethod
    def of(cls, endpoint: Endpoint, variables: Mapping[str, InsightVariable] | None = None) -> Self:
        """The revision of an answer. `variables` are the project's by id, where known."""

        def contract() -> Contract:
            from endpoints_gitops.contract.build import from_version

            return from_version(endpoint, variables)

        number = endpoint.version if isinstance(endpoint, EndpointVersion) else endpoint.current_version
        return cls(
            label=f"server, version {number}",
            settings=endpoint_settings(endpoint),
            version=number,
            endpoint=endpoint,
            build_contract=contract,
        )

    @property
    def current_version(self) -> int:
        """The version that is current on the server."""
        return self.endpoint.current_version


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The server of one environment, read once: all its endpoints by name, and its shared variables.

    `variables` is empty where nothing that is compared uses any, as they are not read then.
    """

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    variables: tuple[InsightVariable, ...] = ()
    _revisions: dict[str, ServerRevision] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def variables_by_code_name(self) -> Mapping[str, InsightVariable]:
        return {variable.code_name: variable for variable in self.variables}

    @cached_property
    def variables_by_id(self) -> Mapping[str, InsightVariable]:
        return {variable.id: variable for variable in self.variables}

    def revision(self, name: str) -> ServerRevision | None:
        """The endpoint of that name, its settings derived once; None where the server has none."""
        endpoint = self.endpoints.get(name)
        if endpoint is not None and name not in self._revisions:
            self._revisions[name] = ServerRevision.of(endpoint, self.variables_by_id)
        return self._revisions.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDiff:
    """One key in which two sides differ; None for a side that does not state it. `line` is where the file states it.

    `attribution.attribute` sets `attribution` and `reason`, and `fix` where something else helps than deciding for one
    side. `is_known` is False for a conflict that only means that the change cannot be attributed. `follows` is the key
    with which the server takes this one, which does not differ by itself.
    """

    key: Key
    local: Json
    remote: Json
    attribution: Attribution | None = None
    reason: str = ""
    line: int | None = None
    fix: str = ""
    is_known: bool = True
    follows: Key | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedKey:
    """A key that the file managed until a commit and leaves alone now, where the server still has a value.

    `commit` is the last one that managed it, `remote` the value that stays.
    """

    key: Key
    remote: Json
    commit: str

    @property
    def message(self) -> str:
        """What happened, in a sentence without the name of the endpoint."""
        kept = json.dumps(self.remote, ensure_ascii=False)
        return f"{self.key} was managed until {self.commit[:7]}; the server keeps {kept}"


@dataclass(frozen=True, kw_only=True)
class EndpointDiff:
    """One endpoint on two sides, and the keys in which they differ, in the order of `Key`.

    `local` is the definition, or what takes its place; `remote` is what it is compared with; None is a side that does
    not have the endpoint. `evidence` attributes the differences. `attribution.attribute` sets the rest: `is_missing`
    means that the server no longer has the endpoint, a conflict; `removal` is what `--prune` would do to an active
    endpoint that this folder once defined; `note` says in a line that it is new, missing or recreated; `dropped` are
    the keys that the file once managed.
    """

    name: str
    environment: str | None = None
    local: Revision | None = None
    remote: Revision | None = None
    evidence: Provenance = field(default_factory=Provenance)
    differences: tuple[KeyDiff, ...] = ()
    is_missing: bool = False
    removal: KeyDiff | None = None
    note: str = ""
    dropped: tuple[DroppedKey, ...] = ()

    @property
    def presence(self) -> Presence:
        if self.local is None:
            return Presence.ONLY_REMOTE
        return Presence.BOTH if self.remote is not None else Presence.ONLY_LOCAL

    @property
    def loaded(self) -> LoadedDefinition | None:
        """The definition of the local side."""
        return self.local.loaded if self.local else None

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint as the remote side's server has it."""
        return self.remote.endpoint if self.remote else None

    @property
    def local_settings(self) -> Settings:
        """The settings of the local side; none where it does not have the endpoint."""
        return self.local.settings if self.local else {}

    @property
    def remote_settings(self) -> Settings:
        """The settings of the remote side; none where it does not have the endpoint."""
        return self.remote.settings if self.remote else {}

    @property
    def updated_at(self) -> datetime | None:
        """When the server's endpoint was last written to, where the server says so."""
        return self.endpoint.updated_at if self.endpoint else None

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys that differ."""
        return tuple(difference.key for difference in self.differences)

    @cached_property
    def is_cosmetic(self) -> bool:
        """Whether the queries differ in form only."""
        if self.local is None or self.remote is None:
            return False
        return is_cosmetic(self.local.settings.get(Key.QUERY), self.remote.settings.get(Key.QUERY))

    @cached_property
    def unmanaged(self) -> tuple[Key, ...]:
        """The keys that the file leaves alone and in which the other side has another value than the default."""
        if self.local is None or self.local.loaded is None or self.remote is None:
            return ()
        local, remote = self.local.settings, self.remote.settings
        defaults = SERVER_DEFAULTS.items()
        return tuple(
            key for key, default in defaults if key not in local and not same(key, remote.get(key, default), default)
        )

    @property
    def record(self) -> Recorded | None:
        """The record's entry of this same endpoint; None where that is of another one with the same name."""
        record, endpoint = self.evidence.record, self.endpoint
        is_same = record is not None and endpoint is not None and record.endpoint_id == endpoint.id
        return record if is_same else None

    @property
    def base(self) -> Settings:
        """The settings that the server had when this checkout last pulled or pushed; empty where it never did."""
        return self.record.server if self.record else {}

    @cached_property
    def lineage(self) -> Lineage | None:
        """The states of the definition in git, the file last; None where history is unavailable."""
        return Lineage.of(self.evidence, self.local.settings) if self.local else None

    @property
    def current_version(self) -> EndpointVersion | None:
        """The current version in the list of versions, where that was read."""
        number = self.endpoint.current_version if self.endpoint else None
        return next((version for version in self.evidence.versions or () if version.version == number), None)

    @property
    def version(self) -> int | None:
        """The current version on the server; of an endpoint that it does not have, the last recorded one."""
        if self.endpoint is not None:
            return self.endpoint.current_version
        return self.evidence.record.version if self.evidence.record else None

    @property
    def author(self) -> str | None:
        """Who made the current version, where the queries differ and that is known."""
        made = self.current_version if Key.QUERY in self.keys else None
        return made.version_created_by.label if made and made.version_created_by else None

    def explanation(self, difference: KeyDiff) -> str:
        """The reason of the attribution of a difference, with what is known of the server's last write."""
        date = self.date if difference.key is Key.QUERY else self.updated_at
        return explained(difference.reason, last_write(difference.key, self.version, self.author, date))

    @property
    def date(self) -> datetime | None:
        """When the current version was made, where the queries differ; else when the endpoint was last written to."""
        made = self.current_version if Key.QUERY in self.keys else None
        return (made.version_created_at if made else None) or self.updated_at


def explained(reason: str, last_write: str) -> str:
    """A reason, with what is known of the server's last write."""
    return f"{reason} (server: {last_write})" if last_write else reason


def last_write(key: Key | None, version: int | None, author: str | None, date: datetime | None) -> str:
    """The version that the server has, and when it was last written to; of a query also by whom, as far as known.

    Empty for a whole endpoint (`key` is None), and where nothing is known.
    """
    if key is None:
        return ""
    is_query = key is Key.QUERY
    made = f"version {version}{f' by {author}' if author and is_query else ''}" if version else ""
    when = f"{'' if is_query else 'last written to '}{date:%Y-%m-%d}" if date else ""
    return ", ".join(filter(None, (made, when)))


def compare_revisions(
    name: str, local: Revision | None, remote: Revision | None, *, environment: str | None = None
) -> EndpointDiff:
    """Both sides of one endpoint with the keys in which their settings differ, not attributed yet.

    A server states every key, and a file may leave some alone, which is no difference; between two files it is one.
    Raises ValueError where neither side has the endpoint.
    """
    if local is None and remote is None:
        raise ValueError("there is nothing to compare")
    differences = _differences(local, remote, environment) if local and remote else ()
    return EndpointDiff(name=name, environment=environment, local=local, remote=remote, differences=differences)


def _differences(local: Revision, remote: Revision, environment: str | None) -> tuple[KeyDiff, ...]:
    ours, theirs = local.settings, remote.settings
    compared = ours.keys() & theirs.keys() if remote.loaded is None else ours.keys() | theirs.keys()
    ignored = _OF_THE_TABLE if ours.get(Key.ACTIVE) is False else ()  # an inactive endpoint has no table
    return tuple(
        key_diff(key, local, theirs.get(key), environment)
        for key in Key
        if key in compared
        and key not in ignored
        and not (key in ours and key in theirs and same(key, ours[key], theirs[key]))
    )


def key_diff(key: Key, local: Revision, remote: Json, environment: str | None) -> KeyDiff:
    """The difference in one key, with the line of the file that states it."""
    line = _line(key, local, remote, environment) if local.loaded is not None else None
    return KeyDiff(key=key, local=local.settings.get(key), remote=remote, line=line)


def _line(key: Key, local: Revision, remote: Json, environment: str | None) -> int | None:
    """The line of the file that states a key; for a query in which only a default differs, that of the default."""
    loaded = local.loaded
    assert loaded is not None, "only files have lines"
    if key is Key.QUERY:
        query, theirs = local.settings.get(key), variables_of(remote)
        changed = [name for name, value in variables_of(query).items() if theirs.get(name) != value]
        without = {**(query if isinstance(query, Mapping) else {}), "variables": theirs}
        if changed and same(key, without, remote):
            line = line_of_variable(changed[0], loaded)
            return line if line is not None else line_of(key, loaded, environment)
    return line_of(key, loaded, environment)
