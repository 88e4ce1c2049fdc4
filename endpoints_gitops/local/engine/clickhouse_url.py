"""The URL of `serve --clickhouse`: a server, a user, and the cluster that its tables belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.secret import Secret

PASSWORD_VARIABLE: Final = "ENDPOINTS_GITOPS_CLICKHOUSE_PASSWORD"  # noqa: S105 - the name of a variable
_PORTS: Final = {"http": 8123, "https": 8443}
_FORM: Final = "write it like https://user@host:8443/?cluster=NAME; ?cluster is for clusters alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseUrl:
    """The HTTP interface of a ClickHouse server. With `cluster`, tables are on all its nodes."""

    scheme: str
    host: str
    port: int
    user: str = "default"
    password: Secret = Secret("")  # noqa: RUF009 - immutable
    cluster: str | None = None

    def __str__(self) -> str:
        """The URL without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{self.user}@{host}:{self.port}"


def parse_clickhouse_url(written: str, environ: Mapping[str, str]) -> ClickHouseUrl:
    """The server that a URL means. The password can be in the variable ENDPOINTS_GITOPS_CLICKHOUSE_PASSWORD instead.

    Raises UsageError, whose message never contains the URL, because that can contain a password.
    """
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:  # whose text can be a part of the password
        raise _refused("has a wrong host or port; in a password, / is written %2F, and @ is %40") from None
    if parts.scheme not in _PORTS:
        raise _refused("must begin with http:// or https://: the HTTP interface is used, not the native one")
    if not parts.hostname:
        raise _refused("names no host")
    if parts.path not in ("", "/") or parts.fragment:
        raise _refused("names a path: the server makes a database of its own, so there is none to name")
    options = parse_qsl(parts.query, keep_blank_values=True)
    unknown = sorted({name for name, _ in options} - {"cluster"})
    if unknown:
        raise _refused(f"has the unknown parameter {unknown[0]!r}: there is only cluster")
    if len(options) > 1 or any(not value for _, value in options):
        raise _refused("must name one cluster")
    password = unquote(parts.password) if parts.password is not None else environ.get(PASSWORD_VARIABLE, "")
    return ClickHouseUrl(
        scheme=parts.scheme,
        host=parts.hostname,
        port=_PORTS[parts.scheme] if port is None else port,
        user=unquote(parts.username) if parts.username else "default",
        password=Secret(password),
        cluster=options[0][1] if options else None,
    )


def _refused(message: str) -> UsageError:
    return UsageError(f"the URL of --clickhouse {message}", fix=_FORM, code="usage.clickhouse")
