"""Decide to which hosts a key may be sent. A checkout is not trusted: it must not choose both the key and the host.

`decide` is the only place that decides; commands, the library and the pytest plugin call it by `resolve_connection`.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codecs.reader import Document, check_schema_version
from endpoints_gitops.errors import CredentialsError, InvalidInput, UsageError
from endpoints_gitops.model.origin import HostMistake, Origin
from endpoints_gitops.workspace.files import checkout, shown, write_atomically
from endpoints_gitops.workspace.state import exclusive_lock, state_folder

ALLOWED_HOSTS: Final = "ENDPOINTS_GITOPS_ALLOWED_HOSTS"
_HOST_VARIABLES: Final = ("ENDPOINTS_GITOPS_HOST", "POSTHOG_CLI_HOST")
_FILE: Final = "trust.json"
_SCHEMA_VERSION: Final = 1
_LONGEST_FILE: Final = 4_000_000
_PATIENCE_SECONDS: Final = 5.0


class Permission(StrEnum):
    """Whether a key may be sent to a host."""

    ALLOWED = "allowed"
    OTHER_HOST = "stored for another host"
    PLAIN_HTTP = "plain http"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class KeyDecision:
    """A decision, with its reason for `auth status` and for errors."""

    permission: Permission
    why: str


def decide(
    host: Origin,
    *,
    stored: Origin | None,
    users_hosts: Mapping[Origin, str],
    is_trusted: Callable[[], bool],
    allow_insecure: bool,
) -> KeyDecision:
    """Whether a key may be sent to `host`.

    `stored` is the host that the key was stored for, None if its source stores none. `users_hosts` are the hosts that
    the user named, each with its variable: plain http is allowed for them. `is_trusted` returns whether the user trusts
    this checkout with this key and host. `allow_insecure` is a setting of the checkout, and applies only to a key that
    was stored for exactly this host.
    """
    if host in users_hosts:
        return KeyDecision(Permission.ALLOWED, f"{users_hosts[host]} names this host")
    if host.is_loopback and (stored is None or stored.is_loopback):
        return KeyDecision(Permission.ALLOWED, "the host is this machine")
    if host.is_posthog and (stored is None or stored.is_posthog):
        return KeyDecision(Permission.ALLOWED, "the host is PostHog's own")
    if stored == host:
        if host.is_plain and not allow_insecure:
            return KeyDecision(Permission.PLAIN_HTTP, "the host is plain http, so the key could be intercepted")
        return KeyDecision(Permission.ALLOWED, "the key is stored for this host")
    if stored is not None:
        return KeyDecision(Permission.OTHER_HOST, f"the key is stored for {stored}")
    if is_trusted():
        return KeyDecision(Permission.ALLOWED, "you trust this folder with this key and host (auth trust)")
    plain = ", and it is plain http, so the key could be intercepted" if host.is_plain else ""
    return KeyDecision(Permission.UNTRUSTED, f"only the configuration of this checkout names this host{plain}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Trust:
    """A permission by the user: the configuration of `folder` may send the key of the source `key` to `host`.

    `key` is a source such as `env:NAME` or `dotenv:/path/.env:NAME`, never the key itself.
    """

    folder: str
    host: str
    key: str

    @property
    def command(self) -> Command:
        """The command that records the permission, to run in the folder."""
        return Command("auth", "trust", self.host, self.key)


class NotTrusted(CredentialsError):
    """Only the checkout names the host to which a key would be sent. The key was not sent.

    Read the configuration. If the key may be sent there, `endpoints-gitops auth trust` stores this permission for the
    folder, host and key; in CI and containers, list the allowed hosts in ENDPOINTS_GITOPS_ALLOWED_HOSTS. `needed` is
    the missing permission.
    """

    code = "credentials.untrusted"

    def __init__(self, message: str, needed: Trust, *, where: str | None) -> None:
        fix = Advice(needed.command, f"  # in CI and containers: export {ALLOWED_HOSTS}={shlex.quote(needed.host)}")
        super().__init__(message, where=where, fix=fix)
        self.needed = needed


def users_hosts(env: Mapping[str, str], host_in_code: str | None = None) -> Mapping[Origin, str]:
    """The hosts that the user named in environment variables or in code, each with the variable.

    Raises UsageError for an invalid entry of ENDPOINTS_GITOPS_ALLOWED_HOSTS.
    """
    hosts: dict[Origin, str] = {}
    for entry in filter(None, map(str.strip, env.get(ALLOWED_HOSTS, "").split(","))):
        try:
            hosts[Origin.of(entry)] = ALLOWED_HOSTS
        except HostMistake as mistake:
            fix = f"export {ALLOWED_HOSTS}=https://posthog.example.com,http://posthog:8000"
            raise UsageError(str(mistake), where=ALLOWED_HOSTS, fix=fix, code="configuration.invalid") from None
    named = {"host= in code": host_in_code, **{name: env.get(name) for name in _HOST_VARIABLES}}
    for source, address in named.items():
        try:
            hosts[Origin.of((address or "").strip())] = source
        except HostMistake:  # the user of the address reports the mistake
            continue
    return hosts


@dataclass(kw_only=True, eq=False, repr=False)
class _TrustFile:
    schema_version: int
    written: str
    trusted: tuple[Trust, ...]


class TrustStore:
    """The user's permissions, in one file of the state folder.

    A state folder inside the checkout is not used, because the checkout could contain permissions.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._folder = state_folder(env)

    @property
    def path(self) -> Path:
        return self._folder / _FILE

    def holds(self, trust: Trust) -> bool:
        return not self._is_inside(trust) and trust in self.all()

    def all(self) -> tuple[Trust, ...]:
        """Every trust, sorted. Raises UsageError for a file that cannot be read, InvalidInput for a damaged one."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_LONGEST_FILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            message = f"the list of trusted hosts {shown(self.path)} cannot be read: {error.strerror or error}"
            raise UsageError(message, fix=self._fix, code="state.unusable") from error
        return tuple(sorted(self._trusts(content)))

    def add(self, trust: Trust) -> bool:
        """Add a permission, and return whether it is new. Raises UsageError if it cannot be stored."""
        if self._is_inside(trust):
            message = f"the state folder {shown(self._folder)} is inside the checkout, so it cannot store permissions"
            fix = "set ENDPOINTS_GITOPS_STATE to a folder outside of the checkout"
            raise UsageError(message, fix=fix, code="state.inside-checkout")
        with exclusive_lock(self._folder, "trust", wait_seconds=_PATIENCE_SECONDS):
            known = self.all()
            if trust in known:
                return False
            self._write((*known, trust))
        return True

    def remove(self, selects: Callable[[Trust], bool]) -> tuple[Trust, ...]:
        """Remove the permissions that `selects` accepts, and return them. Raises UsageError like `add`."""
        with exclusive_lock(self._folder, "trust", wait_seconds=_PATIENCE_SECONDS):
            known = self.all()
            removed = tuple(filter(selects, known))
            if removed:
                self._write(set(known) - set(removed))
        return removed

    def _is_inside(self, trust: Trust) -> bool:
        return self._folder.resolve().is_relative_to(checkout(Path(trust.folder)))

    def _write(self, trusts: Collection[Trust]) -> None:
        entries = [asdict(trust) for trust in sorted(trusts)]
        document = {"schema_version": _SCHEMA_VERSION, "written": datetime.now(UTC).isoformat(), "trusted": entries}
        write_atomically(self.path, json.dumps(document, indent=2).encode("ascii"))

    def _trusts(self, content: bytes) -> Iterable[Trust]:
        message = f"the list of trusted hosts {shown(self.path)} is damaged"
        try:
            document = Document.of_json(content, shown(self.path), code="state.unusable", fix=self._fix)
            check_schema_version(document, _SCHEMA_VERSION)
            return document.read(_TrustFile).trusted
        except InvalidInput as error:
            raise InvalidInput(error.problems, message=message, fix=self._fix) from None

    @property
    def _fix(self) -> str:
        return f"rm {shlex.quote(os.fspath(self.path))}  # then run auth trust again"
