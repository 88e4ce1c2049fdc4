"""The typed reader: the allowed values of every type, and the position of every mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.codecs.reader import Check, Document, between, check_schema_version, satisfies
from endpoints_gitops.codecs.text import KeyPath
from endpoints_gitops.codecs.toml import NotToml, load_toml, toml_lines
from endpoints_gitops.errors import MOST_PROBLEMS, InvalidInput
from endpoints_gitops.model.json import Json

type Name = Annotated[str, satisfies(str.isidentifier, "a name")]
type Even = Annotated[int, Check(lambda name, value: f"{name} must be even" if value % 2 else None)]


@dataclass(frozen=True, kw_only=True)
class Item:
    id: int
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Everything:
    text: str = ""
    count: int = 0
    ratio: float = 0.0
    is_on: bool = False
    day: date | None = None
    moment: datetime | None = None
    bounded: Annotated[int, between(1, 9)] = 1
    even: Even = 0
    word: Literal["a", "b"] = "a"
    star: Literal["*"] | Annotated[int, between(1)] = "*"
    names: tuple[Name, ...] = ()
    numbers: list[int] = field(default_factory=list)
    pairs: tuple[tuple[str, int], ...] = ()
    items: tuple[Item, ...] = ()
    by_name: Mapping[Name, Item] = field(default_factory=dict)
    anything: Json = None
    rows: tuple[Json, ...] = ()


def document(text: str) -> Document:
    return Document.of_json(text.encode(), "f.json", code="test.invalid", fix="try again")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Everything()),
        ('{"text": "é", "count": -3, "ratio": 2, "is_on": true}', Everything(text="é", count=-3, ratio=2, is_on=True)),
        ('{"day": "2026-07-31"}', Everything(day=date(2026, 7, 31))),
        ('{"day": null, "anything": null}', Everything()),
        ('{"bounded": 9, "even": 2, "word": "b", "star": 3}', Everything(bounded=9, even=2, word="b", star=3)),
        ('{"names": ["a"], "numbers": [1, 2]}', Everything(names=("a",), numbers=[1, 2])),
        ('{"pairs": [["a", 1], ["b", 2]]}', Everything(pairs=(("a", 1), ("b", 2)))),
        ('{"items": [{"id": 1}, {"id": 2, "label": null}]}', Everything(items=(Item(id=1), Item(id=2)))),
        ('{"by_name": {"x": {"id": 1}}}', Everything(by_name={"x": Item(id=1)})),
        ('{"anything": {"a": [1]}, "rows": [1, [2]]}', Everything(anything={"a": [1]}, rows=(1, [2]))),
    ],
)
def test_a_document_is_read_as_its_dataclass(text: str, expected: Everything) -> None:
    assert document(text).read(Everything) == expected


def test_toml_has_times_of_its_own() -> None:
    toml = Document.of_toml("moment = 2026-07-01T09:05:00Z\n", "f.toml", code="test.invalid")
    assert toml.read(Everything).moment == datetime(2026, 7, 1, 9, 5, tzinfo=UTC)


MISTAKES = {
    "[]": ["1:1: the file must be an object"],
    '{"text": 1}': ["1:2: text must be text"],
    '{"text": null}': ["1:2: text must be text"],
    '{"count": true}': ["1:2: count must be a whole number"],
    '{"count": 1.5}': ["1:2: count must be a whole number"],
    '{"ratio": false}': ["1:2: ratio must be a number"],
    '{"is_on": 1}': ["1:2: is_on must be true or false"],
    '{"day": "yesterday"}': ["1:2: day must be a date such as 2026-07-31"],
    '{"day": 20260731}': ["1:2: day must be a date such as 2026-07-31"],
    '{"bounded": 10}': ["1:2: bounded must be a whole number from 1 to 9"],
    '{"even": 1}': ["1:2: even must be even"],
    '{"word": "c"}': ["1:2: word must be one of a, b"],
    '{"word": 1}': ["1:2: word must be one of a, b"],
    '{"star": 0}': ["1:2: star must be a whole number from 1"],
    '{"star": "?"}': ['1:2: star must be "*" or a whole number'],
    '{"names": "a"}': ["1:2: names must be a list of texts"],
    '{"names": ["a b", 1]}': ["1:12: 'a b' is not a name", "1:19: names.1 must be text"],
    '{"pairs": [["a"]]}': ["1:12: pairs.0 must be a pair"],
    '{"pairs": [["a", "b"]]}': ["1:18: pairs.0.1 must be a whole number"],
    '{"items": [1, {"label": 2}]}': [
        "1:12: items.0 must be an object",
        "1:15: missing key 'id'",
        "1:16: label must be text",
    ],
    '{"items": {}}': ["1:2: items must be a list of objects"],
    '{"by_name": {"a b": {"id": 1}, "x": 1}}': ["1:14: 'a b' is not a name", "1:32: x must be an object"],
    '{"rows": 1}': ["1:2: rows must be a list"],
    '{"cout": 1}': ["1:2: unknown key 'cout'; did you mean 'count'?"],
    '{\n  "text": 1,\n\n  "zzz": "\\"{",\n  "count": []\n}': [
        "2:3: text must be text",
        "4:3: unknown key 'zzz'",
        "5:3: count must be a whole number",
    ],
    "{": ["1:2: not valid JSON: Expecting property name enclosed in double quotes"],
    "": ["1:1: not valid JSON: Expecting value"],
    "[" * 100_000: ["1:1: not valid JSON: a number is too large, or the nesting is too deep"],
    "9" * 5_000: ["1:1: not valid JSON: a number is too large, or the nesting is too deep"],
}


@pytest.mark.parametrize(("text", "messages"), MISTAKES.items(), ids=[text[:40] for text in MISTAKES])
def test_every_mistake_is_reported_with_its_position(text: str, messages: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        document(text).read(Everything)
    assert [str(problem) for problem in caught.value.problems] == [f"f.json:{message}" for message in messages]
    assert {(problem.code, problem.fix) for problem in caught.value.problems} == {("test.invalid", "try again")}


@pytest.mark.parametrize(
    ("text", "place", "key"),
    [
        ('{"count": 1, "count": 1}', "f.json:1:14", "count"),
        ('{"items": [{"id": 1,\n  "label": "a", "label": null}]}', "f.json:2:17", "label"),
        ('{"a": {"b": 1}, "c": [1, 1], "a": {"b": 2}}', "f.json:1:30", "a"),
        ('{"": {"": 1}, "\\u0061": 2,\n"a": 3}', "f.json:2:1", "a"),
        ('{"\\ud800": 1, "\\ud800": 2}', "f.json:1:15", "\ud800"),
        ('\ufeff{"a": 1, "a": 2}'.encode("utf-16-le"), "f.json:1:10", "a"),
    ],
)
def test_a_key_that_is_there_twice_is_refused_where_it_is_again(text: str | bytes, place: str, key: str) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidInput) as caught:
        Document.of_json(content, "f.json", code="test.invalid")
    assert [str(problem) for problem in caught.value.problems] == [f"{place}: duplicate key {key!r}"]


def test_a_complete_document_has_the_keys_with_defaults_too() -> None:
    text = b'{"id": 1}'
    assert Document.of_json(text, "f", code="c").read(Item) == Item(id=1)
    with pytest.raises(InvalidInput, match=r"^f:1:1: missing key 'label'$"):
        Document.of_json(text, "f", code="c", is_complete=True).read(Item)


def test_the_first_mistakes_are_reported_and_the_rest_is_counted() -> None:
    text = json.dumps({f"key_{number}": 1 for number in range(1_000)}, indent=1)
    with pytest.raises(InvalidInput) as caught:
        document(text).read(Everything)
    problems = caught.value.problems
    assert [problem.line for problem in problems] == [*range(2, MOST_PROBLEMS + 3)]
    assert problems[-1].message == "and 980 more mistakes from here on"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (1, None),
        (2, None),
        (3, "f.json:1:2: schema_version is 3, but this release of endpoints-gitops reads up to 2"),
        (0, "f.json:1:2: schema_version must be 2"),
        (True, "f.json:1:2: schema_version must be 2"),
        ("2", "f.json:1:2: schema_version must be 2"),
    ],
)
def test_schema_versions(version: object, message: str | None) -> None:
    read = document(json.dumps({"schema_version": version}))
    if message is None:
        assert check_schema_version(read, 2) == version
        return
    with pytest.raises(InvalidInput) as caught:
        check_schema_version(read, 2)
    assert str(caught.value) == message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def places(value: object, place: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Every place of a value, with what its text begins with: the key of an object, else the value."""
    if place == () or isinstance(place[-1], int):
        yield place, value
    else:
        yield place, place[-1]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in children:
        yield from places(item, (*place, key))


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_positions_are_those_of_the_text(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    lines = text.split("\n")
    read = document(text)
    for place, expected in places(value):
        line, column = read.position(place)
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == expected
    assert read.position((*next(iter(places(value)))[0], "nowhere")) == (1, 1)


def test_lines_of_tables_in_toml_lists() -> None:
    text = "\n".join(
        [
            "[[pins]]",
            'name = "a"',
            "sql = '''",
            "[[pins]]",
            'name = "no key"',
            "'''",
            "[[pins]]",
            "columns = [",
            '  { name = "x" },',
            "]",
            "[pins.more]",
            "key = 1",
            "[[pins.deep]]",
            "[[pins.deep]]",
            "a = 2",
        ]
    )
    lines = toml_lines(text)
    expected = {
        ("pins", 0): 1,
        ("pins", 0, "name"): 2,
        ("pins", 0, "sql"): 3,
        ("pins", 1): 7,
        ("pins", 1, "columns"): 8,
        ("pins", 1, "more", "key"): 12,
        ("pins", 1, "deep", 1, "a"): 15,
    }
    assert {place: lines[place] for place in expected} == expected
    assert ("pins", 2) not in lines


LARGE = ("0x1" + "f" * 16, "0o7" + "7" * 22, "0b1" + "1" * 65)


@pytest.mark.parametrize("number", LARGE)
@pytest.mark.parametrize("line", ["a = {}", "a={}", "a = [1, {}]", "a = [{}]", "a = {{ b = {} }}", "a = [\n{},\n]"])
def test_a_toml_number_of_any_base_has_64_bits(line: str, number: str) -> None:
    """Python reads larger ones than TOML has."""
    with pytest.raises(NotToml, match="TOML numbers have 64 bits"):
        load_toml(line.format(number))
    small = number[:4]
    assert load_toml(line.format(small)) == load_toml(line.format(int(small, 0)))
