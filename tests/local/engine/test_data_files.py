"""Files as tables: what each format may hold, whose an event is, and every mistake in one line with its place."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.local.engine import storage
from endpoints_gitops.local.engine.data_files import DataFiles
from endpoints_gitops.local.engine.embedded import EmbeddedSession
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.literals import text

ID = "00000000-0000-4000-8000-00000000000"
EVENT = {"event": "e", "distinct_id": "a", "timestamp": "2026-06-01T10:00:00Z", "properties": {"n": 1}}
PERSON = {"id": f"{ID}a", "distinct_ids": ["a"], "properties": {"plan": "pro"}, "created_at": "2026-05-01"}

ENDINGS = "the name of the file must end in .csv, .jsonl, .ndjson, .parquet (compressed: .gz and .br after it)"
DATED = (
    "'2026-06-01T00' is not a valid table name: use letters, digits and _, or put the files of a batch export of events"
    " into a folder named events"
)

type Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, *lines: Any) -> Path:
        path = tmp_path / name
        path.write_text(
            "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8"
        )
        return path

    return written


def rows(files: list[Path], hogql: str) -> Any:
    with Engine.open(data=files) as engine:
        return engine.run(hogql, {}).results


def mistakes(*files: Path, sample: bool = False) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        Engine.open(data=files, sample=sample)
    return [str(each).replace(f"{each.path}", Path(each.path).name, 1) for each in caught.value.problems]


EVENTS_CSV = (
    "event,distinct_id,timestamp,properties,uuid,person_id",
    f'e,a,2026-06-01T10:00:00Z,"{{""n"": 1, ""s"": ""x, \'y\'""}}",{ID}1,{ID}a',
    "f,b,2026-06-01 12:00:00+02:00,,,",
)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("events.csv", EVENTS_CSV),
        (
            "events.jsonl",
            (
                {**EVENT, "properties": {"n": 1, "s": "x, 'y'"}, "uuid": f"{ID}1", "person_id": f"{ID}a"},
                "",
                {"event": "f", "distinct_id": "b", "timestamp": "2026-06-01 12:00:00+02:00"},
            ),
        ),
        (
            "events.ndjson",
            (
                {**EVENT, "properties": '{"n": 1, "s": "x, \'y\'"}', "uuid": f"{ID}1", "person_id": f"{ID}a"},
                {
                    "event": "f",
                    "distinct_id": "b",
                    "timestamp": "2026-06-01T10:00:00",
                    "uuid": None,
                    "properties": None,
                },
            ),
        ),
    ],
)
def test_events(write: Write, name: str, lines: Any) -> None:
    found = rows(
        [write(name, *lines)],
        "SELECT event, timestamp, properties.n, properties.s, "
        f"person_id = '{ID}a', uuid = '{ID}1' FROM events ORDER BY event",
    )
    assert found == [
        ["e", "2026-06-01T10:00:00Z", 1.0, "x, 'y'", 1, 1],
        ["f", "2026-06-01T10:00:00Z", None, None, 0, 0],
    ]


def test_parquet(tmp_path: Path) -> None:
    events, orders = tmp_path / "events.parquet", tmp_path / "orders.parquet"
    with EmbeddedSession() as session:
        for path, columns in (
            (events, """'e' AS event, 'a' AS distinct_id, now64(3, 'UTC') AS timestamp, '{"n": 2}' AS properties"""),
            (orders, "1 AS number, toNullable(2.5) AS total, ['x'] AS tags"),
        ):
            session.execute(f"INSERT INTO FUNCTION file({text(str(path))}, 'Parquet') SELECT {columns}")
    found = rows([events, orders], "SELECT properties.n, orders.total, tags FROM events, orders")
    assert found == [[2.0, 2.5, ["x"]]]


def test_text_of_parquet_may_hold_any_line_separator(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    with EmbeddedSession() as session:
        columns = "'e\u2028f\x85g' AS event, 'a' AS distinct_id, now64(3, 'UTC') AS timestamp"
        session.execute(f"INSERT INTO FUNCTION file({text(str(path))}, 'Parquet') SELECT {columns}")
    assert rows([path], "SELECT event FROM events") == [["e\u2028f\x85g"]]


@pytest.mark.slow
def test_a_large_file_is_sent_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows come one by one, and neither a file nor all its rows are ever in memory."""
    path, count = tmp_path / "events.parquet", 100_000
    columns = (
        "'e' AS event, toString(number % 7) AS distinct_id, now64(3, 'UTC') AS timestamp, '{\"n\": 1}' AS properties"
    )
    with EmbeddedSession() as session:
        target = f"file({text(str(path))}, 'Parquet')"
        session.execute(f"INSERT INTO FUNCTION {target} SELECT {columns} FROM numbers({count})")
    sizes: list[int] = []
    insert = EmbeddedSession.insert

    def inserted(session: EmbeddedSession, table: str, lines: str) -> None:
        sizes.append(len(lines))
        insert(session, table, lines)

    monkeypatch.setattr(EmbeddedSession, "insert", inserted)
    monkeypatch.setattr(storage, "_BATCH", 2_000_000)
    asked = "SELECT count(), sum(properties.n), uniq(person_id) FROM events"
    assert rows([path], asked) == [[count, float(count), 7]]
    assert len(sizes) > 5
    assert max(sizes) < 2_010_000


def test_events_are_read_when_they_are_needed(write: Write) -> None:
    with EmbeddedSession() as session:
        data = DataFiles(session, [write("events.jsonl", EVENT, "{")], sample=False)
        events = data.events({})
        assert next(events)["event"] == "e"
        data.raise_mistakes()
        assert list(events) == []
        with pytest.raises(InvalidInput):
            data.raise_mistakes()


def test_whose_an_event_is(write: Write) -> None:
    events = [
        {**EVENT, "event": "listed", "person_id": f"{ID}b"},
        {**EVENT, "event": "named", "distinct_id": "x", "person_id": f"{ID}b"},
        {**EVENT, "event": "nobody's", "distinct_id": "y"},
    ]
    files = [write("events.jsonl", *events), write("persons.jsonl", PERSON)]
    with Engine.open(data=files) as engine:
        found = engine.run("SELECT event, person_id, person.properties.plan FROM events ORDER BY event", {}).results
        assert found[0] == ["listed", f"{ID}a", "pro"]
        assert found[1] == ["named", f"{ID}b", None]
        assert found[2][1] not in {f"{ID}a", f"{ID}b"}
        assert engine.run("SELECT count() FROM persons", {}).results == [[1]]


def test_without_persons_each_distinct_id_is_one(write: Write) -> None:
    events = [EVENT, {**EVENT, "timestamp": "2026-05-31"}, {**EVENT, "distinct_id": "b"}]
    found = rows(
        [write("events.jsonl", *events)], "SELECT person.created_at, count() FROM events GROUP BY 1 ORDER BY 1"
    )
    assert found == [["2026-05-31T00:00:00Z", 2], ["2026-06-01T10:00:00Z", 1]]


def test_persons_alone(write: Write) -> None:
    path = write("persons.csv", "id,distinct_ids,properties,created_at", f'{ID}a,"[""a"", ""b""]",{{}},2026-05-01')
    assert rows([path], "SELECT distinct_id, person.created_at FROM person_distinct_ids ORDER BY 1") == [
        ["a", "2026-05-01T00:00:00Z"],
        ["b", "2026-05-01T00:00:00Z"],
    ]


def test_sessions_and_groups_follow_from_events(write: Write) -> None:
    properties = {"$session_id": "s", "$group_0": "acme", "$current_url": "https://x.example/p?utm_source=y"}
    events = [
        {**EVENT, "event": "$pageview", "properties": properties},
        {**EVENT, "timestamp": "2026-06-01T10:00:30Z", "properties": {"$session_id": "s"}},
    ]
    found = rows(
        [write("events.jsonl", *events)],
        "SELECT $session_duration, $pageview_count, $entry_pathname, $is_bounce, duration FROM sessions",
    )
    assert found == [[30, 1, "/p", 0, 30]]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("orders.csv", ("number,total,when", "1,2.5,2026-06-01 10:00:00", "2,,2026-06-02 10:00:00")),
        (
            "orders.jsonl",
            (
                {"number": 1, "total": 2.5, "when": "2026-06-01 10:00:00"},
                {"number": 2, "when": "2026-06-02 10:00:00"},
            ),
        ),
    ],
)
def test_other_tables_are_as_they_are(write: Write, name: str, lines: Any) -> None:
    found = rows([write(name, *lines)], "SELECT number + 1, total != 2.5, toDate(when) FROM orders ORDER BY number")
    assert found == [[2, 0, "2026-06-01"], [3, 1, "2026-06-02"]]


def test_other_tables_beside_the_sample(write: Write) -> None:
    with Engine.open(sample=True, data=[write("orders.csv", "n", "1")]) as engine:
        assert engine.run("SELECT n, count() > 1000 FROM orders, events GROUP BY n", {}).results == [[1, 1]]


def test_a_folder_with_characters_that_mean_something(tmp_path: Path) -> None:
    folder = tmp_path / "a {b,c}* 'd'"
    folder.mkdir()
    (folder / "orders.csv").write_text("n\n1\n")
    assert rows([folder / "orders.csv"], "SELECT n FROM orders") == [[1]]


@pytest.mark.parametrize(
    ("name", "lines", "wanted"),
    [
        (
            "events.jsonl",
            ({**EVENT, "timestamp": "yesterday"},),
            ["1:1: timestamp: 'yesterday' is not an ISO time: write it like 2026-07-01T12:00:00Z"],
        ),
        ("events.jsonl", (EVENT, {"event": "e"}), ["2:1: distinct_id is missing", "2:1: timestamp is missing"]),
        (
            "events.jsonl",
            (EVENT, "", "{"),
            ["3:1: not JSON: Expecting property name enclosed in double quotes at character 2"],
        ),
        ("events.jsonl", ("[1]",), ["1:1: each line must be one JSON object"]),
        ("events.jsonl", ({**EVENT, "event": 5},), ["1:1: event: 5 is not a string"]),
        ("events.jsonl", ({**EVENT, "uuid": "1"},), ["1:1: uuid: '1' is not a UUID"]),
        ("events.jsonl", ({**EVENT, "properties": [1]},), ["1:1: properties: must be a JSON object"]),
        (
            "events.jsonl",
            ({**EVENT, "propertys": {}},),
            ["1:1: unknown column 'propertys'; did you mean 'properties'?"],
        ),
        ("events.jsonl", ('{"event": NaN}',), ["1:1: not JSON: NaN is not a JSON number"]),
        (
            "events.jsonl",
            ({**EVENT, "timestamp": "0001-01-01"},),
            ["1:1: timestamp: '0001-01-01' is outside the range of ClickHouse's times"],
        ),
        (
            "events.csv",
            ("event,distinct_id,timestamp", "e,a,2026-06-01", "e,a"),
            ["3:1: the header has 3 columns, but this row has a different number"],
        ),
        ("events.csv", ("event,distinct_id,timestamp", 'e,a,"2026'), ["2:1: not CSV: unexpected end of data"]),
        (
            "events.csv",
            ("event,distinct_id,timestamp,properties", "e,a,2026-06-01,{"),
            ["2:1: properties: not JSON: Expecting property name enclosed in double quotes at character 2"],
        ),
        ("persons.jsonl", (PERSON, PERSON), [f"2:1: there is a person {ID}a already"]),
        (
            "persons.jsonl",
            (PERSON, {**PERSON, "id": f"{ID}b"}),
            [f"2:1: the distinct id 'a' belongs to the person {ID}a already"],
        ),
        (
            "persons.jsonl",
            ({**PERSON, "distinct_ids": "a"},),
            ["1:1: distinct_ids: not JSON: Expecting value at character 1"],
        ),
        (
            "persons.jsonl",
            ({**PERSON, "distinct_ids": []},),
            ['1:1: distinct_ids: must be a JSON list of strings, like ["a"]'],
        ),
        (
            "sessions.csv",
            ("a", "1"),
            [" the table sessions is derived from events and persons: rename the file"],
        ),
        ("my-orders.csv", ("a", "1"), [" 'my-orders' is not a valid table name: use letters, digits and _"]),
        ("orders.txt", ("a",), [f" {ENDINGS}"]),
        ("orders.csv.bz2", ("a",), [f" {ENDINGS}"]),
        (
            "2026-06-01T00.parquet",
            ("a",),
            [f" {DATED}"],
        ),
        (
            "events.csv",
            ("event,distinct_id,timestamp,event", "e,a,2026-06-01,f"),
            ["1:1: the header has the column 'event' more than once"],
        ),
        ("orders.csv", ("a,a", "1,2"), ["1:1: the header has the column 'a' more than once"]),
        ("orders.csv", ("a,,b", "1,2,3"), ["1:1: column 2 of the header has no name"]),
        ("events.jsonl", ('{"event": "e", "event": "f"}',), ["1:1: not JSON: the key 'event' is there more than once"]),
        (
            "events.csv",
            ("event,distinct_id,timestamp,properties", 'e,a,2026-06-01,"{""n"": {""m"": 1, ""m"": 2}}"'),
            ["2:1: properties: not JSON: the key 'm' is there more than once"],
        ),
        ("events.parquet", ("a",), [" cannot be read: Parquet file too short: 2 bytes"]),
        ("orders.parquet", ("a",), [" cannot be read: Parquet file too short: 2 bytes"]),
        ("orders.jsonl", ("",), [" cannot be read: Cannot read rows from the data"]),
        ("orders.jsonl", ('{"a": 1}', '{"a": '), ["2:1: not JSON: Expecting value at character 6"]),
        ("orders.csv", ("a,b", "1,2", '3,"4'), ["3:1: not CSV: unexpected end of data"]),
        ("orders.csv", ("a,b", "1,2,3"), ["2:1: the header has 2 columns, but this row has a different number"]),
        ("orders.csv", ("a,b", "1,2", "", "3,4"), ["3:1: an empty line is not a row: remove it"]),
        ("orders.csv", ("a", "1", ""), ["3:1: an empty line is not a row: remove it"]),
        ("orders.csv", (), ["1:1: the header with the column names is missing"]),
    ],
)
def test_mistakes(write: Write, name: str, lines: Any, wanted: list[str]) -> None:
    found = mistakes(write(name, *lines))
    assert len(found) == len(wanted)
    for got, text_wanted in zip(sorted(found), sorted(wanted), strict=True):
        assert got == f"{name}:{text_wanted}"


def test_a_csv_field_can_be_long(write: Write) -> None:
    long, limit = "x" * 300_000, csv.field_size_limit()
    events = write(
        "events.csv", "event,distinct_id,timestamp,properties", "", f'e,a,2026-06-01,"{{""s"": ""{long}""}}"'
    )
    found = rows([events, write("orders.csv", "s", long)], "SELECT length(properties.s), length(s) FROM events, orders")
    assert found == [[300_000, 300_000]]
    assert csv.field_size_limit() == limit


def test_types_are_those_of_all_rows(write: Write) -> None:
    """A column that comes late is not left out, and a number that comes late fits."""
    late = write("late.jsonl", *['{"n": 1}'] * 26_000, '{"n": 1.5, "m": 2}')
    orders = write("orders.csv", "n", *["1"] * 26_000, "x")
    assert rows([late, orders], "SELECT max(n), max(m), (SELECT max(n) FROM orders) FROM late") == [[1.5, 2, "x"]]


def test_mistakes_of_all_files_at_once(write: Write, tmp_path: Path) -> None:
    events = write("events.jsonl", {"event": "e"}, *([{**EVENT, "uuid": "x"}] * 30))
    found = mistakes(events, tmp_path / "nowhere.csv", write("persons.jsonl", {}), write("persons.csv", "id"))
    assert found[0] == "nowhere.csv: there is no such file"
    assert found[-1] == "events.jsonl: and 12 more mistakes"
    assert sum("persons.jsonl" in each for each in found) == 4
    assert any(
        each.startswith("persons.csv: ") and each.endswith("already defines the table persons") for each in found
    )


def test_the_sample_has_events_already(write: Write) -> None:
    told = ["events.jsonl: the sample has this table: omit --sample or this file"]
    assert mistakes(write("events.jsonl", EVENT), sample=True) == told


@pytest.mark.parametrize("content", [b"\xff\xfe", b"event,distinct_id,timestamp\n\xe9,a,2026-06-01\n"])
def test_not_utf8(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(content)
    assert mistakes(path)[0].startswith("events.csv: not UTF-8: ")
