"""The stubs of a test: answers that it wrote by hand, handed out in order."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from endpoints_gitops.api.answers import RunAnswer
    from endpoints_gitops.model.json import JsonObject


@dataclass(frozen=True, slots=True)
class StubbedError:
    """A refusal by the server, as it sends one."""

    status: int
    body: JsonObject
    headers: Mapping[str, str]


type StubAnswer = RunAnswer | StubbedError


@dataclass(slots=True)
class StubState:
    """The answers of one stub, and what it met.

    `variables` are those that a call must have for this stub, as JSON; none: every call of the endpoint. `requests` are
    the variables of the calls that it answered. After the last answer, that one is given again.
    """

    environment: str
    name: str
    variables: JsonObject
    is_optional: bool
    answers: list[StubAnswer] = field(default_factory=list)
    requests: list[JsonObject] = field(default_factory=list)
    used: int = 0

    def fits(self, environment: str, name: str, effective: Mapping[str, Any]) -> bool:
        """Whether it answers a call with these variables, its defaults included."""
        return (self.environment, self.name) == (environment, name) and all(
            key in effective and _same(effective[key], value) for key, value in self.variables.items()
        )

    def next(self, variables: JsonObject, *, is_continued: bool) -> StubAnswer:
        """The next answer; for a page after the first (`is_continued`) the same as before."""
        self.requests.append(variables)
        if not (is_continued and self.used):
            self.used = min(self.used + 1, len(self.answers))
        return self.answers[self.used - 1]


class StubbedCalls:
    """The stubs of one attempt of one test. Calls come from any thread."""

    def __init__(self) -> None:
        self._stubs: list[StubState] = []
        self._lock = threading.Lock()

    def add(self, stub: StubState) -> None:
        """Add a stub. It replaces an earlier one of the same endpoint and variables."""
        with self._lock:
            self._stubs = [known for known in self._stubs if not _replaces(stub, known)]
            self._stubs.append(stub)

    def answer(self, stub: StubState, answer: StubAnswer) -> None:
        """Add the answer that follows the last one of a stub."""
        with self._lock:
            stub.answers.append(answer)

    def take(
        self, environment: str, name: str, effective: Mapping[str, Any], sent: JsonObject, *, is_continued: bool
    ) -> StubAnswer | None:
        """The answer of the last stub that fits a call; None without one."""
        with self._lock:
            for stub in reversed(self._stubs):
                if stub.fits(environment, name, effective):
                    return stub.next(dict(sent), is_continued=is_continued)
        return None

    def unmet(self) -> Sequence[StubState]:
        """The stubs with an answer that no call asked for."""
        with self._lock:
            return [stub for stub in self._stubs if stub.used < len(stub.answers) and not stub.is_optional]

    def clear(self) -> None:
        with self._lock:
            self._stubs = []


def _replaces(stub: StubState, known: StubState) -> bool:
    return (stub.environment, stub.name, stub.variables) == (known.environment, known.name, known.variables)


def _same(one: object, other: object) -> bool:
    """Equality of JSON values: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
