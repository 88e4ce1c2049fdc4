"""A fact about the server: requests that are given, the one that counts, and what its answer has at least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from endpoints_gitops.model.json import Json

MARK: Final = "conformance_0000_"
"""Stands in the facts for a word of the same length that each run makes up: everything that it creates is named so."""
WAIT: Final = "WAIT"
"""The method of a step that asks for the state of a table until it is built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A request; `path` is within the project. `status` is what a given one is answered, None for any success."""

    method: str
    path: str
    body: Json = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`about` is a heading of docs/server.md, `then` what the answer has at least, and `absent` are paths in it that
    lead nowhere.

    `only_ours`: of the list that is answered, only what this run made counts. `shares_endpoints`: facts whose given
    endpoints stay for the next one. `needs` is what not every project has; `is_local` marks what the local server does
    and PostHog does not.
    """

    id: str
    about: str
    given: tuple[Step, ...]
    when: Step
    status: int
    then: Mapping[str, Json] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    first_key: str | None = None
    only_ours: bool = False
    shares_endpoints: bool = False
    needs: str | None = None
    is_local: bool = False
