"""Formatting never makes a difference; a change of the query's result always does."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from endpoints_gitops.hogql import canonical as module
from endpoints_gitops.hogql.canonical import canonical_query, canonical_sql
from endpoints_gitops.hogql.parser import ParserTimeout

# Tokens, each apart from the next; words in capitals are keywords, `~` stands for a space inside a token.
QUERIES = (
    """SELECT a , count ( ) AS views FROM events WHERE a = 1 AND ( b <> 'x~y' OR c = {variables.name} )
    GROUP BY a HAVING views > 5 ORDER BY views DESC , a LIMIT 10 OFFSET 7""",
    """WITH recent AS ( SELECT person_id , max ( timestamp ) AS seen FROM events GROUP BY person_id )
    SELECT DISTINCT r.seen , p.email FROM recent AS r LEFT JOIN persons AS p ON r.person_id = p.id""",
    """SELECT CASE WHEN a THEN 1 WHEN b THEN 2 ELSE 3 END AS kind , x BETWEEN 1 AND 2 , NOT y , z IS NOT NULL ,
    w IN ( 1 , 2 )""",
    "SELECT 1 AS one UNION ALL SELECT 2 AS one UNION ALL ( SELECT 3 AS one )",
    "SELECT sum ( v ) OVER ( PARTITION BY k ORDER BY d DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW ) FROM t",
    "SELECT arrayMap ( x -> x * 2 , [ 1 , 2 ] ) , properties.$browser , timestamp - INTERVAL 30 DAY FROM events",
)
BLANKS = (" ", "\n", "\r\n", "\t", "  \n ", " -- a\n", " -- {variables.b}\r\n", " /* a\nb */ ", " # x\n", " // y\n")


def written(tokens: list[str], blanks: list[str]) -> str:
    return "".join(blank + token for blank, token in zip(blanks, tokens, strict=True)).replace("~", " ")


@st.composite
def layouts(draw: st.DrawFn) -> tuple[str, str]:
    """A query, and the same one in a different layout."""
    tokens = draw(st.sampled_from(QUERIES)).split()
    cased = [draw(st.sampled_from([word, word.lower(), word.title()])) if is_keyword(word) else word for word in tokens]
    blanks = draw(st.lists(st.sampled_from(BLANKS), min_size=len(tokens), max_size=len(tokens)))
    end = draw(st.sampled_from(["", ";", " \n", "\r\n", " -- end"]))
    return written(tokens, [" "] * len(tokens)), written(cased, blanks) + end


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str]:
    """A query, and one that asks something else: one name, number or literal differs."""
    tokens = draw(st.sampled_from(QUERIES)).split()
    place = draw(st.sampled_from([at for at, word in enumerate(tokens) if changed(word) != word]))
    other = [changed(word) if at == place else word for at, word in enumerate(tokens)]
    return written(tokens, [" "] * len(tokens)), written(other, ["\n"] * len(tokens))


def is_keyword(word: str) -> bool:
    return word.isalpha() and word.isupper()


def changed(word: str) -> str:
    if word.isdigit():
        return str(int(word) + 1)
    if word.startswith(("'", "{")):
        return f"{word[:-1]}_{word[-1]}"
    swapped = {"DESC": "ASC", "<>": "=", "=": "<>", ">": "<=", "-": "+", "LEFT": "INNER", "DAY": "HOUR", "OR": "AND"}
    return swapped.get(word, word if is_keyword(word) or not word[0].isalpha() else word + "_")


@given(layouts())
@settings(deadline=None)
def test_layout_comments_and_keyword_case_never_count(both: tuple[str, str]) -> None:
    query, other = both
    assert canonical_sql(query).startswith("{")
    assert canonical_sql(query) == canonical_sql(other)


@given(changes())
@settings(deadline=None)
def test_another_name_number_or_operator_counts(both: tuple[str, str]) -> None:
    query, other = both
    assert canonical_sql(other).startswith("{")
    assert canonical_sql(query) != canonical_sql(other)


SAME = [
    ("select a", "SELECT a;"),
    ("select (a)", "select a"),
    ("select ((1 + 2)) * 3", "select (1+2)*3"),
    ("select a = 1", "select a == 1"),
    ("select a != 1", "select a <> 1"),
    ("select a as b", "select a b"),
    ('select a as "b"', "select a as `b`"),
    ("select 'it''s'", r"select 'it\'s'"),
    ("select interval 1 day", "select toIntervalDay(1)"),
    ("select a order by a", "select a order by a asc"),
    ("select 1 union select 2", "select 1 union distinct select 2"),
    ("select 1 -- a\r\n, 2", "select 1,2"),
    ("selet a\r\nfrom b\r\n", "selet a\nfrom b"),
]
DIFFERENT = [
    ("select COUNT(x)", "select count(x)"),
    ("select count()", "select count(*)"),
    ("select a", "select A"),
    ("select a", "select a as a"),
    ("select 1", "select 1.0"),
    ("select 1", "select true"),
    ("select 1", "select '1'"),
    ("select a, b", "select b, a"),
    ("select a and b", "select b and a"),
    ("select a from t", "select a from t limit 100"),
    ("select 'a b'", "select 'a  b'"),
    ("select 'a\r\nb'", "select 'a\nb'"),
    ("select 1 union all select 2", "select 1 union select 2"),
    ("selet a", "selet  a"),
    ("selet a", "select a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_query(one: str, other: str) -> None:
    assert canonical_sql(one) == canonical_sql(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_query(one: str, other: str) -> None:
    assert canonical_sql(one) != canonical_sql(other)


@given(st.text(), st.text())
@settings(deadline=None)
def test_a_text_without_a_tree_equals_only_itself(one: str, other: str) -> None:
    assume(one.replace("\r\n", "\n").strip() != other.replace("\r\n", "\n").strip())
    assume(not canonical_sql(one).startswith("{"))
    assert canonical_sql(one) != canonical_sql(other)
    assert canonical_sql(one) == canonical_sql(f"\r\n{one} ")


def test_a_text_that_cannot_be_read_in_time_is_compared_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(sql: str) -> None:
        raise ParserTimeout(sql)

    monkeypatch.setattr(module, "parse_without_positions", too_slow)
    assert canonical_sql("select 1") == canonical_sql("select 1\r\n")
    assert canonical_sql("select 1") != canonical_sql("select  1")


def hogql(sql: str = "select {variables.x}", /, **keys: object) -> dict[str, object]:
    return {"kind": "HogQLQuery", "query": sql} | keys


def variable(value: object, *, key: str = "0198-a", name: str = "x", **more: object) -> dict[str, object]:
    return {key: {"variableId": key, "code_name": name, "value": value} | more}


STORED = {
    "connectionId": None,
    "explain": None,
    "filters": None,
    "kind": "HogQLQuery",
    "modifiers": None,
    "name": None,
    "query": "SELECT {variables.x}",
    "response": None,
    "sendRawQuery": None,
    "tags": None,
    "values": None,
    "variables": variable("v", key="0199-b", isNull=False),
    "version": None,
}
SAME_NODES = {
    "expanded by the server": (hogql(variables=variable("v")), STORED),
    "null is not there": (hogql(filters=None), hogql()),
    "no variables": (hogql("select 1", variables=None), hogql("select 1", variables={})),
    "isNull null is false": (hogql(variables=variable(1, isNull=None)), hogql(variables=variable(1, isNull=False))),
    "a null has no value": (hogql(variables=variable("v", isNull=True)), hogql(variables=variable(None, isNull=True))),
    "unused variables go": (hogql("select 1", variables=variable(1)), hogql("select 1")),
    "flags that are off": (hogql(explain=False, sendRawQuery=False), hogql()),
    "nulls inside filters": (hogql(filters={"dateRange": {"date_to": None}}), hogql(filters={"dateRange": {}})),
    "the shape's version": (hogql(version=2), hogql()),
    "layout": (hogql("select\r\n 1"), hogql("SELECT 1")),
}
OTHER_NODES = {
    "variables of no known shape": (hogql(variables=["x"]), hogql(variables=["y"])),
    "value": (hogql(variables=variable("v")), hogql(variables=variable("w"))),
    "number or text": (hogql(variables=variable(1)), hogql(variables=variable("1"))),
    "null or no value": (hogql(variables=variable(None, isNull=True)), hogql(variables=variable(None))),
    "variable missing": (hogql(variables=variable("v")), hogql()),
    "code name": (hogql(variables=variable("v")), hogql(variables=variable("v", name="y"))),
    "unreadable text keeps its variables": (hogql("selet", variables=variable("v")), hogql("selet")),
    "modifiers": (hogql(modifiers={"debug": True}), hogql()),
    "values": (hogql(values={"a": 1}), hogql(values={"a": 2})),
    "a null among values": (hogql(values={"a": None}), hogql()),
    "filters that filter nothing": (hogql(filters={}), hogql()),
    "name": (hogql(name="n"), hogql()),
    "filters": (hogql(filters={"filterTestAccounts": True}), hogql()),
    "kind": ({"kind": "Odd"}, {"kind": "Other"}),
}


@pytest.mark.parametrize("case", SAME_NODES)
def test_nodes_that_ask_the_same(case: str) -> None:
    one, other = SAME_NODES[case]
    assert canonical_query(one) == canonical_query(other)


@pytest.mark.parametrize("case", OTHER_NODES)
def test_nodes_that_do_not(case: str) -> None:
    one, other = OTHER_NODES[case]
    assert canonical_query(one) != canonical_query(other)


def test_a_node_is_left_as_it_is() -> None:
    node = hogql(variables=variable("v"), modifiers={"debug": None})
    canonical_query(node)
    assert node == hogql(variables=variable("v"), modifiers={"debug": None})


def test_the_meaning_of_a_node_can_be_read() -> None:
    meaning = canonical_query(STORED)
    assert isinstance(meaning, dict)
    assert meaning.keys() == {"kind", "query", "variables"}
    assert meaning["variables"] == {"x": {"value": "v", "isNull": False}}
