"""The cost of many mistakes: it grows linearly, and the first of them are reported."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.codecs.definition import check_query, read_definition
from endpoints_gitops.codecs.lock import read_lock
from endpoints_gitops.errors import InvalidInput, Problem, first_problems
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.lock.mismatches import lock_mismatches
from endpoints_gitops.workspace.configuration import Configuration, EnvironmentSettings, read_table, table_in
from endpoints_gitops.workspace.definitions import duplicates
from endpoints_gitops.workspace.manifest import use_locations

FEW, MANY = 400, 1_600


class Counted(str):
    """Text that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def work(do: Callable[[], Any]) -> int:
    """The calls of functions, Python's and C's, that it takes."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(before)
    return calls


def refused(do: Callable[[], Any]) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        do()
    return caught.value.problems


def definition(content: str) -> Callable[[], Any]:
    return lambda: read_definition("a.yaml", content.encode(), lambda _: b"")


GOOD = "name: a\nquery: select 1\n"
FILES: dict[str, Callable[[int], str]] = {
    "unknown keys": lambda count: GOOD + "".join(f"descripton{number}: 1\n" for number in range(count)),
    "unknown keys of a variable": lambda count: (
        GOOD + "variables:\n- name: a\n" + "".join(f"  typ{number}: 1\n" for number in range(count))
    ),
    "variables without a type": lambda count: (
        GOOD + "variables:\n" + "".join(f"- {{name: v{number}, typ: String}}\n" for number in range(count))
    ),
    "unused variables": lambda count: (
        GOOD + "variables:\n" + "".join(f"- {{name: v{number}, type: String}}\n" for number in range(count))
    ),
    "doubled variables": lambda count: (
        GOOD.replace("1", "{variables.v}") + "variables:\n" + "- {name: v, type: String}\n" * count
    ),
    "doubled keys": lambda count: GOOD + "name: b\n" * count,
    "wrong schedules": lambda count: (
        GOOD + "environments:\n" + "".join(f"  e{n}: {{materialization: {{schedule: 30mim}}}}\n" for n in range(count))
    ),
    "tags that are no text": lambda count: GOOD + f"tags: [{', '.join('1' for _ in range(count))}]\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_definition_with_many_mistakes(kind: str) -> None:
    problems = refused(definition(FILES[kind](MANY)))
    assert len(problems) == 21
    assert re.fullmatch(r"and [1-9],\d{3} more mistakes from here on", problems[-1].message)
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    for count in (FEW, MANY):  # what is loaded with the first mistake does not count
        refused(definition(FILES[kind](count)))
    few, many = (work(lambda: refused(definition(FILES[kind](count)))) for count in (FEW, MANY))  # noqa: B023 - called at once
    assert many < few * (MANY / FEW) * 1.3


def test_the_first_mistakes_are_reported_as_if_there_were_no_others() -> None:
    alone = refused(definition(GOOD + "descripton: 1\n" + "tagz: []\n"))
    many = refused(definition(GOOD + "descripton: 1\n" + "tagz: []\n" + "".join(f"key{n}: 1\n" for n in range(100))))
    assert many[:2] == alone
    assert many[0].message == "unknown key 'descripton'; did you mean 'description'?"


@pytest.mark.parametrize(("count", "last"), [(20, None), (21, "and 1 more mistake from here on")])
def test_as_many_as_are_reported(count: int, last: str | None) -> None:
    made = [Problem(path="a", line=line, message=f"{line}") for line in range(count, 0, -1)]
    problems = first_problems(made + made)
    assert [problem.line for problem in problems] == list(range(1, count + 1))
    assert problems[-1].message == (last or f"{count}")


@pytest.mark.parametrize(
    "sql", ["select 1", "select {variables.v1}, {variables.w}", "select " + "{variables.z}," * 3 + "1"]
)
def test_declared_variables_are_compared_once(sql: str) -> None:
    counts = []
    for count in (FEW, MANY):
        Counted.comparisons = 0
        check_query(sql, [Counted(f"v{number}") for number in range(count)])
        counts.append(Counted.comparisons)
    assert counts[1] <= max(counts[0], 50) * (MANY / FEW) * 1.3


def configuration(folder: Path, text: str) -> Callable[[], Configuration]:
    def read() -> Configuration:
        table = table_in(folder, lambda path: text if path.name == "endpoints.toml" else None)
        assert table is not None
        return read_table(table)

    return read


TABLES: dict[str, Callable[[int], str]] = {
    "unknown keys": lambda count: "".join(f"protecd{number} = 1\n" for number in range(count)),
    "uses of no name": lambda count: "[uses]\n" + "".join(f'"no name {number}" = "*"\n' for number in range(count)),
    "wrong uses": lambda count: "[uses]\n" + "".join(f"use{number} = {{vers = 1}}\n" for number in range(count)),
    "wrong reads": lambda count: "[uses]\n" + "".join(f'use{n} = {{reads = "nam"}}\n' for n in range(count)),
    "exact versions": lambda count: (
        "[environments.a]\n[environments.b]\n[uses]\n" + "".join(f"use{n} = {{version = 1}}\n" for n in range(count))
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_configuration_with_many_mistakes(tmp_path: Path, kind: str) -> None:
    problems = refused(configuration(tmp_path, TABLES[kind](MANY)))
    assert len(problems) == 21
    assert problems[-1].message == f"and {MANY - 20:,} more mistakes from here on"
    few, many = (
        work(lambda: refused(configuration(tmp_path, "# not read before\n" + TABLES[kind](count))))  # noqa: B023 - called at once
        for count in (FEW, MANY)
    )
    assert many < few * (MANY / FEW) * 1.3


def pin(name: str) -> Pin:
    return Pin(
        environment="e", name=name, endpoint_id="i", version=1, version_id=None, created_at=None, query={"kind": "x"}
    )


def test_many_uses_are_compared_with_a_lock_one_by_one(tmp_path: Path) -> None:
    def compare(count: int) -> int:
        names = [Counted(f"use{number}") for number in range(count)]
        text = f"# {count}\n[environments.e.uses]\n" + "".join(f'{name} = "*"\n' for name in names)
        path = tmp_path / "endpoints.toml"
        path.write_text(text)
        settings = EnvironmentSettings(name="e", folder=tmp_path, base=tmp_path)
        read = Configuration(
            path=path, folder=tmp_path, common=settings, environments={"e": settings}, default_environment=None
        )
        lock = Lock(pins=tuple(pin(name) for name in names[::2]))
        uses = [Use(name=name) for name in names]
        Counted.comparisons = 0
        location_of = use_locations(read, "e")
        path.unlink()  # it is not read once for each use
        calls = work(lambda: lock_mismatches("e", uses, lock, location_of))
        return calls + Counted.comparisons

    compare(10)
    assert compare(MANY) < compare(FEW) * (MANY / FEW) * 1.3


def test_a_lock_with_many_mistakes() -> None:
    block = '[[pins]]\nenvironment = "e"\n'
    problems = refused(lambda: read_lock(("schema_version = 1\n" + block * MANY).encode(), "endpoints.lock"))
    assert len(problems) == 21


def test_files_of_one_name_name_the_first_few_of_the_others() -> None:
    loaded = [read_definition(f"{number:04}.yaml", GOOD.encode(), lambda _: b"") for number in range(MANY)]
    problems = duplicates(loaded)
    assert len(problems) == MANY
    assert problems[0].message == (
        "the name 'a' is also defined in 0001.yaml:1 and 0002.yaml:1 and 0003.yaml:1 and 1,596 more files"
    )
    assert problems[2].message.startswith(
        "the name 'a' is also defined in 0000.yaml:1 and 0001.yaml:1 and 0003.yaml:1 and "
    )
    assert max(len(problem.message) for problem in problems) < 120
