"""The evidence of an endpoint beside its two sides: operations gather it, `attribution` reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.plan.settings import Key, Settings, same

_MOST_SUPERSEDED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWrites:
    """What this checkout's own pulls and pushes wrote.

    `pushed` has the values that pushes wrote to the server while HEAD was at `commit`, `pulled` those that pulls wrote
    to the file meanwhile, as the file stated them afterwards. `version` and `updated_at` are the server's after the
    last push, whatever the commit; `version` only of a push that wrote a query.
    """

    commit: str
    pushed: Settings = field(default_factory=dict)
    pulled: Settings = field(default_factory=dict)
    version: int | None = None
    updated_at: datetime | None = None

    def as_json(self) -> JsonObject:
        return {
            "commit": self.commit,
            "pushed": {str(key): value for key, value in self.pushed.items()},
            "pulled": {str(key): value for key, value in self.pulled.items()},
            "version": self.version,
            "updated_at": self.updated_at.isoformat() if self.updated_at else None,
        }

    @classmethod
    def from_json(cls, entry: Json) -> Self:
        """Raises TypeError, KeyError or ValueError for an entry of another shape."""
        if not isinstance(entry, Mapping):
            raise TypeError(entry)
        version, updated_at = entry["version"], entry["updated_at"]
        return cls(
            commit=_text(entry["commit"]),
            pushed=_read_settings(entry["pushed"]),
            pulled=_read_settings(entry["pulled"]),
            version=None if version is None else _number(version),
            updated_at=None if updated_at is None else datetime.fromisoformat(_text(updated_at)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The record's entry for one endpoint after the last pull or push of this checkout.

    `server` and `file` are the settings of both sides then. `superseded` has, oldest first, the values that a pull or
    push of this checkout replaced: a file that states one again is probably an old file. `at` is the time of the entry;
    `kept` has the earlier time of keys that differed then and keep their earlier values. `own` is what the pulls and
    pushes of this checkout wrote, None outside of git.
    """

    endpoint_id: str
    version: int
    version_id: str | None
    server: Settings
    file: Settings
    superseded: Mapping[Key, tuple[Json, ...]] = field(default_factory=dict)
    at: datetime | None = None
    kept: Mapping[Key, datetime] = field(default_factory=dict)
    own: OwnWrites | None = None

    def agreed_at(self, key: Key) -> datetime | None:
        """The time of the values that the entry has for this key."""
        return self.kept.get(key, self.at)

    def as_json(self) -> JsonObject:
        return {
            "endpoint_id": self.endpoint_id,
            "version": self.version,
            "version_id": self.version_id,
            "server": {str(key): value for key, value in self.server.items()},
            "file": {str(key): value for key, value in self.file.items()},
            "superseded": {key: list(values) for key, values in self.superseded.items()},
            "at": self.at.isoformat() if self.at else None,
            "kept": {key: timestamp.isoformat() for key, timestamp in self.kept.items()},
            "own": self.own.as_json() if self.own else None,
        }

    @classmethod
    def from_json(cls, entry: JsonObject) -> Self | None:
        """The entry; None where it is not valid: the record is a cache, and without it history is read."""
        at, version_id, version = entry.get("at"), entry.get("version_id"), entry.get("version")
        own = entry.get("own")
        try:
            return cls(
                endpoint_id=_text(entry["endpoint_id"]),
                version=_number(version),
                version_id=None if version_id is None else _text(version_id),
                server=_read_settings(entry["server"]),
                file=_read_settings(entry["file"]),
                superseded={
                    key: _values(values) for key, values in _read_settings(entry.get("superseded", {})).items()
                },
                at=None if at is None else _timestamp(at),
                kept={key: _timestamp(value) for key, value in _read_settings(entry.get("kept", {})).items()},
                own=None if own is None else OwnWrites.from_json(own),
            )
        except (KeyError, TypeError, ValueError):
            return None


def recorded(
    previous: Recorded | None,
    *,
    endpoint: Endpoint,
    server: Settings,
    file: Settings,
    at: datetime,
    server_before: Settings | None = None,
    file_before: Settings | None = None,
    settled: Collection[Key] = (),
    head: str | None = None,
    pushed: Collection[Key] = (),
    pulled: Collection[Key] = (),
) -> Recorded:
    """The entry for an endpoint after a pull or push.

    `server` and `file` are the settings of both sides at the time `at`, which has a zone. `server_before` is what a
    push replaced, `file_before` what a pull replaced. A key in which both sides still differ keeps its earlier values,
    else drift that was left alone would pass for our own write the next time. `settled` has the keys for which the user
    chose the file (`pull --mine`). `head` is the commit of HEAD, `pushed` and `pulled` are the keys that were written.
    """
    known = previous if previous is not None and previous.endpoint_id == endpoint.id else None
    apart = {key for key in file.keys() & server.keys() if not same(key, file[key], server[key])} - {*settled}
    old = [known.server, known.file] if known else []
    gone = [*old, *(before for before in (server_before, file_before) if before is not None)]
    return Recorded(
        endpoint_id=endpoint.id,
        version=endpoint.current_version,
        version_id=endpoint.current_version_id,
        server=_kept(server, known.server if known else {}, apart),
        file=_kept(file, known.file if known else {}, apart),
        superseded=_superseded(known, gone, (server, file)),
        at=at,
        kept={key: timestamp for key in apart if known and (timestamp := known.agreed_at(key))},
        own=_own_writes(
            known.own if known else None,
            head,
            endpoint,
            pushed={key: server[key] for key in pushed if key in server},
            pulled={key: file[key] for key in pulled if key in file},
        ),
    )


def _own_writes(
    known: OwnWrites | None, head: str | None, endpoint: Endpoint, *, pushed: Settings, pulled: Settings
) -> OwnWrites | None:
    """The own writes after a push or pull. What was pulled before a push stays: a later edit has to contain it."""
    if head is None or not (pushed or pulled):
        return known
    earlier = known if known is not None and known.commit == head else OwnWrites(commit=head)
    version = known.version if known else None
    updated_at = known.updated_at if known else None
    return OwnWrites(
        commit=head,
        pushed={**{key: value for key, value in earlier.pushed.items() if key not in pulled}, **pushed},
        pulled={**earlier.pulled, **pulled},
        version=endpoint.current_version if Key.QUERY in pushed else version,
        updated_at=endpoint.updated_at if pushed else updated_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSettings:
    """The definition after one commit of its history; `settings` is None where it was missing or did not load.

    `supersedes` is the version that it superseded then.
    """

    settings: Settings | None
    committed_at: datetime
    commit: str
    readable: bool = True
    supersedes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHistory:
    """Why the history of a definition is unavailable, and the fix."""

    reason: str
    fix: str

    @classmethod
    def of(cls, error: EndpointsError) -> Self:
        """The reason that an error gives."""
        assert error.fix is not None, "every cause has its fix"
        return cls(reason=error.message, fix=error.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Everything that attributes a difference to the file or the server.

    `history` is newest first, None where it is unavailable, and `without_history` says why; `visible` is the part of it
    that a shallow clone has. `versions` is None until they are listed. `head` is the commit of HEAD. `is_dirty`: the
    file differs from HEAD. `is_pinned`: a lock names this endpoint, so it existed. `now` is the time, None where idle
    tables do not matter. `base` has the settings at the merge base where a branch is reviewed.
    """

    record: Recorded | None = None
    history: tuple[PastSettings, ...] | None = None
    without_history: NoHistory | None = None
    visible: tuple[PastSettings, ...] | None = None
    head: str | None = None
    versions: tuple[EndpointVersion, ...] | None = None
    is_dirty: bool = False
    is_pinned: bool = False
    now: datetime | None = None
    base: Settings = field(default_factory=dict)

    @property
    def commits(self) -> tuple[PastSettings, ...]:
        """The states of the definition in the commits that this clone has, newest first."""
        return (self.visible or ()) if self.history is None else self.history

    @property
    def is_tracked(self) -> bool:
        """Whether a commit behind HEAD has the definition, as far as this clone has them; True where git has commits
        and cannot read them.
        """
        is_unreadable = self.head is not None and self.history is None and self.visible is None
        return is_unreadable or any(past.settings is not None or not past.readable for past in self.commits)


def _kept(now: Settings, before: Settings, apart: Collection[Key]) -> Settings:
    """The settings now, and for keys in which both sides differ those of the earlier entry."""
    source = {key: before if key in apart else now for key in Key}
    return {key: settings[key] for key, settings in source.items() if key in settings}


def _superseded(
    known: Recorded | None, gone: Iterable[Settings], now: tuple[Settings, ...]
) -> Mapping[Key, tuple[Json, ...]]:
    old = {key: [*(known.superseded.get(key, ()) if known else ())] for key in Key}
    for settings in gone:
        for key, value in settings.items():
            old[key].append(value)
    left = {
        key: _distinct(key, values, [settings[key] for settings in now if key in settings])
        for key, values in old.items()
    }
    return {key: values for key, values in left.items() if values}


def _distinct(key: Key, old: Sequence[Json], present: Sequence[Json]) -> tuple[Json, ...]:
    """The old values, each once, without those that are current; the newest are kept."""
    kept: list[Json] = []
    for value in reversed(old):
        if not any(same(key, value, other) for other in (*present, *kept)):
            kept.append(value)
    return tuple(reversed(kept[:_MOST_SUPERSEDED]))


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(value)


def _timestamp(value: Json) -> datetime:
    timestamp = datetime.fromisoformat(_text(value))
    if timestamp.tzinfo is None:
        raise ValueError(value)
    return timestamp


def _number(value: Json) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(value)


def _values(value: Json) -> tuple[Json, ...]:
    if isinstance(value, list):
        return tuple(value)
    raise TypeError(value)


def _read_settings(value: Json) -> Settings:
    """Keys of another release are left out."""
    if not isinstance(value, Mapping):
        raise TypeError(value)
    known = {str(key): key for key in Key}
    return {known[name]: item for name, item in value.items() if name in known}
