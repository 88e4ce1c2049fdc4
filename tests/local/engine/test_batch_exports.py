"""Batch exports of events and persons as PostHog writes them, in each of its formats and of its destinations."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.local.engine import storage
from endpoints_gitops.local.engine.engine import Engine

ANN, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
CHAIN = 'a.btn:attr_id="buy"href="/buy"nth-child="1"text="Buy";div:nth-child="2"'
TEXTS = ("properties", "person_properties")
TIMES = ("timestamp", "created_at", "_inserted_at")
HOUR = "2026-06-01T00:00:00+00:00-2026-06-01T01:00:00+00:00"
"""The name that PostHog gives to the file of an hour."""


def event(number: int, person: str, *, chain: str = "", **properties: Any) -> dict[str, Any]:
    """A row with the columns of an export to S3."""
    time = datetime(2026, 6, 1, 0, number, tzinfo=UTC)
    return {
        "uuid": f"{ANN[:-2]}1{number}",
        "timestamp": time,
        "_inserted_at": time.replace(second=9),
        "created_at": time.replace(second=5, microsecond=250000),
        "event": "$autocapture" if chain else "bought",
        "properties": {"$set": {"plan": "pro"}, **properties},
        "distinct_id": f"device {person[-1]}",
        "elements_chain": chain,
        "person_properties": {"plan": "free" if number == 1 else "pro"},
        "person_id": person,
    }


EVENTS = (event(1, ANN, price=3), event(2, ANN, price=4.5), event(3, BOB, chain=CHAIN))


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: json.dumps(row[name]) for name in TEXTS if name in row}


def as_json(row: dict[str, Any]) -> bytes:
    """A line of a JSON lines export: times in ISO 8601, properties as objects."""
    return json.dumps(row, default=datetime.isoformat).encode() + b"\n"


def csv_file(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(
            {**as_text(row), **{name: f"{row[name]:%Y-%m-%d %H:%M:%S.%f+00}" for name in TIMES}} for row in rows
        )


def json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(map(as_json, rows)))


def json_lines_gz(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """PostHog compresses each row by itself."""
    path.write_bytes(b"".join(gzip.compress(as_json(row)) for row in rows))


def json_lines_br(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with pyarrow.CompressedOutputStream(str(path), "brotli") as stream:
        stream.write(b"".join(map(as_json, rows)))


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Times in microseconds, properties as text, and the compression inside of the file."""
    table = pyarrow.Table.from_pylist([as_text(row) for row in rows])
    pyarrow.parquet.write_table(table, path, compression="zstd" if path.suffix == ".zst" else "snappy")


WRITERS = {
    ".csv": csv_file,
    ".jsonl": json_lines,
    ".jsonl.gz": json_lines_gz,
    ".jsonl.br": json_lines_br,
    ".parquet": parquet,
    ".parquet.zst": parquet,
}


def asked(data: Path, hogql: str) -> Any:
    with Engine.open(data=[data]) as engine:
        return engine.run(hogql, {}).results


def problems(data: Path) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        Engine.open(data=[data])
    return [str(problem).replace(f"{data}/", "").replace(str(data), "") for problem in caught.value.problems]


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_export_of_events_loads_as_it_is(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "events" / "2026" / "06"
    folder.mkdir(parents=True)
    WRITERS[suffix](folder / f"{HOUR}{suffix}", EVENTS)
    (folder / f"{HOUR}_manifest.json").write_text('{"files": []}')
    with Engine.open(data=[tmp_path]) as engine:
        rows = engine.run(
            "SELECT event, timestamp, created_at, toString(uuid), toString(person_id), distinct_id, properties.price,"
            " elements_chain, elements_chain_href, elements_chain_texts, elements_chain_ids, elements_chain_elements"
            " FROM events ORDER BY timestamp",
            {},
        ).results
        people = engine.run("SELECT toString(id), created_at, properties.plan FROM persons ORDER BY id", {}).results
    for row, wanted in zip(rows, EVENTS, strict=True):
        minute = f"2026-06-01T00:0{wanted['timestamp'].minute}"
        assert row[:3] == [wanted["event"], f"{minute}:00Z", f"{minute}:05.250000Z"]
        assert row[3:6] == [wanted["uuid"], wanted["person_id"], wanted["distinct_id"]]
    assert [row[6] for row in rows] == [3, 4.5, None]
    assert [row[7:] for row in rows] == [
        ["", "", [], [], []], ["", "", [], [], []], [CHAIN, "/buy", ["Buy"], ["buy"], ["a"]]
    ]  # fmt: skip
    assert people == [[ANN, "2026-06-01T00:01:00Z", "pro"], [BOB, "2026-06-01T00:03:00Z", "pro"]]


def test_parts_in_several_formats_are_one_table_and_repeated_events_count_once(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    parquet(folder / "1.parquet", EVENTS[:2])
    json_lines_gz(folder / "2.jsonl.gz", EVENTS[1:])
    assert asked(folder, "SELECT count(), uniq(uuid) FROM events") == [[3, 3]]


@pytest.mark.parametrize("batch", [1, 1_000_000])
def test_the_last_of_repeated_events_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Whether they are sent to ClickHouse together or not. What is dropped makes no person either."""
    monkeypatch.setattr(storage, "_BATCH", batch)
    first, second = EVENTS[0] | {"person_id": BOB, "person_properties": {"plan": "old"}}, EVENTS[0]
    another = EVENTS[0] | {"timestamp": EVENTS[0]["timestamp"].replace(day=2), "person_properties": {}}
    json_lines(tmp_path / "events.jsonl", [first | {"properties": {"price": 1}}, second, another])
    with Engine.open(data=[tmp_path]) as engine:
        rows = engine.run("SELECT properties.price, toString(person_id) FROM events ORDER BY timestamp", {}).results
        people = engine.run("SELECT toString(id), created_at, properties.plan FROM persons", {}).results
    assert rows == [[3, ANN], [3, ANN]]
    assert people == [[ANN, "2026-06-01T00:01:00Z", None]]


@pytest.mark.parametrize(
    "columns",
    [
        {"set": '{"plan": "pro"}', "set_once": None, "site_url": None, "elements": json.dumps(json.dumps(CHAIN))},
        {"set": None, "set_once": None, "elements": json.dumps(CHAIN), "bq_ingested_timestamp": "2026-06-01 00:00:00"},
        {"people_set": None, "people_set_once": None, "site_url": "", "elements": CHAIN},
    ],
    ids=["Postgres", "BigQuery", "Snowflake"],
)
def test_columns_of_other_destinations(tmp_path: Path, columns: dict[str, Any]) -> None:
    without = ("created_at", "elements_chain", "person_properties", "person_id", "_inserted_at")
    row = {name: value for name, value in EVENTS[2].items() if name not in without}
    json_lines(tmp_path / "events.jsonl", [row | columns | {"team_id": 5, "ip": "1.1.1.1"}])
    assert asked(tmp_path, "SELECT elements_chain, created_at = timestamp FROM events") == [[CHAIN, 1]]


def person(distinct_id: str, owner: str, version: int, *, plan: str = "pro", deleted: bool = False) -> dict[str, Any]:
    return {
        "team_id": 5,
        "distinct_id": distinct_id,
        "person_id": owner,
        "properties": {"plan": plan},
        "person_distinct_id_version": version,
        "person_version": version,
        "created_at": datetime(2026, 5, 1, tzinfo=UTC),
        "_inserted_at": datetime(2026, 6, 1, tzinfo=UTC),
        "is_deleted": deleted,
    }


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_an_export_of_persons_keeps_the_newest_versions(tmp_path: Path, suffix: str) -> None:
    rows = [
        person("device a", ANN, 2),
        person("device a", BOB, 1, plan="old"),
        person("phone a", ANN, 1, plan="old"),
        person("device b", BOB, 3, plan="gone", deleted=True),
    ]
    WRITERS[suffix](tmp_path / f"persons{suffix}", rows)
    json_lines(tmp_path / "events.jsonl", EVENTS)
    with Engine.open(data=[tmp_path]) as engine:
        assert engine.run("SELECT toString(id), properties.plan FROM persons", {}).results == [[ANN, "pro"]]
        owners = engine.run("SELECT distinct_id, toString(person_id) FROM person_distinct_ids ORDER BY 1", {}).results
        assert owners == [["device a", ANN], ["phone a", ANN]]
        assert engine.run("SELECT person.properties.plan FROM events ORDER BY timestamp", {}).results[0] == ["pro"]


def test_a_folder_of_tables(tmp_path: Path) -> None:
    json_lines(tmp_path / "events.jsonl", EVENTS)
    (tmp_path / "orders.csv.gz").write_bytes(gzip.compress(b"n\n1\n2\n"))
    (tmp_path / "README.md").write_text("about these tables")
    (tmp_path / ".hidden.csv").write_text("")
    assert asked(tmp_path, "SELECT count(), sum(n) FROM events, orders") == [[6, 9]]


def test_a_folder_says_what_it_cannot_read(tmp_path: Path) -> None:
    assert problems(tmp_path)[0].startswith(": the folder has no tables: ")
    (tmp_path / "events").mkdir()
    assert problems(tmp_path)[0].startswith("events: the folder has no rows of the table events: ")
    (tmp_path / "events" / "1.avro").write_text("")
    (tmp_path / "events.json").write_text("[]")
    (tmp_path / "orders.csv.zip").write_text("")
    (tmp_path / "persons.csv").write_text("id\nx\n")
    told = problems(tmp_path)
    assert [problem.partition(": ")[0] for problem in told[:3]] == ["events/1.avro", "events.json", "orders.csv.zip"]
    assert "persons.csv:2:1: id: 'x' is not a UUID" in told


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    """Rows behind a link count as all others, or the answer would be too small without a word."""
    for name in ("tables/events", "archive", "files"):
        (tmp_path / name).mkdir(parents=True)
    for path, event in zip(("tables/events/1", "archive/2", "files/3"), EVENTS, strict=False):
        json_lines(tmp_path / f"{path}.jsonl", [event])
    (tmp_path / "tables/events/2026").symlink_to(tmp_path / "archive")
    (tmp_path / "tables/events/3.jsonl").symlink_to("../../files/3.jsonl")
    assert asked(tmp_path / "tables", "SELECT count() FROM events") == [[3]]


def test_what_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "events/sub").mkdir(parents=True)
    json_lines(tmp_path / "events/1.jsonl", EVENTS[:1])
    (tmp_path / "events/sub/up").symlink_to("..")
    (tmp_path / "events/2.jsonl").symlink_to("gone.jsonl")
    (tmp_path / "orders.csv").symlink_to("gone.csv")
    (tmp_path / "customers.csv").mkdir()
    assert problems(tmp_path) == [
        "customers.csv: not a file",
        "events/sub/up: the link leads back to events, which it is in: remove it",
        "events/2.jsonl: the link leads to gone.jsonl, which does not exist",
        "orders.csv: the link leads to gone.csv, which does not exist",
    ]


@pytest.mark.parametrize("suffix", [".gz", ".br"])
@pytest.mark.parametrize("name", ["events.jsonl", "orders.csv"])
def test_half_a_compressed_file_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    with pyarrow.CompressedOutputStream(str(whole), {".gz": "gzip", ".br": "brotli"}[suffix]) as stream:
        stream.write(b"n\n1\n" * 1000)
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(whole.read_bytes()[:-6])
    (told,) = problems(path)
    assert told.startswith(": cannot be read: ")


def test_mistakes_name_the_row(tmp_path: Path) -> None:
    parquet(tmp_path / "events.parquet", [EVENTS[0], EVENTS[1] | {"properties": [1]}])
    assert problems(tmp_path) == ["events.parquet:2:1: properties: must be a JSON object"]
    (tmp_path / "events.parquet").rename(tmp_path / "old")
    json_lines_gz(tmp_path / "events.jsonl.gz", [EVENTS[0], EVENTS[1] | {"uuid": "x", "elements": [1]}])
    assert problems(tmp_path) == [
        "events.jsonl.gz:2:1: uuid: 'x' is not a UUID",
        "events.jsonl.gz:2:1: elements: [1] is not a string",
    ]
