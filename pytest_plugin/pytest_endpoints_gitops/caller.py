"""What the fixtures `endpoints` and `async_endpoints` give."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, overload

from endpoints_gitops.consumer.errors import ResultsBroken
from endpoints_gitops.model.printable import one_line
from pytest_endpoints_gitops.asking import Asker
from pytest_endpoints_gitops.attribution import noting
from pytest_endpoints_gitops.facts import CallFact
from pytest_endpoints_gitops.failures import ColumnUnknown, ContractBroken, NotPinned
from pytest_endpoints_gitops.real import real_files
from pytest_endpoints_gitops.rows import Reading, TestedRows
from pytest_endpoints_gitops.values import Answer, Call

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Pin

type Variables = Mapping[str, Any] | None


class _Caller:
    """What both have in common."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    @property
    def pins(self) -> Mapping[str, Pin]:
        """The pins of the environment, by name."""
        return self._asker.app.pins

    def version(self, name: str) -> int:
        """The pinned version that is called."""
        return self._asker.app.pin(name).version

    def _name(self, what: str | type) -> str:
        return what if isinstance(what, str) else _endpoint_of(what, self.pins)

    def _given(self, what: str | type, rows: TestedRows) -> Any:  # noqa: ANN401 - rows, or records of the caller's class
        return rows if isinstance(what, str) else [_record(what, row) for row in rows.as_dicts()]


class Endpoints(_Caller):
    """Calls what the lock pins: `endpoints("revenue_by_plan", month="2026-07")`.

    `variables` takes those whose names are no Python words, or clash. `_limit` and `_offset` ask for a page (HogQL
    only), which belongs to the call: it has a recording of its own. With a class (pydantic's model or a dataclass) in
    place of the name, the rows are of that class.
    """

    @overload
    def __call__(
        self,
        what: str,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> TestedRows: ...
    @overload
    def __call__[Row](
        self,
        what: type[Row],
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> list[Row]: ...
    def __call__(
        self,
        what: str | type,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> Any:
        with noting(self._asker.log):
            call, answer, fact = self._asker.ask(self._name(what), {**(variables or {}), **values}, (_limit, _offset))
            return self._given(what, rows_for(self._asker, call, answer, fact))


class AsyncEndpoints(_Caller):
    """As `Endpoints`, awaited, in whichever event loop the test runs: an answer that has to be waited for is waited for
    in a thread.
    """

    async def __call__(
        self,
        what: str | type,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> Any:  # noqa: ANN401 - as Endpoints
        with noting(self._asker.log):
            call, fact = self._asker.prepared(self._name(what), {**(variables or {}), **values}, (_limit, _offset))
            if self._asker.mode.is_immediate and self._asker.app.session.canary is None:
                answer = self._asker.answered(call)
            else:
                from anyio import to_thread

                answer = await to_thread.run_sync(self._asker.answered, call)
            return self._given(what, rows_for(self._asker, call, answer, fact))


def rows_for(asker: Asker, call: Call, answer: Answer, fact: CallFact) -> TestedRows:
    """Raises ContractBroken for results of an insight that are not of its kind."""
    reading = Reading(fact, lambda name: _unknown(asker, call, answer, name))
    try:
        return TestedRows.of_answer(call, answer, reading)
    except ResultsBroken as error:
        with real_files():
            details = (("received", answer.origin), ("defined", asker.app.place(call.pin)))
        raise ContractBroken(error.message, *details, command=call.command("refresh")) from None


def _unknown(asker: Asker, call: Call, answer: Answer, name: str) -> ColumnUnknown:
    """A read of a column that is not there; where another version that was recorded has it, this is what changed."""
    app, pin = asker.app, call.pin
    with real_files():
        had = app.recordings.version_with(pin.name, name, other_than=pin.version)
        place = app.place(pin)
    near = get_close_matches(name, answer.run.columns or (), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    expected = f'"{name}", which {pin.name}@{had} has' if had else f'"{name}"{meant}'
    against = f"endpoints-gitops breaking --against {pin.name}@{had} {pin.name}"
    return ColumnUnknown(
        f'{call.label}: column "{name}" is {"gone" if had else "not in the answer"}',
        ("expected", expected),
        ("received", one_line(f"{', '.join(answer.run.columns or ())}     {answer.origin}")),
        ("read by", call.test),
        ("defined", place),
        command=against if had else f"endpoints-gitops get {pin.name} --version {pin.version}",
    )


def _endpoint_of(kind: type, pins: Mapping[str, Pin]) -> str:
    """The endpoint that a class of rows belongs to: what it says itself, else its name in the spelling of endpoints."""
    said = getattr(kind, "__endpoint__", None)
    if isinstance(said, str):
        return said
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    found = next((name for name in pins if name.lower().replace("-", "_") == words), None)
    if found is None:
        raise NotPinned(
            f"{kind.__name__}: no pinned endpoint has a name like that",
            ("expected", f'a pin of {words}, or __endpoint__ = "NAME" in the class'),
            ("received", ", ".join(pin.label for pin in pins.values()) or "no pins at all"),
            ("fix", "add the endpoint to `uses`, then"),
            command="endpoints-gitops lock",
        )
    return found


def _record(kind: type, row: dict[str, Any]) -> Any:  # noqa: ANN401 - of the caller's class
    if hasattr(kind, "model_validate"):
        return kind.model_validate(row)
    if dataclasses.is_dataclass(kind):
        return kind(**{field.name: row[field.name] for field in dataclasses.fields(kind)})
    return kind(**row)
