"""A whole contract suite in one line: a case for each pinned endpoint and example of the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from endpoints_gitops.codecs.recording import file_of
from endpoints_gitops.model.json import canonical
from endpoints_gitops.model.pin import Pin, PinnedExample
from pytest_endpoints_gitops.asking import Asker
from pytest_endpoints_gitops.attribution import noting
from pytest_endpoints_gitops.caller import rows_for
from pytest_endpoints_gitops.comparing import difference
from pytest_endpoints_gitops.config import DEFAULT
from pytest_endpoints_gitops.failures import ExampleMissing, Failure, NotPinned, RowsDiffer
from pytest_endpoints_gitops.real import real_files
from pytest_endpoints_gitops.session import session_of

if TYPE_CHECKING:
    from pytest_endpoints_gitops.rows import TestedRows

_NOTHING: Final = ("", 0)

type Which = tuple[str, int | None]
"""The name of an endpoint, and which of its examples; None: it has none."""


@dataclass(frozen=True, slots=True)
class EndpointCase:
    """One pinned endpoint with one example; None for a version that has none: it is called with defaults."""

    asker: Asker
    pin: Pin
    example: PinnedExample | None

    @property
    def name(self) -> str:
        return self.pin.name

    @property
    def version(self) -> int:
        return self.pin.version

    @property
    def variables(self) -> Mapping[str, Any]:
        return self.example.variables if self.example else {}

    def check(self) -> TestedRows:
        """Call it, hold the answer to the contract, and the rows to those of the example where it has any."""
        with noting(self.asker.log), real_files():
            self._must_be_callable()
            call, answer, fact = self.asker.ask(self.pin.name, self.variables)
            if self.example is not None and self.example.rows is not None:
                self._must_be(self.example.rows, answer.run.results, answer.run.columns, answer.origin)
            return rows_for(self.asker, call, answer, fact)

    def _must_be_callable(self) -> None:
        given = {**self.asker.app.variables(self.pin, self.variables)}
        lacking = [one.name for one in self.pin.variables if one.required and one.name not in given]
        if self.example is not None or not lacking:
            return
        label, app = self.pin.label, self.asker.app
        self.asker.log.note_endpoint(label)
        place = app.place(self.pin)
        raise ExampleMissing(
            f"{label}: variable {lacking[0]!r} is required, and there is no example",
            ("expected", f"an example of {', '.join(lacking)} to call it with"),
            (
                "fix",
                f"add one to the definition, or to the endpoint's entry in `uses`:\n{_sketch(lacking)}\nthen",
            ),
            ("defined", place),
            command=f"endpoints-gitops lock --env {app.environment}",
        )

    def _must_be(
        self, expected: Sequence[Any], received: list[Any], columns: Sequence[str] | None, origin: str
    ) -> None:
        mark = self.asker.mark
        is_unordered = _has_no_order(self.pin) if mark.unordered is None else mark.unordered
        found = difference(
            expected, received, columns or (), is_unordered=is_unordered, tolerance=mark.tolerance or 0.0
        )
        if found is None:
            return
        raise RowsDiffer(
            f"{self.pin.label}: {found.what}",
            ("expected", f"{found.expected}     the example in the lock"),
            ("received", f"{found.received}     {origin}"),
            ("read by", self.asker.log.nodeid),
            ("defined", self.asker.app.place(self.pin)),
            command=f"endpoints-gitops run {self.pin.name} --version {self.pin.version}{_options(self.variables)}",
        )


def case_of(asker: Asker, which: Which) -> EndpointCase:
    """Raises NotPinned where the lock pins nothing at all: a suite without cases would be green."""
    if which == _NOTHING:
        for name in asker.mark.names:
            asker.app.pin(name)
        said = f"no pins of environment {asker.app.environment}"
        names = ", ".join(asker.mark.names)
        wanted = f" of {names}" if names else ""
        verdict = f"endpoint_case: the lock pins nothing{wanted}"
        raise NotPinned(verdict, ("received", said), command="endpoints-gitops lock")
    name, number = which
    pin = asker.app.pin(name)
    has_it = number is not None and number < len(pin.examples)
    return EndpointCase(asker, pin, pin.examples[number] if number is not None and has_it else None)


def parametrize(metafunc: pytest.Metafunc) -> None:
    """A case for each example of each pin; of those that the closest marker names, where it names any."""
    app = session_of(metafunc.config).app(DEFAULT)
    named = next((marker.args for marker in metafunc.definition.iter_markers("endpoints") if marker.args), ())
    try:
        pins = [app.pin(name) for name in dict.fromkeys(named)] or list(app.pins.values())
    except Failure:
        pins = []  # told by the one case that there is then: a failing collection would keep all other tests back
    cases = [case for pin in pins for case in _cases(pin)] or [(_NOTHING, "no-pins")]
    metafunc.parametrize("endpoint_case", [which for which, _ in cases], ids=[name for _, name in cases], indirect=True)


def _cases(pin: Pin) -> Iterator[tuple[Which, str]]:
    for number, example in enumerate(pin.examples):
        slug = file_of(pin.name, pin.version, example.variables).rpartition("/")[2].rpartition("-")[0]
        yield (pin.name, number), f"{pin.label}-{example.name or slug}"
    if not pin.examples:
        yield (pin.name, None), pin.label


def _has_no_order(pin: Pin) -> bool:
    """Whether rows may come in any order: no ORDER BY of the query says which."""
    from endpoints_gitops.hogql.paging import paged

    sql = pin.query.get("query")
    return isinstance(sql, str) and not paged(sql).has_order


def _sketch(lacking: Sequence[str]) -> str:
    inside = ", ".join(f"{name} = …" for name in lacking)
    return f"examples = [{{ {inside} }}]"


def _options(variables: Mapping[str, Any]) -> str:
    return "".join(f" --var '{name}:={canonical(value)}'" for name, value in variables.items())
