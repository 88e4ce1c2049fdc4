"""A fact about the server: preparing requests, the tested request, and what its answer must contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from endpoints_gitops.model.json import Json

MARK: Final = "conformance_0000_"
"""The placeholder in facts for the random prefix of a run, which has the same length and starts every name it
creates."""
WAIT: Final = "WAIT"
"""The method of a step that waits until a table is built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A request; `path` is relative to the project. `status` is the expected status of a preparing one, None for any
    2xx."""

    method: str
    path: str
    body: Json = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact. `about` is a heading of docs/server.md, `given` are preparing requests, `when` is the tested one, `then`
    is what the answer must contain, and `absent` are paths that it must not contain.

    `only_ours`: of a list in the answer, only the items that this run created are compared. `shares_endpoints`: the
    prepared endpoints are kept for the next fact. `needs` names a feature that not every project has; `is_local` marks
    behavior of the local server that PostHog does not have.
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
