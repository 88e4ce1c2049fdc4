"""A ClickHouse server or cluster that is already there: a database of its own for each session, dropped with it. The
only module that knows clickhouse-connect, whose HTTP interface writes values like the embedded ClickHouse.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Final

import clickhouse_connect
from clickhouse_connect import common
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, ProgrammingError

from endpoints_gitops.errors import CouldNotFindOut, CredentialsError, UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.local.engine.clickhouse_url import PASSWORD_VARIABLE, ClickHouseUrl
from endpoints_gitops.local.engine.literals import identifier, text
from endpoints_gitops.local.engine.refusals import ClickHouseUnavailable, from_clickhouse, timed_out
from endpoints_gitops.local.engine.session import MEANING, SECONDS, ClickHouseSession, FileReader, limits

OLDEST: Final = (25, 8)
"""The version that PostHog runs. Queries were not tried on older ones."""
PREFIX: Final = "endpoints_gitops_"
"""What the names of all databases of this tool begin with."""
_GRACE_SECONDS: Final = 5
_PING_SECONDS: Final = 1
_GREETING_SECONDS: Final = 15
"""What never answers at all is not waited for as long as a server that loads."""
_LOADING_SECONDS: Final = 3600
_OF_PROFILES: Final[dict[str, str | int]] = {
    "aggregate_functions_null_for_empty": 0,
    "cast_keep_nullable": 0,
    "cast_string_to_dynamic_use_inference": 0,
    "data_type_default_nullable": 0,
    "date_time_input_format": "basic",
    "group_by_use_nulls": 0,
    "join_use_nulls": 0,
    "prefer_column_name_to_alias": 0,
    "union_default_mode": "",
}
"""Settings that answers depend on, and that the profile of a user can change."""
_LOADING: Final[dict[str, str | int]] = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "max_bytes_before_external_group_by": 1_000_000_000,
    "max_execution_time": 0,
}
_REFUSED_USER: Final = (192, 193, 194, 516)
_NO_RIGHTS: Final = (164, 291, 497)
_TROUBLE: Final = (81, 202, 209, 210, 236, 279, 394, 999)
"""Codes of a server that cannot answer now, whatever is asked: without the database, full, stopping, without Keeper."""
_TABLE_APPEARED: Final = 219
"""The code of a server on which a statement goes on that Ctrl-C interrupted here."""
_DROPS, _BETWEEN_DROPS = 10, 0.5
_RESPONSE: Final = ", server response: "
"""What clickhouse-connect writes before the text of the server."""
_PASSWORD: Final = f"check the user of the URL and its password, which can be in {PASSWORD_VARIABLE}"
_RIGHTS: Final = f"use a user that may change settings and owns its databases: GRANT ALL ON {PREFIX}*.* TO user"

common.set_setting("max_error_size", 0)  # messages are as long as those of the embedded ClickHouse
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # errors are raised, not printed too


class RemoteSession(ClickHouseSession):
    """A database on a server, or on all nodes of a cluster, which then all have all rows.

    A query of a user may take `seconds`. Files are read by an embedded session, because a server does not see them.
    Statements raise CouldNotFindOut or CredentialsError until `restrict`, and ClickHouseUnavailable after it, if the
    server is the cause.
    """

    def __init__(self, url: ClickHouseUrl, *, seconds: int = SECONDS) -> None:
        """Raises CouldNotFindOut, CredentialsError or UsageError for a server that cannot be used."""
        self._url = url
        self._seconds = seconds
        self._settings = MEANING | _OF_PROFILES | _LOADING
        self._is_restricted = False
        self._is_closed = False
        self._files: FileReader | None = None
        self.database = f"{PREFIX}{datetime.now(UTC):%Y%m%d_%H%M%S}_{uuid.uuid4().hex[:8]}"
        with self._errors():
            with closing(self._connected(_GREETING_SECONDS)) as client:
                _check_version(url, client)
            self._client = self._connected(_LOADING_SECONDS)
            self._engine = self._table_engine()
            comment = text(f"endpoints-gitops serve, process {os.getpid()} on {socket.gethostname()}")
            created = f"CREATE DATABASE {identifier(self.database)}{self.on_cluster} COMMENT {comment}"
            self._client.raw_query(created, use_database=False, settings=self._settings)
        self._client.database = self.database

    @property
    def files(self) -> FileReader:
        if self._files is None:
            self._files = _embedded()
        return self._files

    def execute(self, sql: str, answer_format: str = "TSVRaw") -> str:
        if self._is_closed:
            raise from_clickhouse("The engine is closed")
        with self._errors():
            form = {"X-ClickHouse-Format": answer_format}
            return self._client.raw_query(sql, settings=self._settings, transport_settings=form).decode()

    def insert(self, table: str, lines: str) -> None:
        self._insert(table, "JSONEachRow", lines.encode())

    def load(self, table: str, source: str) -> None:
        columns = self.files.ask(f"DESCRIBE TABLE {source}").rows
        self.create_table(table, [f"{identifier(str(name))} {written}" for name, written, *_ in columns], "tuple()")
        for part in self.files.stream(f"SELECT * FROM {source}", "Native"):  # noqa: S608 - our own name, quoted
            self._insert(table, "Native", part)

    def restrict(self) -> None:
        with self._errors():
            self._client = self._connected(self._seconds + _GRACE_SECONDS, self.database)
        self._settings = MEANING | _OF_PROFILES | limits(self._seconds)
        self._is_restricted = True

    def close(self) -> None:
        """Drop the database. Raises CouldNotFindOut with its name if it is left."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._files is not None:
            self._files.close()
        dropped = f"DROP DATABASE IF EXISTS {identifier(self.database)}{self.on_cluster}"
        for is_last in (False,) * _DROPS + (True,):
            try:
                self._client.raw_query(dropped, use_database=False)
            except Error as error:
                if error.code == _TABLE_APPEARED and not is_last:
                    time.sleep(_BETWEEN_DROPS)
                    continue
                raise CouldNotFindOut(
                    f"the database {self.database} is left at {self._url}: {_reason(error)}",
                    fix=f"drop it there: {dropped}",
                    code="clickhouse.left",
                ) from None
            return

    def engine_of(self, table: str, version: str = "") -> str:
        return self._engine.format(table=table, kind="Replacing" if version else "", version=version)

    def _insert(self, table: str, form: str, rows: bytes) -> None:
        with self._errors():
            self._client.command(f"INSERT INTO {identifier(table)} FORMAT {form}", data=rows, settings=self._settings)

    def _connected(self, answer_seconds: int, database: str | None = None) -> Client:
        return clickhouse_connect.get_client(
            interface=self._url.scheme,
            host=self._url.host,
            port=self._url.port,
            username=self._url.user,
            password=self._url.password.reveal(),
            database=database,
            settings=dict(_OF_PROFILES),
            compress=False,
            query_retries=0,
            connect_timeout=_GRACE_SECONDS,
            send_receive_timeout=answer_seconds,
            client_name="endpoints-gitops",
            autogenerate_session_id=False,
            show_clickhouse_errors="scrub",
        )

    def _table_engine(self) -> str:
        """The template of a table engine: with replicas on a cluster with several nodes."""
        if self._url.cluster is None:
            return "{kind}MergeTree({version})"
        known = [row.split("\t") for row in self._lines("SELECT cluster, shard_num, replica_num FROM system.clusters")]
        nodes = [shard for cluster, shard, _ in known if cluster == self._url.cluster]
        if not nodes:
            names = ", ".join(sorted({cluster for cluster, *_ in known})) or "none"
            raise UsageError(
                f"{self._url} has no cluster {self._url.cluster!r}; it has {names}",
                fix="name one of them in ?cluster=, or none for this server alone",
                code="usage.clickhouse",
            )
        self.on_cluster = f" ON CLUSTER {identifier(self._url.cluster)}"
        if len(nodes) == 1:
            return "{kind}MergeTree({version})"
        self._settings |= {"insert_quorum": len(nodes), "alter_sync": 2}
        replica = "{{replica}}" if len(set(nodes)) == 1 else "{{shard}}_{{replica}}"
        return f"Replicated{{kind}}MergeTree('/{PREFIX}tables/{self.database}/{{table}}', '{replica}'" + ", {version})"

    def _lines(self, sql: str) -> list[str]:
        return self._client.raw_query(sql, fmt="TSVRaw").decode().splitlines()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            raise self._meaning(error) from None

    def _meaning(self, error: Error) -> Exception:
        reason, user = _reason(error), self._url.user
        is_trouble = error.code is None or error.code in _REFUSED_USER or error.code in _TROUBLE
        if self._is_restricted:
            if isinstance(_root(error), TimeoutError) and self._client.ping(_PING_SECONDS):
                return timed_out()  # ClickHouse looks at the time between blocks; it ends a query whose client is gone
            unavailable = ClickHouseUnavailable(f"ClickHouse at {self._url} does not answer: {reason}")
            return unavailable if is_trouble else from_clickhouse(reason)
        if error.code in _REFUSED_USER:
            return CredentialsError(f"ClickHouse at {self._url} refuses the user {user!r}: {reason}", fix=_PASSWORD)
        if error.code in _NO_RIGHTS or isinstance(error, ProgrammingError):
            message = f"the user {user!r} may not do at {self._url} what this server needs: {reason}"
            return CredentialsError(message, fix=_RIGHTS)
        if error.code is None:
            return ClickHouseUnavailable(f"ClickHouse at {self._url} does not answer: {reason}")
        return CouldNotFindOut(f"ClickHouse at {self._url} refused a statement of this server: {reason}")


def _check_version(url: ClickHouseUrl, client: Client) -> None:
    version = str(client.server_version)
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UsageError(
            f"ClickHouse at {url} has version {version}; queries are made for {oldest} and later",
            fix=f"use a server with ClickHouse {oldest} or later",
            code="usage.clickhouse",
        )


def _reason(error: Error) -> str:
    """The text of the server, or else what the connection failed of."""
    before, _, response = str(error).partition(_RESPONSE)
    if response:
        return response if error.code is not None else f"{before}: {response[:200]}"
    root = _root(error)
    return str(root) or type(root).__name__


def _root(error: BaseException) -> BaseException:
    """The first of the errors that led to this one."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return error


def _embedded() -> FileReader:
    require("local", "reading Parquet files, compressed files, and tables other than events and persons")
    from endpoints_gitops.local.engine.embedded import EmbeddedSession

    return EmbeddedSession()
