"""Records of a file, one by one, each with its line: CSV, JSON lines, and Parquet with the help of ClickHouse."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

FORMATS: Final = {".csv": "CSVWithNames", ".jsonl": "JSONEachRow", ".ndjson": "JSONEachRow", ".parquet": "Parquet"}
"""What ClickHouse calls the format of a file, by its suffix."""

type Row = dict[str, Any]
type RowsOfParquet = Callable[[Path], Iterator[Row]]


class Unreadable(ValueError):
    """The file cannot be read beyond this line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def records(path: Path, rows_of_parquet: RowsOfParquet) -> Iterator[tuple[int, Row]]:
    """Each record with its line (its number in a Parquet file); fields of CSV that hold nothing are left out."""
    if path.suffix.lower() == ".parquet":
        yield from enumerate(rows_of_parquet(path), 1)
        return
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if path.suffix.lower() == ".csv":
            yield from _records_of_csv(stream)
        else:
            yield from ((line, _object(text, line)) for line, text in enumerate(stream, 1) if text.strip())


def _records_of_csv(stream: Iterator[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(stream, strict=True)
    try:
        if not reader.fieldnames:
            raise Unreadable("there is no header with the names of columns", 1)
        for record in reader:
            if None in record or None in record.values():
                raise Unreadable(f"the header has {len(reader.fieldnames)} columns, this row has not", reader.line_num)
            yield reader.line_num, {key: value for key, value in record.items() if value != ""}
    except csv.Error as error:
        raise Unreadable(f"not CSV: {error}", reader.reader.line_num) from None


def _object(text: str, line: int) -> Row:
    try:
        value = parse_json(text.strip())
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}", line) from None
    if not isinstance(value, dict):
        raise Unreadable("each line is to be one JSON object", line)
    return value


def parse_json(text: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """What a text says. Raises ValueError with what is wrong where."""

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(text, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text for ClickHouse
    return value
