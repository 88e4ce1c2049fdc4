"""Generated Python code, as type checkers and linters see it, and as it is imported."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
import sysconfig
import typing
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import endpoints_gitops
from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.model.sunset import SunsetNotice
from endpoints_gitops.model.target import GenerationTarget

EXAMPLE = Path(__file__).parents[2] / "examples" / "revenue_report" / "python"
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
TOOLS = Path(sysconfig.get_path("scripts"))
NATIVE = GenerationTarget(lang="python", generator="native", out="app")
STUB = GenerationTarget(lang="python", generator="stub", out="app")


def pin(name: str, columns: dict[str, Any] | None = None, *variables: PinnedVariable, **settings: Any) -> Pin:
    """Columns map names to a type, None for insights; `?` after the type: it can be null."""
    pinned = None if columns is None else tuple(_column(*item) for item in columns.items())
    query = {"kind": "HogQLQuery", "query": "SELECT 1"}
    facts = {"query": query, "version": 1, "columns": pinned, "variables": variables} | settings
    return Pin(environment="prod", name=name, endpoint_id=f"id-{name}", version_id=None, created_at=None, **facts)


def _column(name: str, written: str) -> PinnedColumn:
    kind, full = written.rstrip("?"), written.rstrip("?") if "(" in written else None
    return PinnedColumn(name=name, type="json" if full else kind, full=full, nullable=written.endswith("?"))


def variable(name: str, kind: str, **settings: Any) -> PinnedVariable:
    return PinnedVariable(name=name, type=kind, **({"required": True} | settings))


REVENUE = pin(
    "revenue_by_plan",
    {"plan": "string", "mrr": "decimal?", "day": "date", "from": "integer", "tags": "Array(string)"},
    variable("month", "Date"),
    variable("plan", "String", required=False, has_default=True, default="pro"),
)
KINDS = pin(
    "every-kind",
    {
        "n": "integer", "f": "float", "d": "decimal", "s": "string", "b": "boolean", "day": "date", "at": "datetime?",
        "j": "json", "u": "unknown", "a": "array", "ai": "Array(Nullable(integer))", "af": "Array(float)?",
        "t": "Tuple(integer, string)", "m": "Map(string, Array(date))", "mm": "Map(integer, Map(string, float))",
    },
    variable("number", "Number"), variable("text", "String"), variable("flag", "Boolean"), variable("words", "List"),
    variable("day", "Date"), variable("any", "Of next year"),
    variable("none", "Number", required=False, has_default=True, default=None),
    variable("many", "String", required=False, has_default=True, default=["a"]),
)  # fmt: skip
_ODD = (
    "from", "self", "cls", "None", "match", "type", "print", "list", "int", "str", "dict", "Any", "Decimal", "property",
    "date", "datetime", "_dt", "__init__", "__slots__", "_x", "7d", "a b", "a-b", "größe", "ﬁ", "日本", "", "'\"\\\n",
    '"""', "variables", "key", "page_size", "max_wait", "_limit",
    "_max_wait", "name", "limit", "as_dict", "n" * 80, "UNSET", "field", "record",
    "endpoints", "overload", "Literal", "Iterator", "float", "bool", "\u202e", "{x}", "%s", "\N{PARTY POPPER}",
)  # fmt: skip
ODD = pin("class", dict.fromkeys(_ODD, "integer"), *(variable(name, "Number") for name in _ODD if name))
NAMES = [
    pin(name, {"n": "integer"}, variable("key", "String"))
    for name in (
        "list",
        "a-b",
        "a_b",
        "A-B",
        "Endpoints",
        "Row",
        "TypedCall",
        "Any",
        "x" * 128,
        "Print",
        "dt",
        "n10",
        "n9",
    )
]
TWICE = replace(pin("twice"), columns=tuple(PinnedColumn(name="n", type=kind) for kind in ("integer", "string")))
OPTIONAL = {"required": False, "has_default": True, "default": "a"}
BY_KEY = [
    pin("by_browser", {"n": "integer"}, variable("$browser", "String"), variable("$os", "String", **OPTIONAL)),
    pin("by_os", {"n": "integer"}, variable("$os", "String", **OPTIONAL)),
]
"""Variables that cannot be keyword arguments."""
INSIGHTS = [
    pin(kind, query={"kind": kind}, materialized=kind == "TrendsQuery")
    for kind in ("TrendsQuery", "LifecycleQuery", "RetentionQuery", "PathsQuery", "StickinessQuery", "WebOverviewQuery")
]
FUNNELS = [
    pin(f"funnel_{view}", query={"kind": "FunnelsQuery", "funnelsFilter": {"funnelVizType": view}})
    for view in ("steps", "time_to_convert", "trends", "next_year")
]
ALL = [REVENUE, KINDS, ODD, *NAMES, TWICE, *BY_KEY, *INSIGHTS, *FUNNELS, pin("bare", {})]


def write(folder: Path, target: GenerationTarget, pins: list[Pin]) -> None:
    files = generated_files([interface_of(item) for item in pins], target)
    assert files
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")


GOOD = """
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, assert_type

import endpoints_gitops
from endpoints_gitops import AsyncEndpoints, Endpoints, FunnelStep, FunnelTimes, FunnelTrend
from endpoints_gitops import Row, TrendSeries, TypedRows
from generated import endpoints_client as client
from generated import endpoints_types as types
from package.endpoints_client import RevenueByPlan, revenue_by_plan


def native(endpoints: Endpoints) -> Sequence[client.RevenueByPlan]:
    rows = endpoints.run(client.revenue_by_plan(month=date(2026, 7, 1)), _limit=3, _refresh="force")
    assert_type(rows, TypedRows[client.RevenueByPlan])
    assert_type(rows[0].mrr, Decimal | None)
    assert_type(rows[0].from_, int)
    assert_type(rows[0].tags, list[str])
    assert_type([row.plan for row in rows[1:]], list[str])
    assert_type(rows.has_more, bool | None)
    assert_type(endpoints.iterate(client.revenue_by_plan(month="2026-07", plan="a")), Iterator[client.RevenueByPlan])
    call = client.every_kind(number=1, text="", flag=True, words=["a"], day=datetime.now(), any=object())
    kind = endpoints.run(call)[0]
    assert_type(kind.f, float | None)
    assert_type(kind.at, datetime | None)
    assert_type(kind.ai, list[int | None])
    assert_type(kind.af, list[float | None] | None)
    assert_type(kind.t, list[int | str])
    assert_type(kind.m, dict[str, list[date]])
    assert_type(kind.mm, dict[int, dict[str, float | None]])
    client.every_kind(number=Decimal(1), text="", flag=True, words=(), day="2026", any=1, none=None, many=["a"])
    assert_type(endpoints.run(client.trendsquery())[0], TrendSeries)
    assert_type(endpoints.run(client.funnel_steps())[0], FunnelStep)
    assert_type(endpoints.run(client.funnel_next_year())[0], FunnelStep | FunnelTimes | FunnelTrend)
    assert_type(endpoints.run(client.bare())[0], Row)
    assert_type(endpoints.run(client.weboverviewquery())[0], Any)
    assert_type(endpoints.run(client.twice())[0].n_2, str | None)
    assert_type(endpoints.run(revenue_by_plan(month="2026-07"))[0], RevenueByPlan)
    return rows


async def native_async(endpoints: AsyncEndpoints) -> None:
    assert_type((await endpoints.run(client.revenue_by_plan(month="2026-07")))[0], client.RevenueByPlan)
    async for row in endpoints.iterate(client.revenue_by_plan(month="2026-07"), page_size=3, key="day"):
        assert_type(row.day, date)


def by_name() -> endpoints_gitops.Endpoints:
    endpoints = types.Endpoints.from_lock()
    rows = endpoints.run("revenue_by_plan", month=date(2026, 7, 1), _limit=3)
    row = rows[0]
    assert_type(row, types.RevenueByPlan)
    assert_type(row.mrr, Decimal | None)
    assert_type(row["from"], int)
    assert_type(row[2], date)
    assert_type([row.plan for row in rows[1:]], list[str])
    assert_type(rows.columns, tuple[str, ...])
    for page in endpoints.iterate("revenue_by_plan", month="2026-07", page_size=3):
        assert_type(page, types.RevenueByPlan)
    endpoints.run("a-b", key="a", _max_wait=3)
    endpoints.iterate("a-b", variables={"key": "a"}, key="n", max_wait=30)
    endpoints.run("by_browser", variables={"$browser": "Chrome"})
    endpoints.run("by_browser", variables={"$browser": "Chrome", "$os": "Linux"})
    endpoints.iterate("by_os")
    assert_type(endpoints.run("TrendsQuery", _refresh="direct")[0], TrendSeries)
    assert_type(endpoints.run("bare", _limit=1)[0], Row)
    assert_type(endpoints.run("twice")[0][1], str | None)
    assert_type(endpoints.run(client.revenue_by_plan(month="2026-07"))[0], client.RevenueByPlan)
    return endpoints


async def by_name_async() -> None:
    async with types.AsyncEndpoints.from_lock() as endpoints:
        assert_type((await endpoints.run("revenue_by_plan", month="2026-07"))[0].mrr, Decimal | None)
        async for row in endpoints.iterate("revenue_by_plan", month="2026-07"):
            assert_type(row, types.RevenueByPlan)
"""
WRONG = """
from endpoints_gitops import Endpoints
from generated import endpoints_client as client
from generated import endpoints_types as types


def native(endpoints: Endpoints) -> None:
    client.revenue_by_plan()  # refused
    client.revenue_by_plan(month="2026-07", plam="pro")  # refused
    client.revenue_by_plan(month=7)  # refused
    client.revenue_by_plan(month="2026-07", plan=None)  # refused
    client.revenue_by_plan("2026-07")  # refused
    print(endpoints.run(client.revenue_by_plan(month="2026-07"))[0].mmr)  # refused
    print(endpoints.run(client.revenue_by_plan(month="2026-07"))[0].mrr + 1)  # refused
    endpoints.run(client.revenue_by_plan(month="2026-07"))[0].plan = "other"  # refused
    endpoints.run(client.revenue_by_plan(month="2026-07"), plan="pro")  # refused


def by_name(endpoints: types.Endpoints) -> None:
    endpoints.run("revenue_by_plan")  # refused
    endpoints.run("revenue_by_plam", month="2026-07")  # refused
    endpoints.run("revenue_by_plan", month=7)  # refused
    endpoints.run("revenue_by_plan", month="2026-07", plam="pro")  # refused
    endpoints.run("revenue_by_plan", month="2026-07", _refresh="direct")  # refused
    endpoints.run("TrendsQuery", _limit=3)  # refused
    endpoints.run("by_browser")  # refused
    endpoints.run("by_browser", variables={"$os": "Linux"})  # refused
    endpoints.run("by_browser", variables={"$browser": 1})  # refused
    print(endpoints.run("revenue_by_plan", month="2026-07")[0].mmr)  # refused
    print(endpoints.run("revenue_by_plan", month="2026-07")[0]["mmr"])  # refused
    for row in endpoints.iterate("revenue_by_plan", month="2026-07"):
        print(row.mrr + 1)  # refused
"""
UPGRADED = """
from endpoints_gitops import Endpoints
from upgraded import endpoints_client as client
from upgraded import endpoints_types as types


def native(endpoints: Endpoints) -> None:
    row = endpoints.run(client.revenue_by_plan(month="2026-07"))[0]  # refused
    row = endpoints.run(client.revenue_by_plan(month="2026-07", currency="EUR"))[0]
    print(row.mrr)  # refused
    print(row.plan.upper())  # refused
    print(row.day.year, row.tags)


def by_name(endpoints: types.Endpoints) -> None:
    print(endpoints.run("revenue_by_plan", month="2026-07"))  # refused
    row = endpoints.run("revenue_by_plan", month="2026-07", currency="EUR")[0]
    print(row.mrr)  # refused
    print(row.plan.upper())  # refused
    print(row.day.year, row.tags)
"""
"""What a client of a version with other columns and a new variable makes of the same app."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("app")
    write(top / "generated", NATIVE, ALL)
    write(top / "generated", STUB, ALL)
    write(top / "package", replace(NATIVE, per_endpoint=True), ALL)
    write(top / "empty", NATIVE, [])
    write(top / "empty", STUB, [])
    for target in (NATIVE, STUB):
        write(top / "one", target, [pin("only", {"n": "integer"})])
        columns = tuple(
            replace(column, name="arr") if column.name == "mrr" else column for column in REVENUE.columns or ()
        )
        columns = tuple(replace(column, nullable=True) if column.name == "plan" else column for column in columns)
        variables = (*REVENUE.variables, variable("currency", "String"))
        write(top / "upgraded", target, [replace(REVENUE, version=2, columns=columns, variables=variables)])
    for folder in ("generated", "package", "empty", "one", "upgraded"):
        (top / folder / "__init__.py").touch()
    for path in EXAMPLE.glob("*.py"):
        (top / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    for name, text in (("good", GOOD), ("wrong", WRONG), ("after_upgrade", UPGRADED)):
        (top / f"{name}.py").write_text(text, encoding="utf-8")
    return top


def executed(text: str) -> ModuleType:
    """The module with this text, as after its import. A dataclass looks up its module."""
    module = ModuleType("generated_by_a_test")
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, module.__name__, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


def test_a_docstring_has_the_defaults_and_the_sunset() -> None:
    notice = SunsetNotice(since=date(2026, 1, 1), sunset=date(2026, 12, 31), replaced_by="other")
    optional = variable("plan", "String", required=False, has_default=True, default='a"""\\n')
    (file,) = generated_files([interface_of(pin("old", {}, optional, deprecation=notice))], NATIVE) or ()
    module = executed(file.text)
    assert inspect.cleandoc(module.old.__doc__) == (
        'Call old@1.\n\nDefaults of the query:\n    plan: \'a"""\\\\n\'\n\nDeprecated: the sunset is 2026-12-31.'
    )


def refused_lines(top: Path) -> set[tuple[str, int]]:
    return {
        (path.name, number)
        for path in top.glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if line.endswith("# refused")
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mypy_accepts_right_calls_and_refuses_wrong_ones(app: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tmp_path]
    ran = subprocess.run(
        [*command, "--config-file", os.devnull, "."], cwd=app, capture_output=True, text=True, check=False
    )
    errors = [line.split(":", 3) for line in ran.stdout.splitlines() if ": error:" in line]
    assert {(path, int(line)) for path, line, *_ in errors} == refused_lines(app), ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pyright_accepts_right_calls_and_refuses_wrong_ones(app: Path) -> None:
    (app / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", "pythonVersion": "3.12"}))
    command = [TOOLS / "basedpyright", "--project", app, "--pythonpath", sys.executable, "--outputjson"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(ran.stdout)
    found = [
        (Path(item["file"]).relative_to(app).as_posix(), item["range"]["start"]["line"] + 1, item["message"])
        for item in report["generalDiagnostics"]
    ]
    assert report["summary"]["filesAnalyzed"] > 20
    assert {(path, line) for path, line, _ in found} == refused_lines(app), found


def test_ruff_has_nothing_to_say(app: Path) -> None:
    """Without the line that hides the files from the rules of the app."""
    command = [TOOLS / "ruff", "check", "--isolated", "--ignore-noqa", "--output-format", "concise"]
    folders = [app / name for name in ("generated", "package", "empty", "one")]
    ran = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "All checks passed!\n")


@pytest.mark.parametrize("client", [endpoints_gitops.Endpoints, endpoints_gitops.AsyncEndpoints])
@pytest.mark.parametrize("method", ["run", "iterate"])
def test_the_stub_has_the_options_of_the_library(app: Path, client: type, method: str) -> None:
    tree = ast.parse((app / "generated" / "endpoints_types.pyi").read_text(encoding="utf-8"))
    (classes,) = ([node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == client.__name__],)
    overloads = [node for node in classes[0].body if getattr(node, "name", "") == method]
    by_name, by_call = (
        [name for name, parameter in inspect.signature(overload).parameters.items() if parameter.kind == KEYWORD_ONLY]
        for overload in typing.get_overloads(getattr(client, method))
    )
    in_stub = [[argument.arg for argument in node.args.kwonlyargs] for node in overloads]
    assert len(overloads) == len(ALL) + 1
    assert in_stub[-1] == by_call
    position = [pin.name for pin in sorted(ALL, key=lambda item: item.name)].index("bare")
    assert in_stub[position] == [name for name in by_name if name != "variables"]


PROGRAM = """
import endpoints_gitops
from endpoints_gitops import Row
from generated import endpoints_client, endpoints_types
from package import endpoints_client as package
from empty import endpoints_client as empty
assert endpoints_types.Endpoints is endpoints_gitops.Endpoints
assert endpoints_types.RevenueByPlan is Row
assert set(package.__all__) == set(endpoints_client.__all__)
assert all(callable(getattr(module, name)) for module in (package, endpoints_client) for name in module.__all__)
assert empty.__all__ == []
print(endpoints_client.revenue_by_plan(month="2026-07", plan=endpoints_gitops.UNSET).variables)
print(endpoints_client.n9(key="k").endpoint.pins)
"""


def test_the_modules_can_be_imported(app: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], cwd=app, capture_output=True, text=True, check=False
    )
    (n9,) = (item for item in NAMES if item.name == "n9")
    assert (ran.stderr, ran.stdout) == ("", f"{{'month': '2026-07'}}\n{{'prod': (1, '{n9.contract_hash}')}}\n")


_NAMES = st.lists(st.text(max_size=8), max_size=6)


@settings(max_examples=200)
@given(columns=_NAMES, variables=st.lists(st.text(min_size=1, max_size=8), max_size=6, unique=True))
def test_any_names_make_a_module_that_keeps_columns_and_variables_apart(
    columns: list[str], variables: list[str]
) -> None:
    named = replace(
        pin("any-name", {}, *(variable(name, "Number") for name in variables)),
        columns=tuple(PinnedColumn(name=name, type="integer") for name in columns),
    )
    ((module,), types) = (generated_files([interface_of(named)], target) for target in (NATIVE, STUB))
    for file in types or ():
        compile(file.text, file.path, "exec")
    imported = executed(module.text)
    call = imported.any_name
    arguments = {name: number for number, name in enumerate(inspect.signature(call).parameters)}
    assert sorted(call(**arguments).variables.items(), key=lambda item: item[1]) == list(
        zip(variables, range(6), strict=False)
    )
    if columns:
        row = imported.AnyName(**dict(zip(call(**arguments).endpoint.fields, range(6), strict=False)))
        assert [getattr(row, field.name) for field in fields(row)] == list(range(len(columns)))
