"""The parser returns a tree or an error for every text, within a time limit."""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from endpoints_gitops.hogql import parser
from endpoints_gitops.hogql.parser import (
    HogQLSyntaxError,
    ParserTimeout,
    ParserUnavailable,
    line_and_column,
    parse,
    parse_without_positions,
)

REFUSED = [
    ("", 0, "hogql_syntax_error", "mismatched input '<eof>' expecting {SELECT, WITH, '{', '(', '<'}"),
    ("select 1 from t where a = = 2", 26, "hogql_syntax_error", "unexpected token in expression: EqDouble"),
    ("select 1 settings a = 1", 9, "hogql_error", "Unsupported: SelectStmt.settingsClause()"),
    ("select '\U0001f600', = 2", 12, "hogql_syntax_error", "unexpected token in expression: EqDouble"),
    ("select 'é\U0001f600' from", 16, "hogql_syntax_error", None),
    ("select '\ud800'", 8, "hogql_syntax_error", "half of a surrogate pair is not text"),
]


@pytest.mark.parametrize(("sql", "offset", "code", "message"), REFUSED)
def test_refused_text_is_an_error_with_its_place(sql: str, offset: int, code: str, message: str | None) -> None:
    with pytest.raises(HogQLSyntaxError) as caught:
        parse(sql)
    assert (caught.value.offset, caught.value.code) == (offset, code)
    assert message in (None, caught.value.message)


def test_a_failure_is_the_same_on_the_second_look() -> None:
    for _ in range(2):
        with pytest.raises(HogQLSyntaxError, match=r"^SELECT must list at least one expression"):
            parse("select")


def test_a_tree_has_positions_in_characters() -> None:
    field = parse("select '\U0001f600', a")["select"][1]
    assert field["chain"] == ["a"]
    assert (field["start"]["offset"], field["end"]["offset"]) == (12, 13)


def test_a_tree_without_positions_has_none_at_any_depth() -> None:
    assert parse_without_positions("select f(a + 1) as b from (select a from t)") == {
        "node": "SelectQuery",
        "select": [
            {
                "node": "Alias",
                "alias": "b",
                "expr": {
                    "node": "Call",
                    "name": "f",
                    "args": [
                        {
                            "node": "ArithmeticOperation",
                            "op": "+",
                            "left": {"node": "Field", "chain": ["a"]},
                            "right": {"node": "Constant", "value": 1},
                        }
                    ],
                },
            }
        ],
        "select_from": {
            "node": "JoinExpr",
            "table": {
                "node": "SelectQuery",
                "select": [{"node": "Field", "chain": ["a"]}],
                "select_from": {"node": "JoinExpr", "table": {"node": "Field", "chain": ["t"]}},
            },
        },
    }


def test_a_long_text_is_parsed_in_another_process_to_the_same_tree() -> None:
    short = "select 'ä\U0001f600' as a"
    assert parse_without_positions(short + " " * 4_000) == parse_without_positions(short)


def test_a_long_text_is_refused_with_its_place_too() -> None:
    with pytest.raises(HogQLSyntaxError) as caught:
        parse(" " * 4_000 + "selet 1")
    assert caught.value.offset == 4_000


@pytest.mark.parametrize(
    ("sql", "is_trivial"),
    [
        ("select count() as n from events where timestamp > {variables.since}", True),
        ("select a" + " " * 250, True),
        ("select a" + " " * 300, False),
        ("select '((((((((((('", True),
        ("select " + "cast(" * 12, False),  # 67 characters, and double the time for each bracket
        ("select " + "(" * 1_000, False),
        ("select " + "case when 1 then " * 12, False),  # CASE nests without a bracket
        ("SELECT " + "Case " * 12, False),
        ("select " + "f(1)," * 20 + "1", True),  # one after the other
        ("select " + "f('('," * 20 + "1", False),
        ("select " + "f(')'," * 20 + "1", False),  # none of them is closed
        ('select "\'" ' + "f(1)," * 20 + "1", False),  # perhaps all of it is a string
        ("select 1 -- '\n" + "f(1)," * 20 + "1", False),
        ("select " + "f(]" * 20, False),
        ("select " + ")" * 20 + "(" * 20, False),
    ],
)
def test_only_what_cannot_take_long_is_parsed_in_this_process(sql: str, is_trivial: bool) -> None:
    assert parser._is_trivial(sql) is is_trivial


_NESTED: Final = (
    "case ", "case when 1 then ", "case when 1 then 1 else ", "not ", "-", "1 ? ", "1 ? 1 : ", "x -> ", "interval ",
    "1 union all select ", "1 except select ", "with a as ", "distinct ", "1 between ", "1 between 1 and ", "1 in ",
    "1 not in ", "1 like ", "a.", "a ?? ", "a?.", "1::", "1 from a join ", "1 from a join b on ",
    "1 from a array join ", "1 as ", "1 or ", "1 and ", "1 = ", "1 + ", "1 || ", "1 % ", "date ", "timestamp ",
    "exists ", "1 limit ", "1 order by ", "1 group by ", "1 where ", "1 prewhere ", "1 qualify ", "top ", "columns ",
    "array ", "if ", "1,", "1 from a pivot ", "* exclude ", "x over ", "1 global in ", "cast ", "cast(", "f(", "[",
    "{", "<a>", "f'",
)  # fmt: skip


@pytest.mark.parametrize("word", _NESTED)
def test_the_cost_of_whatever_doubles_the_time_is_counted(word: str) -> None:
    """14 levels of anything else take less than a millisecond, and 14 levels that double it some 50."""
    from hogql_parser_rs import parse_select_json

    for end in ("", "1", ")", " end", " from"):
        sql = "select " + word * 14 + end
        if parser._is_trivial(sql):
            assert min(timeit.repeat(partial(parse_select_json, sql), number=1, repeat=3)) < 0.025, sql


_CLOSED: Final = (
    "f(1) ", "f(1),", "(1)+", "[1],", "{a} ", "cast(1 as x),", "cast(1) ", "f(1)(2)", "((a,b)->c),", "(x)->", "a[1].",
    "(select 1) ", "(select 1) union all ", "a in (select 1) and ", "f(1) over (partition by a),", "interval (1) ",
    "(1)?(2):", "1 from (select 1) a join ", "with a as (select 1) ", "f'{a}' ", "not (1) and ", "(a.b).c.", "-(1)",
)  # fmt: skip


@pytest.mark.parametrize("word", _CLOSED)
def test_brackets_one_after_the_other_do_not_double_the_time(word: str) -> None:
    """20 levels of something that doubles it take some 50 times 64 milliseconds."""
    from hogql_parser_rs import parse_select_json

    for end in ("", "1", ")", " from", "a b c", "(a b"):
        sql = "select " + word * 20 + end
        assert min(timeit.repeat(partial(parse_select_json, sql), number=1, repeat=3)) < 0.1, sql


@pytest.mark.parametrize(
    "sql", ["select " + "1+" * 20_000 + "1", "SELECT " + "CAST(" * 37, "SELECT " + "CASE WHEN 1 THEN " * 40]
)
def test_a_text_that_takes_minutes_is_given_up(parse_within: Callable[[float], None], sql: str) -> None:
    parse_within(0.5)
    begun = time.monotonic()
    with pytest.raises(ParserTimeout, match=r"^the query could not be parsed within 0\.5 seconds$"):
        parse(sql)
    assert time.monotonic() - begun < 5


def test_a_text_beyond_all_bounds_is_not_even_tried() -> None:
    with pytest.raises(ParserTimeout, match=r"^the query has 2,000,001 characters; at most 2,000,000 are parsed$"):
        parse(" " * (parser.MOST_CHARACTERS + 1))


@pytest.mark.parametrize("nested", ["f(" * 401 + "1" + ")" * 401, "[" * 401 + "1" + "]" * 401, "{" * 100_000])
def test_a_text_nested_too_deeply_is_one_clear_error(nested: str) -> None:
    for read in (parse, parse_without_positions):
        with pytest.raises(ParserTimeout, match=r"^the query is nested too deeply: 400 brackets inside of each other"):
            read("select " + nested)


def test_many_brackets_one_after_the_other_are_not_nested() -> None:
    assert len(parse("select " + ",".join(["f(1)"] * 1_000))["select"]) == 1_000


def test_a_tree_that_is_too_deep_without_brackets_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of operators makes a deep tree, which the parser alone takes seconds for."""
    deep = '{"node":"Not","expr":' * 100_000 + "1" + "}" * 100_000
    monkeypatch.setattr(parser, "_answer", lambda _: deep)
    with pytest.raises(ParserTimeout, match=r"^the query is nested too deeply to be analyzed$"):
        parse("select 1 as a_chain_of_operators")


@pytest.mark.parametrize("length", [1, 4_000])
def test_without_the_parser_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setitem(sys.modules, "hogql_parser_rs", None)
    monkeypatch.setattr(parser, "find_spec", lambda _: None)
    with pytest.raises(ParserUnavailable, match="hogql-parser-rs is not installed"):
        parse("select 'no parser'".ljust(length))


def test_importing_this_room_does_not_import_the_parser() -> None:
    from subprocess import run

    program = "import sys, endpoints_gitops.hogql.canonical; print('hogql_parser_rs' in sys.modules)"
    assert run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(("offset", "place"), [(0, (1, 1)), (6, (1, 7)), (7, (2, 1)), (9, (2, 3))])
def test_an_offset_has_a_line_and_a_column(offset: int, place: tuple[int, int]) -> None:
    assert line_and_column("select\n  a", offset) == place
