"""Rows: by attribute, key and position, as dictionaries, models and frames."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel, ConfigDict

import endpoints_gitops as library
from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.consumer.rows import rows_of
from endpoints_gitops.extras import install_advice
from endpoints_gitops.model.pin import PinnedColumn

COLUMNS = {
    "day": "Date",
    "at": "DateTime64(6, 'UTC')",
    "mrr": "Nullable(Decimal(18, 2))",
    "n": "Nullable(UInt64)",
    "rate": "Nullable(Float64)",
    "ok": "Bool",
    "plan": "String",
}
FIRST = ["2026-07-01", "2026-07-01T12:00:00Z", "9.90", 18446744073709551615, 0.5, True, "pro"]
SECOND = ["2026-07-02", "2026-07-02T12:00:00Z", None, None, None, False, "free"]
READ = (date(2026, 7, 1), datetime(2026, 7, 1, 12, tzinfo=UTC), Decimal("9.90"), 2**64 - 1, 0.5, True, "pro")


@pytest.fixture
def rows(pin):
    def make(columns=COLUMNS, results=(FIRST, SECOND), **more):
        pairs = tuple(columns.items() if isinstance(columns, dict) else columns)
        answer = RunAnswer(
            columns=tuple(name for name, _ in pairs), types=pairs, results=list(results), has_more=False, version=3,
            execution_id=None, materialized=False, raw={"results": list(results)},
        )  # fmt: skip
        return rows_of(pin(**more), answer)

    return make


def test_records(rows):
    found = rows()
    row = found[0]
    assert (row.mrr, row["mrr"], row[2], row[-5]) == (Decimal("9.90"),) * 4
    assert row[1:3] == list(READ[1:3])
    assert tuple(row) == READ
    assert row == READ
    assert row == rows()[0] != found[1]
    assert len({row, rows()[0]}) == 1
    assert (len(found), len(row)) == (2, 7)
    assert [each.plan for each in found] == ["pro", "free"]
    assert [each.plan for each in found[1:]] == ["free"]
    assert found.column("n") == [2**64 - 1, None]
    assert found.columns == tuple(COLUMNS)
    assert found.types == tuple(COLUMNS.values())
    assert found.as_dicts()[0] == row.as_dict() == dict(zip(COLUMNS, READ, strict=True))
    assert repr(rows({"n": "UInt8"}, [[1]])[0]) == "Row(n=1)"
    assert repr(found) == "<Rows of revenue@3: 2 rows of day, at, mrr, n, rate, ok, plan>"
    assert "mrr" in dir(row)


def test_what_is_not_there_says_what_is(rows):
    found = rows()
    with pytest.raises(KeyError, match=r"there is no column 'plam'; did you mean 'plan'\?"):
        found[0]["plam"]
    with pytest.raises(AttributeError, match="there is no column 'zzz'; the columns are"):
        _ = found[0].zzz
    with pytest.raises(KeyError, match="there is no column 'zzz'"):
        found.column("zzz")
    with pytest.raises(IndexError):
        found[0][7]
    assert not hasattr(found[0], "__html__")


def test_any_name_is_read_by_its_key(rows):
    names = ("count()", "as_dict", "count", "index", "class")
    row = rows(dict.fromkeys(names, "UInt8"), [[1, 2, 3, 4, 5]])[0]
    assert (row["count()"], row["as_dict"], row.count, row.index, row["class"]) == (1, 2, 3, 4, 5)
    assert callable(row.as_dict)


def test_two_columns_of_one_name_are_read_by_place(rows):
    found = rows((("a", "UInt8"), ("a", "Date"), ("b", "UInt8")), [[1, "2026-07-01", 2]])
    assert (found[0][0], found[0][1], found[0].b) == (1, date(2026, 7, 1), 2)
    with pytest.raises(KeyError, match="several columns are named 'a': read them by index"):
        found[0]["a"]
    for convert in (found.as_dicts, found.to_polars, found[0].as_dict):
        with pytest.raises(library.UsageError, match="several columns are named 'a'"):
            convert()
    assert list(found.to_pandas().columns) == ["a", "a", "b"]


def test_copies_and_pickles(rows):
    found = rows()
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), copy.copy(found)):
        assert list(again) == list(found)
        assert again.pin == found.pin
    assert pickle.loads(pickle.dumps(found[0])) == found[0] == copy.copy(found[0])


def test_a_value_that_is_none_of_its_type(rows):
    found = rows({"n": "UInt8", "day": "Date"}, [[1, "2026-07-01"], [2, "July"]])
    assert found[0].day == date(2026, 7, 1)
    for look in (lambda: found[1], lambda: found.column("day"), found.as_dicts, lambda: list(found)):
        with pytest.raises(library.UnreadableValue, match="revenue@3: column 'day' has type Date but the value 'July'"):
            look()
    assert found.column("n") == [1, 2]
    assert found.raw["results"][1] == [2, "July"]


def test_types_of_the_pin_where_the_answer_says_none(pin):
    columns = (PinnedColumn(name="day", type="date"), PinnedColumn(name="n", type="integer"))
    answer = RunAnswer(
        columns=("n", "day"), types=(), results=[[1, "2026-07-01"]], has_more=False, version=3, execution_id=None,
        materialized=False, raw={},
    )  # fmt: skip
    found = rows_of(pin(columns=None), answer)
    assert found.types == ("unknown", "unknown")
    found = rows_of(replace(pin(), columns=columns), answer)
    assert found.types == ("integer", "date")
    assert found[0].day == date(2026, 7, 1)


class Revenue(BaseModel):
    model_config = ConfigDict(strict=True)

    day: date
    at: datetime
    mrr: Decimal | None
    n: int | None
    plan: str


def test_models(rows):
    first, second = rows().to_models(Revenue)
    assert (first.day, first.mrr, first.n, second.mrr) == (READ[0], READ[2], READ[3], None)


def test_pandas_loses_nothing(rows):
    frame = rows().to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "day": "object", "at": "datetime64[us, UTC]", "mrr": "object", "n": "UInt64", "rate": "float64",
        "ok": "boolean", "plan": "object",
    }  # fmt: skip
    assert int(frame["n"][0]) == 2**64 - 1
    assert frame["mrr"][0] == Decimal("9.90")
    assert frame["n"].isna().tolist() == [False, True]
    empty = rows(results=[]).to_pandas()
    assert empty.dtypes.tolist() == frame.dtypes.tolist()


def test_polars_loses_nothing(rows):
    import polars as pl

    frame = rows().to_polars()
    assert frame.schema == {
        "day": pl.Date, "at": pl.Datetime("us", "UTC"), "mrr": pl.Decimal(38, 2), "n": pl.UInt64, "rate": pl.Float64,
        "ok": pl.Boolean, "plan": pl.String,
    }  # fmt: skip
    assert frame["n"].to_list() == [2**64 - 1, None]
    assert frame["mrr"].to_list() == [Decimal("9.90"), None]
    assert rows(results=[]).to_polars().schema == frame.schema


NESTED = [
    ("Map(String, Int64)", [{"a": 1}] * 200 + [{"z": 1}, None], [{"key": "z", "value": 1}]),
    ("Map(String, Array(DateTime))", [None] * 200 + [{"a": ["2026-07-01T12:00:00Z"]}, None], None),
    ("Tuple(UInt8, String)", [[1, "a"]] * 200 + [[2, "b"], None], {"1": 2, "2": "b"}),
    (
        "Tuple(a UInt8, b Nullable(String))",
        [{"a": 1, "b": None}] * 200 + [{"a": 2, "b": "b"}, None],
        {"a": 2, "b": "b"},
    ),
    ("Array(Tuple(String, UInt64))", [[]] * 200 + [[["a", 1]], []], [{"1": "a", "2": 1}]),
    ("JSON", [{"a": 1}] * 200 + [{"z": [1]}, None], {"z": [1]}),
    ("Dynamic", [1] * 200 + [{"z": [1]}, None], {"z": [1]}),
]


@pytest.mark.parametrize(("written", "values", "read"), NESTED, ids=[written for written, _, _ in NESTED])
def test_polars_loses_nothing_of_nested_values(rows, written, values, read):
    frame = rows({"it": written}, [[value] for value in values]).to_polars()
    found = frame["it"].to_list()[200]
    if read is not None:
        assert found == read
    assert "a" in str(found) or "b" in str(found) or "z" in str(found)
    assert rows({"it": written}, []).to_polars().schema == frame.schema


@pytest.mark.parametrize(
    "written",
    ["DateTime", "DateTime64(3, 'Europe/Berlin')", "Nullable(DateTime64(6, 'UTC'))", "Decimal64(4)", "Date32"],
)
def test_frames_have_the_types_of_the_answer_empty_or_not(rows, written):
    value = {"Decimal64(4)": "1.5", "Date32": "2026-07-01"}.get(written, "2026-07-01T12:00:00Z")
    full, empty, null = (rows({"it": written}, results) for results in ([[value]], [], [[None]]))
    schemas = [convert.to_arrow().schema for convert in (full, empty)]
    assert schemas[0] == schemas[1]
    assert null.to_arrow().schema.types == schemas[0].types
    for convert in ("to_pandas", "to_polars"):
        kinds = {str(getattr(each, convert)()["it"].dtype) for each in (full, empty, null)}
        assert len(kinds) == 1, kinds


@pytest.mark.parametrize(("extra", "package"), [("pandas", "pandas"), ("polars", "polars"), ("arrow", "pyarrow")])
def test_an_extra_that_is_not_installed(rows, monkeypatch, extra, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        library.MissingExtra, match=rf"to_{extra}\(\) needs {package}, which is not installed"
    ) as raised:
        getattr(rows(), f"to_{extra}")()
    assert (raised.value.extra, raised.value.fix) == (extra, install_advice(extra))


def test_arrow_loses_nothing(rows):
    import pyarrow as pa

    table = rows().to_arrow()
    table.validate(full=True)
    assert {field.name: field.type for field in table.schema} == {
        "day": pa.date32(), "at": pa.timestamp("us", "UTC"), "mrr": pa.decimal128(38, 2), "n": pa.uint64(),
        "rate": pa.float64(), "ok": pa.bool_(), "plan": pa.string(),
    }  # fmt: skip
    assert table.to_pylist() == rows().as_dicts()
    assert rows(results=[]).to_arrow().schema.types == table.schema.types


ARROW = [
    ("Int8", [1], "int8", False),
    ("Nullable(Int8)", [1], "int8", True),
    ("LowCardinality(Nullable(String))", ["a"], "string", True),
    ("Int64", [-(2**63)], "int64", False),
    ("UInt64", [2**64 - 1], "uint64", False),
    ("UInt128", [2**128 - 1], "decimal256(39, 0)", False),
    ("Int256", [-(2**255)], "string", False),
    ("Float64", [0.5, None], "double", True),
    ("Decimal(9, 2)", ["9.90"], "decimal128(38, 2)", False),
    ("Decimal(76, 38)", ["1.5"], "decimal256(76, 38)", False),
    ("Decimal256(50)", ["1.5"], "decimal256(76, 50)", False),
    ("Bool", [True], "bool", False),
    ("DateTime64(3, 'Europe/Berlin')", ["2026-07-01T12:00:00Z"], "timestamp[us, tz=Europe/Berlin]", False),
    ("DateTime", ["2026-07-01T12:00:00+02:00", "2026-07-01T12:00:00Z"], "timestamp[us, tz=UTC]", False),
    ("DateTime", ["2026-07-01T12:00:00", "2026-07-01T12:00:00Z"], "string", False),
    ("Array(Nullable(UInt8))", [[1, None], []], "list<item: uint8>", False),
    ("Map(String, Array(Date))", [{"a": ["2026-07-01"]}], "map<string, list<item: date32[day]>>", False),
    ("Tuple(UInt8, String)", [[1, "a"]], "struct<1: uint8, 2: string>", False),
    ("Tuple(a UInt8, b Nullable(String))", [{"a": 1, "b": None}], "struct<a: uint8, b: string>", False),
    ("Tuple(a UInt8, a String)", [[1, "x"]], "string", False),
    ("IPv4", ["10.0.0.1"], "string", True),
    ("JSON", [{"a": [1]}, "text"], "string", True),
    ("integer", [1, None], "int64", True),
    ("integer", [2**64], "string", True),
    ("decimal", ["1.50"], "decimal128(3, 2)", True),
    ("unknown", [1, 2], "int64", True),
    ("unknown", [1, "a"], "string", True),
    ("unknown", [{"a": 1}], "string", True),
    ("array", [[1], [2]], "list<item: int64>", True),
]


@pytest.mark.parametrize(("written", "values", "kind", "can_be_null"), ARROW)
def test_columns_of_arrow(rows, written, values, kind, can_be_null):
    found = rows({"it": written}, [[value] for value in values])
    table = found.to_arrow()
    table.validate(full=True)
    field = table.schema.field("it")
    assert (str(field.type).replace(" ('it')", ""), field.nullable) == (kind, can_be_null)
    read = table["it"].to_pylist()
    assert len(read) == len(values)
    if kind == "string":
        assert all(isinstance(value, str) for value in read)


def test_values_of_arrow_that_have_no_type_of_their_own(rows):
    values = {
        ("JSON", 0): ({"z": [1], "a": "ä"}, '{"z": [1], "a": "ä"}'),
        ("JSON", 1): ("text", '"text"'),
        ("IPv4", 0): ("10.0.0.1", "10.0.0.1"),
        ("Int256", 0): (2**255 - 1, str(2**255 - 1)),
        ("Map(String, Int64)", 0): ({"a": 1}, [("a", 1)]),
        ("Tuple(UInt8, Date)", 0): ([1, "2026-07-01"], {"1": 1, "2": date(2026, 7, 1)}),
        ("UInt128", 0): (2**128 - 1, Decimal(2**128 - 1)),
    }
    for (written, _), (value, read) in values.items():
        assert rows({"it": written}, [[value]]).to_arrow()["it"].to_pylist() == [read]


def test_arrow_needs_different_names(pin):
    answer = RunAnswer(
        columns=("n", "n"), types=(("n", "UInt8"), ("n", "UInt8")), results=[[1, 2]], has_more=False, version=3,
        execution_id=None, materialized=False, raw={},
    )  # fmt: skip
    with pytest.raises(library.UsageError, match="several columns are named 'n'"):
        rows_of(pin(columns=None), answer).to_arrow()


def test_a_notebook_shows_the_first_rows_escaped(rows):
    found = rows({"<plan>": "String", "n": "Nullable(UInt64)"}, [[f"<b>&{n}", None] for n in range(45)])
    html = found._repr_html_()
    assert html.startswith("<table><caption>revenue@3</caption><tr><th>&lt;plan&gt;</th><th>n</th></tr>")
    assert html.count("<tr>") == 21
    assert "<td>&lt;b&gt;&amp;19</td><td><em>None</em></td></tr></table><p>25 more rows</p>" in html
    assert "&amp;20" not in html
    assert rows({"n": "UInt8"}, [])._repr_html_().endswith("<tr><th>n</th></tr></table>")
    long = rows({"text": "String"}, [["x" * 500]])._repr_html_()
    assert f"<td>{'x' * 200}…</td>" in long


def test_a_notebook_shows_what_cannot_be_read(rows):
    found = rows({"day": "Date"}, [["July"]])
    assert "<td>July</td>" in found._repr_html_()


def test_rows_of_the_engine(app, create):
    """The local server's ClickHouse writes values as PostHog's does."""
    sql = (
        "SELECT toDate('2026-07-01') AS day, toDateTime('2026-07-01 12:00:00') AS at, toDecimal('1.50', 2) AS mrr,"
        " 18446744073709551615 AS big, [toDate('2026-07-01')] AS days, tuple(1, toDate('2026-07-01')) AS pair,"
        " NULL AS z"
    )
    row = app(create("values", sql)).run("values")[0]
    day = date(2026, 7, 1)
    assert (row.day, row.mrr, row.big, row.days, row.pair[1], row.z) == (
        day,
        Decimal("1.50"),
        2**64 - 1,
        [day],
        day,
        None,
    )
    assert row.at == datetime(2026, 7, 1, 12, tzinfo=UTC)
