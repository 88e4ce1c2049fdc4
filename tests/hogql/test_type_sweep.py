"""What the analysis claims of a column is what the local engine answers, over thousands of generated expressions.

Every function of the catalog and every operator meets every kind of argument. Where ClickHouse refuses the
expression, or the analysis says that it does not know, there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, product

import pytest

from endpoints_gitops.contract.clickhouse import full_type, is_nullable, type_word
from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.functions import AGGREGATES, FUNCTIONS, Function, is_combined
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused

FEW = """
event
1
null
timestamp
toDate(timestamp)
properties.a
nullIf(event, 'a')
toInt('1')
toBool(1)
['a']
""".strip().splitlines()
MORE = """
'a'
2.5
properties.a.b
parseDateTimeBestEffort(event)
'2024-01-01'
-1
true
toStartOfHour(timestamp)
now()
today()
toFloat('1')
toDate(event)
uuid
toUUID(event)
properties
toDecimal(1, 2)
assumeNotNull(toDecimal(1, 2))
[1, 2]
[null, 1]
[timestamp]
[]
(1, 'a')
interval 1 day
interval 1 hour
map('a', 1)
event = 'a'
person.created_at
elements_chain_texts
length(event)
timestamp < parseDateTimeBestEffort(event)
""".strip().splitlines()
SECONDS = ["1", "'a'", "timestamp", "toInt('1')", "properties.a.b", "[1]", "['a']", "null", "toIntervalDay(1)"]
OPERATORS = ("+", "-", "*", "/", "%", "=", "!=", "<", "like", "=~", "and", "or", "||", "??", "in")
OF_TWO = (
    *("ifNull", "nullIf", "coalesce", "least", "greatest", "plus", "minus", "multiply", "intDiv", "modulo", "min2"),
    *("equals", "less", "notLike", "and", "xor", "positiveModulo", "pow", "dateTrunc", "arrayElement", "has"),
)
UNITS = ("Second", "Hour", "Day", "Week", "Month", "Year")
WINDOWS = ("sum", "avg", "max", "count", "any", "first_value", "last_value", "lag", "lead", "lagInFrame", "groupArray")
ARRAYS = "[1, 2]", "['a']", "[null, 1]", "[timestamp]", "[]", "elements_chain_texts", "[properties.a]", "[2.5]", "null"
LAMBDAS = "x -> x", "x -> x + 1", "x -> 'a'", "x -> null", "x -> toString(x)"
OF_LAMBDAS = (
    *("arrayMap", "arrayFilter", "arrayCount", "arrayExists", "arraySort", "arrayFirst", "arrayLast", "arraySum"),
    *("arrayMin", "arrayMax", "arrayAvg", "arrayFirstIndex", "arrayCumSum"),
)

type Expressions = Iterator[str]


def takes(function: Function, count: int) -> bool:
    return function.least <= count and (function.most is None or function.most >= count)


def of_one_argument(kinds: list[str]) -> Expressions:
    for name, function in FUNCTIONS.items():
        yield from (f"{name}({kind})" for kind in kinds if takes(function, 1))
        yield from (f"{name}()" for _ in (0,) if takes(function, 0))


def of_operators(kinds: list[str]) -> Expressions:
    yield from (f"({left}) {sign} ({right})" for sign, left, right in product(OPERATORS, kinds, kinds))
    for kind in kinds:
        yield from (f"({kind})::{word}" for word in ("int", "float", "text", "date", "datetime"))
        yield from (f"not ({kind})", f"-({kind})", f"({kind}) between 1 and 2", f"({kind}) is null", f"({kind}).1")
        yield from (f"({kind})[1]", f"({kind})[toInt('1')]", f"({kind})[1:2]", f"({kind}) is not distinct from 1")


def of_branches(kinds: list[str]) -> Expressions:
    yield from (f"{name}({left}, {right})" for name, left, right in product(OF_TWO, kinds, kinds))
    for left, right in product(kinds, kinds):
        yield f"if(event = 'a', {left}, {right})"
        yield f"multiIf(event = 'a', {left}, event = 'b', 1, {right})"
        yield f"case event when 'a' then {left} else {right} end"
        yield f"[{left}, {right}][1]"


def of_times(kinds: list[str]) -> Expressions:
    for unit, kind, count in product(UNITS, kinds, ("1", "toInt('1')")):
        yield f"toStartOfInterval({kind}, toInterval{unit}({count}))"
        yield f"({kind}) - toInterval{unit}({count})"
        yield f"add{unit}s({kind}, {count})"
        yield f"dateAdd('{unit.lower()}', {count}, {kind})"
        yield f"dateTrunc('{unit.lower()}', {kind})"
    for kind, other in product(kinds, ("timestamp", "toDate(timestamp)", "toStartOfDay(timestamp)", "properties.a")):
        yield from (f"({kind}) - ({other})", f"dateDiff('day', {kind}, {other})")
    zoned = ("toTimeZone", "toDateTime", "toStartOfDay", "parseDateTimeBestEffort")
    yield from (f"{name}({kind}, 'Asia/Tokyo')" for name, kind in product(zoned, kinds))


def of_arrays(kinds: list[str]) -> Expressions:
    yield from (f"{name}({body}, {array})" for name, body, array in product(OF_LAMBDAS, LAMBDAS, ARRAYS))
    named = [name for name, function in FUNCTIONS.items() if name.startswith("array") and takes(function, 1)]
    yield from (f"{name}({array})" for name, array in product(named, ARRAYS))
    pairs = ("arrayConcat", "arrayIntersect", "arrayPushBack", "has", "indexOf", "arrayElement", "arrayStringConcat")
    yield from (f"{name}({array}, {kind})" for name, array, kind in product(pairs, ARRAYS, [*ARRAYS, *kinds]))


def of_aggregates(kinds: list[str]) -> Expressions:
    plain = {name: function for name, function in AGGREGATES.items() if not is_combined(name)}
    for kind in kinds:
        yield from (f"{name}({kind})" for name, function in plain.items() if takes(function, 1))
        yield from (f"{name}({kind}, timestamp)" for name, function in plain.items() if takes(function, 2))
        for base, suffix in product(("sum", "avg", "min", "count"), ("If", "OrNull", "OrDefault", "OrNullIf")):
            if base + suffix in AGGREGATES:
                condition = ", event = 'a'" if suffix.endswith("If") else ""
                yield f"{base}{suffix}({kind}{condition})"
        yield from (f"{name}If({kind}, properties.a)" for name in ("any", "uniq", "median", "groupArray"))
        yield from (f"{name}(0.5)({kind})" for name in ("quantile", "quantiles", "quantileExact"))
        yield from (f"{name}(3)({kind})" for name in ("topK", "groupArraySample", "groupArrayMovingAvg"))
        yield from (f"{name}({kind}) over (order by timestamp)" for name in WINDOWS)
        yield f"lag({kind}, 1, {kind}) over (order by timestamp)"


def of_two_arguments(kinds: list[str]) -> Expressions:
    for name, function in FUNCTIONS.items():
        if takes(function, 2):
            yield from (f"{name}({kind}, {second})" for kind, second in product(kinds, SECONDS))
        if takes(function, 3):
            yield from (f"{name}({kind}, {second}, {second})" for kind, second in product(kinds, SECONDS[:5]))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open() as opened:
        yield opened


def mismatches(engine: Engine, expressions: Expressions) -> list[str]:
    return [found for each in dict.fromkeys(expressions) if (found := _mismatch(engine, each))]


def _mismatch(engine: Engine, expression: str) -> str | None:
    sql = f"select {expression} from events"
    (claimed,) = output(sql).columns
    if claimed.type == "unknown" and claimed.nullable is None:
        return None
    try:
        ((name, written),) = engine.types(sql)
    except QueryRefused:
        return None
    is_named = claimed.name == name or not claimed.is_named
    is_typed = claimed.type in ("unknown", type_word(written))
    is_null_known = claimed.nullable in (None, is_nullable(written)) or "Nothing" in written
    is_full = claimed.full in (None, full_type(written)) or "Nothing" in written
    if is_named and is_typed and is_null_known and is_full:
        return None
    claim = f"{claimed.name}, {claimed.full or claimed.type}, nullable {claimed.nullable}"
    return f"{expression}: {claim}; the engine: {name}, {written}"


SWEEPS = [of_one_argument, of_operators, of_branches, of_times, of_arrays, of_aggregates]


@pytest.mark.parametrize("expressions", SWEEPS)
def test_a_claim_about_a_type_is_what_the_engine_answers(
    engine: Engine, expressions: Callable[[list[str]], Expressions]
) -> None:
    """Every third expression: of ten kinds, each function meets another three or four."""
    assert mismatches(engine, islice(expressions(FEW), 0, None, 3)) == []


SLOW_SWEEPS = [
    *((sweep, FEW) for sweep in SWEEPS),
    (of_one_argument, MORE),
    (of_operators, MORE[::3]),
    (of_branches, MORE[::3]),
    (of_aggregates, MORE),
    (of_two_arguments, FEW[::2]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("expressions", "kinds"), SLOW_SWEEPS)
def test_the_same_of_more_kinds(
    engine: Engine, expressions: Callable[[list[str]], Expressions], kinds: list[str]
) -> None:
    assert mismatches(engine, expressions(kinds)) == []


def test_the_sweep_compares_thousands_of_claims() -> None:
    claims = [output(f"select {each} from events").columns[0] for sweep in SWEEPS for each in sweep(FEW)]
    assert sum(claim.type != "unknown" for claim in claims) > 4_000
