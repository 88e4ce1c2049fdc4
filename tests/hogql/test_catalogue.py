"""The catalog of tables and functions is the only list of names, and the local engine supports all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import pytest

import endpoints_gitops
from endpoints_gitops.contract.clickhouse import is_nullable, type_word
from endpoints_gitops.hogql import functions
from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.function_types import RULES, RULES_OF_FIRST
from endpoints_gitops.hogql.functions import AGGREGATES, FUNCTIONS, PARAMETERS_OF, PARAMETRIC, WINDOW, Function
from endpoints_gitops.hogql.tables import TABLES, Table
from endpoints_gitops.local.engine.calls import TRANSLATORS
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.expansions import EXPANSIONS
from endpoints_gitops.local.engine.refusals import QueryRefused

PACKAGE = Path(endpoints_gitops.__file__).parent
ALL_FUNCTIONS = {**FUNCTIONS, **AGGREGATES, **PARAMETRIC, **WINDOW}
CATALOGUE = ("functions.py", "tables.py")
WITH_WORDS_OF_ITS_OWN = ("printer.py", "function_types.py", "hog_expressions.py")
"""The keywords of the grammar, the type rules that the catalog names, and the functions of Hog, another language."""
WITH_MATHS = ("maths.py",)
"""The names of insights for their aggregations."""
OF_SENTENCES = {"and", "has", "in", "not", "or"}
"""Names of functions that messages contain as words."""
WITH_QUERIES = ("hogql", "local/engine", "local/insights")
WITH_ROWS = ("data_files.py", "sample.py")
"""Rows inserted into tables name their columns."""


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(PACKAGE.joinpath(folder).glob("*.py"))


def listed_words(path: Path) -> Iterator[tuple[int, set[str]]]:
    """The words of each text, and the texts of each collection, in a module; with the line."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, set(node.value.split())
        elif isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            parts = node.keys if isinstance(node, ast.Dict) else node.elts
            texts = (part.value for part in parts if isinstance(part, ast.Constant))
            yield node.lineno, {text for text in texts if isinstance(text, str)}


def second_lists(paths: Iterator[Path], names: set[str], most: int) -> list[str]:
    return [
        f"{path.name}:{line}: {' '.join(sorted(words & names))}"
        for path in paths
        for line, words in listed_words(path)
        if len(words & names) > most
    ]


def test_no_module_beside_the_catalog_lists_functions() -> None:
    paths = (path for path in sources(*WITH_QUERIES) if path.name not in CATALOGUE + WITH_WORDS_OF_ITS_OWN + WITH_MATHS)
    assert second_lists(paths, set(ALL_FUNCTIONS) - OF_SENTENCES, most=3) == []


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_no_module_beside_the_catalog_lists_columns(table: Table) -> None:
    paths = (path for path in sources(*WITH_QUERIES) if path.name not in CATALOGUE + WITH_ROWS)
    assert second_lists(paths, set(table.columns), most=3) == []


def test_a_second_list_would_be_found(tmp_path: Path) -> None:
    written = tmp_path.joinpath("other.py")
    written.write_text('NAMES = "sum avg toDate lower"\nMORE = {"sum": 1, "avg": 2, "toDate": 3, "lower": 4}\n')
    assert second_lists(iter([written]), set(ALL_FUNCTIONS), most=3) == [
        "other.py:1: avg lower sum toDate",
        "other.py:2: avg lower sum toDate",
    ]


def test_every_translator_belongs_to_a_function_and_the_other_way_round() -> None:
    assert {function.translator for function in ALL_FUNCTIONS.values()} - {
        None
    } == TRANSLATORS.keys() | EXPANSIONS.keys()


def test_every_rule_belongs_to_a_function_and_the_other_way_round() -> None:
    used = {function.result.rule for function in ALL_FUNCTIONS.values()} - {""}
    assert used == RULES.keys() | RULES_OF_FIRST.keys()


def test_each_name_is_listed_once() -> None:
    tables = (FUNCTIONS, AGGREGATES, PARAMETRIC, WINDOW)
    names = [name for table in tables for name in table] + list(functions.ABSENT)
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open() as opened:
        yield opened


VALUES = ("event", "1", "2.5", "timestamp", "[1, 2]", "['a']", "(1, 2)", "map('a', 1)", "'a'", "toDate(timestamp)")
CELL, EDGE = "_toUInt64(599686042433355775)", "_toUInt64(1310277011704381439)"
FITTING = """
_caseWithExpression event, 'a', 1, 2
age 'day', timestamp, timestamp
arrayFill x -> x = 1, [1, 2]
arrayFilter x -> x = 1, [1, 2]
arrayFirst x -> x = 1, [1, 2]
arrayFirstIndex x -> x = 1, [1, 2]
arrayFold (a, x) -> a + x, [1, 2], _toInt64(1)
arrayLast x -> x = 1, [1, 2]
arrayLastIndex x -> x = 1, [1, 2]
arrayMap x -> x + 1, [1, 2]
arrayReduce 'sum', [1, 2]
arraySplit x -> x = 1, [1, 2]
bar 1, 0, 10, 5
accurateCast 1, 'Int64'
accurateCastOrNull 1, 'Int64'
arrayEnumerateUniq [1, 2], [1, 2]
arrayReverseFill x -> x = 1, [1, 2]
arrayReverseSplit x -> x = 1, [1, 2]
bitSlice event, 1, 2
bitTestAll 1, 0, 1
bitTestAny 1, 0, 1
bitmapAnd bitmapBuild([1]), bitmapBuild([2])
bitmapAndCardinality bitmapBuild([1]), bitmapBuild([2])
bitmapAndnot bitmapBuild([1]), bitmapBuild([2])
bitmapAndnotCardinality bitmapBuild([1]), bitmapBuild([2])
bitmapCardinality bitmapBuild([1])
bitmapContains bitmapBuild([1]), 1
bitmapHasAll bitmapBuild([1]), bitmapBuild([2])
bitmapHasAny bitmapBuild([1]), bitmapBuild([2])
bitmapMax bitmapBuild([1])
bitmapMin bitmapBuild([1])
bitmapOr bitmapBuild([1]), bitmapBuild([2])
bitmapOrCardinality bitmapBuild([1]), bitmapBuild([2])
bitmapSubsetInRange bitmapBuild([1]), 1, 2
bitmapSubsetLimit bitmapBuild([1]), 1, 2
bitmapToArray bitmapBuild([1])
bitmapTransform bitmapBuild([1]), [1], [2]
bitmapXor bitmapBuild([1]), bitmapBuild([2])
bitmapXorCardinality bitmapBuild([1]), bitmapBuild([2])
convertCharset event, 'us-ascii', 'utf-8'
date_bin interval 1 day, toDateTime('2026-01-02 00:00:00'), toDateTime('2026-01-01 00:00:00')
date_part 'day', timestamp
dateAdd 'day', 1, timestamp
dateDiff 'day', timestamp, timestamp
dateName 'day', timestamp
dateSub 'day', 1, timestamp
dateTrunc 'day', timestamp
date_add timestamp, interval 1 day
date_diff 'day', timestamp, timestamp
date_subtract timestamp, interval 1 day
date_trunc 'day', timestamp
divideDecimal toDecimal(1, 2), toDecimal(1, 2)
exists select 1
extractAllGroups event, '(a)'
extractAllGroupsHorizontal event, '(a)'
extractAllGroupsVertical event, '(a)'
extractGroups event, '(a)'
defaultValueOfTypeName 'Int64'
geohashesInBox 24.48, 40.56, 24.785, 40.81, 4
geoToH3 37.7, 55.7, 5
getSurveyResponse 0
h3GetUnidirectionalEdge CELL, CELL
h3ToChildren CELL, 7
h3ToParent CELL, 3
h3ToCenterChild CELL, 7
h3kRing CELL, 1
greatCircleAngle 1.5, 2.5, 3.5, 4.5
h3HexRing CELL, _toUInt16(1)
h3PointDistM 1.5, 2.5, 3.5, 4.5
h3PointDistKm 1.5, 2.5, 3.5, 4.5
h3PointDistRads 1.5, 2.5, 3.5, 4.5
h3ExactEdgeLengthM EDGE
h3ExactEdgeLengthKm EDGE
h3ExactEdgeLengthRads EDGE
h3GetOriginIndexFromUnidirectionalEdge EDGE
h3GetDestinationIndexFromUnidirectionalEdge EDGE
h3GetIndexesFromUnidirectionalEdge EDGE
h3GetUnidirectionalEdgeBoundary EDGE
h3UnidirectionalEdgeIsValid EDGE
h3GetResolution CELL
h3GetBaseCell CELL
h3IsResClassIII CELL
h3IsPentagon CELL
h3IsValid CELL
h3CellAreaM2 CELL
h3CellAreaRads2 CELL
h3ToGeo CELL
h3ToGeoBoundary CELL
h3ToString CELL
h3GetFaces CELL
h3GetUnidirectionalEdgesFromHexagon CELL
h3IndexesAreNeighbors CELL, CELL
h3Line CELL, CELL
h3Distance CELL, CELL
nowInBlock 'UTC'
hop timestamp, interval 1 day, interval 2 day
hopEnd timestamp, interval 1 day, interval 2 day
hopStart timestamp, interval 1 day, interval 2 day
geoDistance 1.5, 2.5, 3.5, 4.5
greatCircleDistance 1.5, 2.5, 3.5, 4.5
JSONExtract event, 'a', 'String'
JSONExtractKey event, 1
JSONExtractKeysAndValues event, 'String'
JSON_VALUE event, '$.a'
make_date 2026, 1, 2
make_timestamp 2026, 1, 2, 3, 4, 5
make_timestamptz 2026, 1, 2, 3, 4, 5, 'UTC'
mapPopulateSeries map(1, 2)
multiFuzzyMatchAllIndices event, 1, ['abc']
multiFuzzyMatchAny event, 1, ['abc']
multiFuzzyMatchAnyIndex event, 1, ['abc']
ngrams event, 3
pointInEllipses 1.5, 1.5, 1.5, 1.5, 1.5, 1.5
subBitmap bitmapBuild([1]), 0, 1
mapApply (k, v) -> (k, v), map('a', 1)
mapFilter (k, v) -> v = 1, map('a', 1)
multiplyDecimal toDecimal(1, 2), toDecimal(1, 2)
pointInPolygon (1.5, 1.5), [(0.5, 0.5), (2.5, 0.5), (2.5, 2.5)]
timeSlots toDateTime('2026-01-02 03:04:05'), _toUInt32(600), _toUInt32(60)
timeStampAdd timestamp, interval 1 day
timeStampSub timestamp, interval 1 day
timezone 'UTC', timestamp
toDateTime64 timestamp, 3
toNullableString event
toStartOfInterval timestamp, interval 1 day
tumble timestamp, interval 1 day
tumbleEnd timestamp, interval 1 day
tumbleStart timestamp, interval 1 day
UUIDv7ToDateTime uuid
uniqueSurveySubmissionsFilter 'a'
toUUIDOrDefault event, uuid
width_bucket 1, 0, 10, 5
"""
"""Arguments for functions that do not accept every type."""
FITS = dict(line.split(" ", 1) for line in FITTING.replace("CELL", CELL).replace("EDGE", EDGE).strip().splitlines())


def arguments_of(function: Function) -> Iterator[str]:
    """Lists of arguments, one of which the function may be for."""
    if function.name in FITS:
        yield FITS[function.name]
    for count in range(function.least, function.least + (function.most != function.least) + 1):
        yield from map(", ".join, islice(product(VALUES, repeat=count), 1000))


def call_of(function: Function, arguments: str) -> str:
    if function.name in (*PARAMETERS_OF, "quantiles", "windowFunnel"):
        return f"{function.name}(1)({arguments})"
    return f"{function.name}({arguments})" + (" over (order by timestamp)" if function.name in WINDOW else "")


def first_accepted(engine: Engine, function: Function) -> tuple[str, str] | None:
    """A call that the engine can describe, with the ClickHouse type of its result."""
    for arguments in arguments_of(function):
        call = call_of(function, arguments)
        try:
            ((_, written),) = engine.types(f"select {call} from events")
        except QueryRefused:
            continue
        return call, written
    return None


OF_SUFFIXES = (
    "sumIf",
    "sumArray",
    "sumMap",
    "sumState",
    "sumForEach",
    "sumOrNull",
    "sumOrDefault",
    "sumArgMin",
    "avgOrNullIf",
    "sumArrayOrNullIf",
    "maxArgMinOrDefault",
)
PLAIN = [name for name in ALL_FUNCTIONS if name not in AGGREGATES or not functions.is_combined(name)]
OF_STATES = {"groupBitmapAnd", "groupBitmapOr", "groupBitmapXor", "quantilesMerge", "quantilesMergeIf", "uniqUpToMerge"}
"""Aggregations of bitmaps and states that only a subquery can give."""
NEVER_RUN = {name for name, function in ALL_FUNCTIONS.items() if functions.reason_of(function) is not None}


def test_the_engine_runs_every_function_and_its_type_is_known_offline(engine: Engine) -> None:
    refused, differing = set(), []
    for name in (*PLAIN, *OF_SUFFIXES):
        function = ALL_FUNCTIONS[name]
        accepted = first_accepted(engine, function)
        if accepted is None:
            refused.add(name)
            continue
        call, written = accepted
        (claimed,) = output(f"select {call} from events").columns
        if claimed.type not in ("unknown", type_word(written)) or claimed.nullable not in (None, is_nullable(written)):
            differing.append(f"{call}: {claimed.type}, nullable {claimed.nullable}; the engine: {written}")
    assert differing == []
    assert refused == OF_STATES | NEVER_RUN


STATES = (
    "select sumMerge(s) from (select sumState(1) as s from events)",
    "select uniqMerge(s) from (select uniqState(event) as s from events)",
    "select groupBitmapAnd(s), groupBitmapOr(s), groupBitmapXor(s) from (select bitmapBuild([1]) as s from events)",
)


@pytest.mark.parametrize("sql", STATES)
def test_the_engine_runs_aggregations_of_states(engine: Engine, sql: str) -> None:
    assert engine.types(sql)


def test_most_types_are_known_offline() -> None:
    known = [function for function in FUNCTIONS.values() if function.result.rule or function.result.is_array]
    assert len(known) > 50


@pytest.mark.parametrize("table", [table for table in TABLES.values() if not table.is_generated])
def test_the_engine_has_every_column_and_refuses_those_that_only_posthog_has(engine: Engine, table: Table) -> None:
    for column in table.columns.values():
        sql = f"select {column.name} from {table.name}"
        if not column.is_local:
            with pytest.raises(QueryRefused, match="exists in PostHog but not in the local server"):
                engine.types(sql)
            continue
        ((_, written),) = engine.types(sql)
        assert column.stored.nullable is is_nullable(written), column.name
        if column.typed.is_known:
            assert column.typed.word == type_word(written), column.name


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.relations])
def test_the_engine_follows_every_relation(engine: Engine, table: Table) -> None:
    for name, relation in table.relations.items():
        sql = f"select {name}.{relation.foreign if relation.columns is None else 'created_at'} from {table.name}"
        if relation.is_local:
            assert len(engine.types(sql)) == 1
        else:
            with pytest.raises(QueryRefused, match="exists in PostHog but not in the local server"):
                engine.types(sql)


@pytest.mark.parametrize("name", functions.ABSENT)
def test_a_function_that_only_posthog_has_is_refused_with_its_reason(engine: Engine, name: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        engine.types(f"select {name}(event) from events")
    reason = functions.ABSENT[name]
    assert caught.value.message == f"Function '{name}' exists in PostHog but not in the local server: {reason}"
