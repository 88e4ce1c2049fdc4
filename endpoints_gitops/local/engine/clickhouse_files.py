"""Read files with ClickHouse: those that it decodes for us, and those that become tables as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.local.engine.literals import text
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.engine.session import ClickHouseSession
from endpoints_gitops.local.engine.table_files import TableFile

_ROW: Final = re.compile(r"\(at row (\d+)\)")
_INFERENCE: Final = re.compile(
    r"The table structure cannot be extracted.*?DB::Exception: | \([A-Z_]+\) \(version .*| You can specify .*"
)
"""What ClickHouse says around the reason why it cannot tell the types of a file: settings that are not the user's."""
_NOISE: Final = re.compile(r"While|: While|In file/uri|\(in file|: \(at row|\(at row|Could not print|Buffer has gone")


@contextmanager
def content(session: ClickHouseSession, file: TableFile) -> Iterator[Path]:
    """The content of a file without compression, under our own name, because ClickHouse would expand patterns in the
    user's. Raises InvalidInput for what cannot be decompressed.
    """
    with TemporaryDirectory(prefix="endpoints-gitops-") as folder:
        packed, plain = Path(folder, "packed"), Path(folder, f"table{file.suffix}")
        (packed if file.compression else plain).symlink_to(file.path.resolve())
        if file.compression:
            target = f"file({text(str(plain))}, 'RawBLOB')"
            source = f"file({text(str(packed))}, 'RawBLOB', 'content String', {text(file.compression)})"
            with _reading(file):
                session.files.execute(f"INSERT INTO FUNCTION {target} SELECT content FROM {source}")  # noqa: S608 - our own names, quoted
        yield plain


def rows_of_parquet(session: ClickHouseSession, file: TableFile, plain: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file. Raises InvalidInput if it is not one."""
    query = f"SELECT * FROM {_source(file, plain)} SETTINGS output_format_json_named_tuples_as_objects = 1"  # noqa: S608 - our own name, quoted
    with _reading(file):
        for part in session.files.stream(query, "JSONEachRow"):
            yield from (json.loads(line) for line in part.split(b"\n") if line)


def create_table(session: ClickHouseSession, file: TableFile) -> None:
    """Create a table from a file, for which ClickHouse infers names and types. Raises InvalidInput."""
    with content(session, file) as plain, _reading(file):
        session.load(file.table, _source(file, plain))


def _source(file: TableFile, plain: Path) -> str:
    return f"file({text(str(plain))}, {text(file.format)})"


@contextmanager
def _reading(file: TableFile) -> Iterator[None]:
    try:
        yield
    except QueryRefused as refusal:
        raise InvalidInput((_unreadable(file, refusal),)) from None


def _unreadable(file: TableFile, refusal: QueryRefused) -> Problem:
    """The line of a row, which ClickHouse counts from 1 without the header of a CSV file."""
    row = _ROW.search(refusal.message)
    line = 0 if row is None or "RawBLOB" in refusal.message else int(row[1]) + (file.suffix == ".csv")
    found = _INFERENCE.sub("", refusal.message.replace("\n", " "))
    reason = _NOISE.split(found)[0].strip(" :.")
    return Problem(
        path=str(file.path),
        line=line,
        column=1 if line else 0,
        message=f"cannot be read: {reason}",
        code="data.invalid",
    )
