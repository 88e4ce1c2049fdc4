"""A whole contract suite in one line: a case for each pinned endpoint and example of the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from endpoints_gitops.codecs.recording import slug_of
from endpoints_gitops.model.json import canonical
from endpoints_gitops.model.pin import Pin, PinnedExample
from pytest_endpoints_gitops.call_log import noting
from pytest_endpoints_gitops.caller import TestCaller
from pytest_endpoints_gitops.config import DEFAULT
from pytest_endpoints_gitops.failures import EndpointRef, ExampleMissing, Failure, NotPinned, RowsDiffer
from pytest_endpoints_gitops.fakes import real_files
from pytest_endpoints_gitops.row_comparison import RowComparison, compare_rows, named_rows, whole_rows
from pytest_endpoints_gitops.suite import suite_of

if TYPE_CHECKING:
    from pytest_endpoints_gitops.calls import SourceAnswer
    from pytest_endpoints_gitops.rows import TestedRows

_NOTHING: Final = ("", 0)

type CaseKey = tuple[str, int | None]
"""The name of an endpoint, and which of its examples; None: it has none."""


@dataclass(frozen=True, slots=True)
class EndpointCase:
    """One pinned endpoint with one example; None for a version that has none: it is called with defaults."""

    caller: TestCaller
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
        """Call it, check the answer against the contract, and the rows against those of the example if it has any. A
        stub of the test does not answer this call, since it proves nothing of the contract.

        Raises a Failure.
        """
        with noting(self.caller.log), real_files():
            self._require_example()
            prepared = self.caller.prepare(self.pin.name, self.variables, ignores_stubs=True)
            answer = self.caller.answer(prepared)
            if self.example is not None and self.example.rows is not None:
                self._check_rows(self.example.rows, answer)
            return self.caller.rows(prepared, answer)

    def _require_example(self) -> None:
        environment = self.caller.app.environment
        given = environment.variables(self.pin, self.variables)
        lacking = [variable.name for variable in self.pin.variables if variable.required and variable.name not in given]
        if self.example is not None or not lacking:
            return
        endpoint = EndpointRef(self.pin.name, self.pin.version)
        self.caller.log.note_endpoint(self.pin.label)
        raise ExampleMissing(
            endpoint,
            f"variable {lacking[0]!r} is required, and there is no example",
            ("expected", f"an example of {', '.join(lacking)} to call it with"),
            ("defined", environment.location(self.pin)),
            advice=f"add one to the definition, or to the endpoint's entry in `uses`:\n{_sketch(lacking)}",
            command=("endpoints-gitops", "lock", "--env", environment.name),
        )

    def _check_rows(self, expected: Sequence[Any], answer: SourceAnswer) -> None:
        comparison = self._compare_rows(expected, answer)
        if not comparison:
            return
        problem, wanted, received = _difference(comparison, answer.run.columns or ())
        pin = self.pin
        options = [word for name, value in self.variables.items() for word in ("--var", f"{name}:={canonical(value)}")]
        raise RowsDiffer(
            EndpointRef(pin.name, pin.version),
            problem,
            ("expected", f"{wanted}     the example in the lock"),
            ("received", f"{received}     {answer.shown_origin}"),
            ("read by", self.caller.log.nodeid),
            ("defined", self.caller.app.environment.location(pin)),
            command=("endpoints-gitops", "run", pin.name, "--version", str(pin.version), *options),
        )

    def _compare_rows(self, expected: Sequence[Any], answer: SourceAnswer) -> RowComparison:
        """Expected rows are lists, or objects that name some of the columns; those of insights are compared whole."""
        mark, columns = self.caller.mark, answer.run.columns
        if columns is None or any(isinstance(row, list | tuple) and len(row) != len(columns) for row in expected):
            named, received = whole_rows(expected), whole_rows(answer.run.results)
        else:
            named, received = named_rows(expected, columns), named_rows(answer.run.results, columns)
        return compare_rows(
            named,
            received,
            is_unordered=_is_unordered(self.pin) if mark.unordered is None else mark.unordered,
            tolerance=mark.tolerance or 0.0,
        )


def case_of(caller: TestCaller, key: CaseKey) -> EndpointCase:
    """Raises NotPinned where the lock pins nothing at all: a suite without cases would pass."""
    environment = caller.app.environment
    if key == _NOTHING:
        for name in caller.mark.names:
            environment.pin(name)
        names = ", ".join(caller.mark.names)
        received = ("received", f"no pins of environment {environment.name}")
        problem = f"the lock pins nothing{f' of {names}' if names else ''}"
        raise NotPinned("endpoint_case", problem, received, command=("endpoints-gitops", "lock"))
    name, number = key
    pin = environment.pin(name)
    has_example = number is not None and number < len(pin.examples)
    return EndpointCase(caller, pin, pin.examples[number] if number is not None and has_example else None)


def parametrize(metafunc: pytest.Metafunc) -> None:
    """A case for each example of each pin; of those that the closest marker names, where it names any."""
    environment = suite_of(metafunc.config).app_of(metafunc.definition, DEFAULT).environment
    names = next((marker.args for marker in metafunc.definition.iter_markers("endpoints") if marker.args), ())
    try:
        pins = [environment.pin(name) for name in dict.fromkeys(names)] or list(environment.pins.values())
    except Failure:
        pins = []  # reported by the one case that there is then: a failing collection would stop all other tests
    cases = [case for pin in pins for case in _cases(pin)] or [(_NOTHING, "no-pins")]
    metafunc.parametrize("endpoint_case", [key for key, _ in cases], ids=[name for _, name in cases], indirect=True)


def _cases(pin: Pin) -> Iterator[tuple[CaseKey, str]]:
    for number, example in enumerate(pin.examples):
        yield (pin.name, number), f"{pin.label}-{example.name or slug_of(example.variables)}"
    if not pin.examples:
        yield (pin.name, None), pin.label


def _is_unordered(pin: Pin) -> bool:
    """Whether rows may come in any order, because the query has no ORDER BY."""
    from endpoints_gitops.hogql.paging import paged

    sql = pin.query.get("query")
    return isinstance(sql, str) and not paged(sql).has_order


def _difference(comparison: RowComparison, columns: Sequence[str]) -> tuple[str, str, str]:
    """The verdict, and the values that were expected and received."""
    if comparison.before != comparison.after:
        return "the number of rows differs", f"{comparison.before} rows", f"{comparison.after} rows"
    first = comparison.columns[0]
    problem = f"{first.name} differs"
    if first.name in columns:
        problem = f'column "{first.name}" differs in {first.count} of {comparison.before} rows'
    return problem, f"row {first.row}: {first.before}", f"row {first.row}: {first.after}"


def _sketch(lacking: Sequence[str]) -> str:
    inside = ", ".join(f"{name} = …" for name in lacking)
    return f"examples = [{{ {inside} }}]"
