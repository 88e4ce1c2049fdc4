"""Each name judged: file and server compared key by key, and of every difference whose change it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.evidence import Evidence
from endpoints_gitops.plan.meaning import (
    SERVER_DEFAULTS,
    Key,
    Meaning,
    is_cosmetic,
    line_of,
    line_of_variable,
    of_definition,
    of_endpoint,
    same,
    variables_of,
)
from endpoints_gitops.plan.verdicts import Case, Finding, Verdict

__all__ = ["Difference", "Judged", "Presence", "Verdict", "judge", "needs_versions"]

_OF_THE_TABLE: Final = (Key.MATERIALIZATION, Key.BUCKET_OVERRIDES)


class Presence(StrEnum):
    """On which side there is something of a name."""

    BOTH = "both"
    ONLY_HERE = "only_here"
    ONLY_THERE = "only_there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key in which file and server differ. `line` is where the file says it, counted from 1.

    `fix` is there where something else helps than deciding for one side. `is_known` is False of a conflict that only
    says that nobody can tell.
    """

    key: Key
    file: Json
    server: Json
    verdict: Verdict
    reason: str
    line: int | None = None
    fix: str = ""
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedKey:
    """A key that the file managed until a commit and leaves alone now, where the server still has a value of its own.

    `commit` is the last one that managed it, `server` the value that stays.
    """

    key: Key
    server: Json
    commit: str

    @property
    def message(self) -> str:
        kept = json.dumps(self.server, ensure_ascii=False)
        return f"{self.key} was managed until {self.commit[:7]}; the server keeps {kept}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One name, judged.

    `differences` are in the order of `Key`. `cosmetic`: the queries differ in form only. `gone`: there is proof that
    the endpoint was ours and the server has it no more, a conflict. `removal` is what `--prune` would do to an active
    endpoint that this folder once defined. `reason` says in a line what is special: new, gone, made anew.
    `version`, `author` and `date` are of what the server has now, as far as they are known. `unmanaged` are the keys
    that the file leaves alone and in which the server has no default; `dropped` are those that it once managed.
    """

    name: str
    presence: Presence
    loaded: LoadedDefinition | None = None
    endpoint: Endpoint | None = None
    differences: tuple[Difference, ...] = ()
    cosmetic: bool = False
    gone: bool = False
    removal: Difference | None = None
    reason: str = ""
    version: int | None = None
    author: str | None = None
    date: datetime | None = None
    unmanaged: tuple[Key, ...] = ()
    dropped: tuple[DroppedKey, ...] = ()


def needs_versions(judged: Judged) -> bool:
    """Whether the list of versions tells more: the query differs, and nothing else proves it to be ahead; or a table is
    off, and only the calls of its own version say whether it was idle.

    Where nothing can prove it any more, the list still says who made what is left alone, and when.
    """
    return any(
        (one.key is Key.QUERY and one.verdict is not Verdict.AHEAD) or _may_be_idle(one) for one in judged.differences
    )


def _may_be_idle(difference: Difference) -> bool:
    is_off = difference.key is Key.MATERIALIZATION and difference.file is True
    return is_off and difference.verdict in (Verdict.DRIFTED, Verdict.CONFLICT)


def judge(
    loaded: LoadedDefinition | None, endpoint: Endpoint | None, evidence: Evidence, environment: str | None
) -> Judged:
    """Judge one name of which there is a definition, an endpoint, or both. `environment` lays its settings over."""
    if loaded is not None and endpoint is not None:
        return _both(loaded, endpoint, evidence, environment)
    if loaded is not None:
        return _only_here(loaded, evidence)
    if endpoint is not None:
        return _only_there(endpoint, evidence)
    raise ValueError("there is nothing to judge")


def _case(loaded: LoadedDefinition, endpoint: Endpoint, evidence: Evidence, environment: str | None) -> Case:
    return Case(
        file=of_definition(loaded, environment),
        server=of_endpoint(endpoint),
        endpoint=endpoint,
        evidence=evidence,
        supersedes=loaded.definition.supersedes,
    )


def _both(loaded: LoadedDefinition, endpoint: Endpoint, evidence: Evidence, environment: str | None) -> Judged:
    case = _case(loaded, endpoint, evidence, environment)
    found = {key: case.find(key) for key in _differing(case)}
    found |= _followers(case, found)
    made = case.version if Key.QUERY in found else None
    return Judged(
        name=loaded.name,
        presence=Presence.BOTH,
        loaded=loaded,
        endpoint=endpoint,
        differences=tuple(_difference(case, key, found[key], loaded, environment) for key in Key if key in found),
        cosmetic=is_cosmetic(case.file[Key.QUERY], case.server[Key.QUERY]),
        reason=_made_anew(evidence, endpoint),
        version=endpoint.current_version,
        author=_author(made),
        date=(made.version_created_at if made else None) or endpoint.updated_at,
        unmanaged=unmanaged(case.file, case.server),
        dropped=tuple(_dropped(case)),
    )


def unmanaged(file: Meaning, server: Meaning) -> tuple[Key, ...]:
    """The keys that the file leaves alone and in which the server has another value than its default."""
    defaults = SERVER_DEFAULTS.items()
    return tuple(
        key for key, default in defaults if key not in file and not same(key, server.get(key, default), default)
    )


def _dropped(case: Case) -> Iterator[DroppedKey]:
    states = [past for past in case.evidence.commits if past.meaning is not None]
    for key in unmanaged(case.file, case.server):
        last = next((past for past in states if past.meaning is not None and key in past.meaning), None)
        if last is not None:
            yield DroppedKey(key=key, server=case.server[key], commit=last.commit)


def _differing(case: Case) -> Iterator[Key]:
    """In an endpoint that the file wants inactive, materialisation has no meaning."""
    ignored = _OF_THE_TABLE if case.file.get(Key.ACTIVE) is False else ()
    for key in Key:
        compared = key in case.file and key in case.server and key not in ignored
        if compared and not same(key, case.file[key], case.server[key]):
            yield key


def _followers(case: Case, found: dict[Key, Finding]) -> dict[Key, Finding]:
    """What the server gets with another key only: a table with activation, its buckets with the table."""
    followers: dict[Key, Finding] = {}
    active = found.get(Key.ACTIVE)
    if active and case.file[Key.ACTIVE] is True and case.file.get(Key.MATERIALIZATION) is True:
        reason = f"comes with {Key.ACTIVE}: {active.reason}"
        followers[Key.MATERIALIZATION] = Finding(verdict=active.verdict, reason=reason, is_known=active.is_known)
    table = followers.get(Key.MATERIALIZATION) or found.get(Key.MATERIALIZATION)
    if table and case.file[Key.MATERIALIZATION] is True and case.file.get(Key.BUCKET_OVERRIDES):
        reason = f"comes with {Key.MATERIALIZATION}: {table.reason}"
        followers[Key.BUCKET_OVERRIDES] = replace(table, reason=reason)
    return followers


def _difference(
    case: Case, key: Key, finding: Finding, loaded: LoadedDefinition, environment: str | None
) -> Difference:
    server = case.server[key] if key in case.server else SERVER_DEFAULTS[key]
    return Difference(
        key=key,
        file=case.file[key],
        server=server,
        verdict=finding.verdict,
        reason=finding.reason,
        line=_line(key, case.file, server, loaded, environment),
        fix=finding.fix,
        is_known=finding.is_known,
    )


def _line(key: Key, file: Meaning, server: Json, loaded: LoadedDefinition, environment: str | None) -> int | None:
    """Of a query in which only a default differs, the line of that default."""
    if key is Key.QUERY:
        theirs = variables_of(server)
        changed = [name for name, value in variables_of(file[key]).items() if theirs.get(name) != value]
        without = {**_mapping(file[key]), "variables": theirs}
        if changed and same(key, without, server):
            line = line_of_variable(changed[0], loaded)
            return line if line is not None else line_of(key, loaded, environment)
    return line_of(key, loaded, environment)


def _mapping(value: Json) -> dict[str, Json]:
    return dict(value) if isinstance(value, dict) else {}


def _made_anew(evidence: Evidence, endpoint: Endpoint) -> str:
    record = evidence.record
    if record is None or record.endpoint_id == endpoint.id:
        return ""
    return "the endpoint was deleted and made anew since this checkout last pulled or pushed it"


def _author(version: EndpointVersion | None) -> str | None:
    return version.version_created_by.label if version and version.version_created_by else None


def _only_here(loaded: LoadedDefinition, evidence: Evidence) -> Judged:
    record = evidence.record
    if record is not None:
        reason = (
            f"the endpoint was there when this checkout last pulled or pushed it (version {record.version}), now gone"
        )
    elif evidence.is_pinned:
        reason = "a lock pins a version of this endpoint, and the endpoint is gone"
    else:
        reason = "the server has no such endpoint: it is created, at version 1"
    gone = record is not None or evidence.is_pinned
    return Judged(
        name=loaded.name,
        presence=Presence.ONLY_HERE,
        loaded=loaded,
        gone=gone,
        reason=reason,
        version=record.version if record else None,
    )


def _only_there(endpoint: Endpoint, evidence: Evidence) -> Judged:
    finding = _removal(endpoint, evidence) if endpoint.is_active else None
    removal = None
    if finding is not None:
        removal = Difference(key=Key.ACTIVE, file=False, server=True, verdict=finding.verdict, reason=finding.reason)
    return Judged(
        name=endpoint.name,
        presence=Presence.ONLY_THERE,
        endpoint=endpoint,
        removal=removal,
        reason=_made_anew(evidence, endpoint),
        version=endpoint.current_version,
        date=endpoint.updated_at,
    )


def _removal(endpoint: Endpoint, evidence: Evidence) -> Finding | None:
    """Whether the endpoint still is what this folder defined; None where no commit ever did."""
    last = next((past for past in evidence.history or () if past.meaning is not None), None)
    if last is None or last.meaning is None:
        return None
    record, server = evidence.record, of_endpoint(endpoint)
    fits = record is not None and record.endpoint_id == endpoint.id
    known = (last.meaning, record.server) if record is not None and fits else (last.meaning,)
    moved = [
        key
        for key in Key
        if key in server and any(key in one and not same(key, one[key], server[key]) for one in known)
    ]
    if _made_anew(evidence, endpoint):
        return Finding(verdict=Verdict.CONFLICT, reason="no file defines it any more, and it was made anew since")
    if moved:
        return Finding(
            verdict=Verdict.CONFLICT,
            reason=f"no file defines it any more, but the server moved since one did: {', '.join(moved)}",
        )
    return Finding(verdict=Verdict.AHEAD, reason=f"no file defines it any more; commit {last.commit[:7]} was the last")
