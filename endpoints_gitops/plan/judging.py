"""Whose change a difference between file and server is, key by key (docs/whose-change.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.evidence import Evidence
from endpoints_gitops.plan.meaning import Key


class Verdict(StrEnum):
    AHEAD = "ahead"
    DRIFTED = "drifted"
    CONFLICT = "conflict"


class Presence(StrEnum):
    BOTH = "both"
    ONLY_HERE = "only_here"
    ONLY_THERE = "only_there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key in which file and server differ. `line` is where the file says it, counted from 1."""

    key: Key
    file: Json
    server: Json
    verdict: Verdict
    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One name, judged.

    `differences` are in the order of `Key`. `cosmetic`: the queries differ in form only. `gone`: there is proof that the
    endpoint was ours and the server has it no more, a conflict. `removal` is what `--prune` would do to an endpoint that
    this folder once defined. `reason` says in a line what is special: gone, recreated, created.
    `version`, `author` and `date` are of what the server has now, as far as they are known.
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
    date: str | None = None


def needs_versions(loaded: LoadedDefinition, endpoint: Endpoint, evidence: Evidence, environment: str | None) -> bool:
    """Whether the list of versions could tell more: the query differs, and the rest does not settle it as ahead."""
    raise NotImplementedError


def judge(
    loaded: LoadedDefinition | None, endpoint: Endpoint | None, evidence: Evidence, environment: str | None
) -> Judged:
    """Judge one name of which there is a definition, an endpoint, or both."""
    raise NotImplementedError
