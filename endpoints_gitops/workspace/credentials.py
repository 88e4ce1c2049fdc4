"""Find the key (`env:NAME`, `dotenv:FILE:NAME`, or the sources of posthog-cli, docs/posthog-cli.md), and decide whether
it may be sent to the configured host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import CredentialsError, UsageError
from endpoints_gitops.model.origin import HostMistake, Origin
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.workspace.configuration import POSTHOG_CLI, EnvironmentSettings, project_number
from endpoints_gitops.workspace.files import checkout, shown
from endpoints_gitops.workspace.key_sources import HOST_NAME, KEY_NAMES, KeySource, dotenv_values, sources
from endpoints_gitops.workspace.trust import (
    ALLOWED_HOSTS,
    KeyDecision,
    NotTrusted,
    Permission,
    Trust,
    TrustStore,
    decide,
    users_hosts,
)

DEFAULT_HOST: Final = "https://us.posthog.com"
_IN_CODE: Final = "key= in code"


class KeyNotSet(CredentialsError):
    """The environment variables of the key are not set. The fix is the command that sets them."""

    code = "credentials.missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Host, project and key of one project. The key may be sent to `host`, even by plain http if that is its scheme.

    `source` describes where the key comes from, and `why` why it may be sent to the host.
    """

    environment: str
    host: str
    project_id: int
    key: Secret
    source: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """A key, its source and its destination, before `decide` decides whether it may be sent there.

    `trust` is the permission that the user would have to give; `stored_host` is the host that the key was stored for,
    None if its source stores none. `may_be_older` is for the sources of posthog-cli, which can have an older key
    without prefix.
    """

    settings: EnvironmentSettings
    host: str
    project_id: int | None
    key: Secret
    source: str
    stored_host: str | None
    trust: Trust
    may_be_older: bool = False
    host_in_code: str | None = None

    def decision(self, env: Mapping[str, str]) -> KeyDecision:
        """Whether the key may be sent to the host. Raises UsageError for an invalid host."""
        return decide(
            _origin(self.host, self.settings.where or self.source),
            stored=_origin(self.stored_host, self.source) if self.stored_host else None,
            users_hosts=users_hosts(env, self.host_in_code),
            is_trusted=lambda: TrustStore(env).holds(self.trust),
            allow_insecure=self.settings.allow_insecure,
        )


def resolve_connection(
    environment: EnvironmentSettings,
    env: Mapping[str, str],
    *,
    dotenv_file: str | None = None,
    host: str | None = None,
    key: Secret | None = None,
) -> Access:
    """Find the key of an environment, and decide whether it may be sent to the environment's host.

    `host` and `key` are those that an app passes in code. `dotenv_file` is for the sources of posthog-cli, and takes
    precedence over `POSTHOG_CLI_DOTENV_FILE`. Raises CredentialsError if there is no key (the message lists the
    searched sources) or if it must not be sent to the host (NotTrusted if the user can trust it), and UsageError if the
    configuration has no project.
    """
    found = find_key(environment, env, dotenv_file=dotenv_file, host=host, key=key)
    return permitted(found, found.decision(env))


def find_address(environment: EnvironmentSettings, env: Mapping[str, str]) -> tuple[str, int]:
    """Host and project of an environment, as `resolve_connection` finds them; a key is not needed.

    Raises UsageError if neither the configuration nor a source of posthog-cli has a project.
    """
    project, stored = environment.project_id, None
    if environment.key == POSTHOG_CLI:
        known = [source for source in sources(env, None) if source.key or source.project]
        source = max(known, key=lambda source: (bool(source.project), bool(source.key)), default=None)
        stored = source.host if source else None
        if project is None and source is not None and source.project:
            project = project_number(source.project, f"the project in {source.label}")
    elif environment.key in {f"env:{name}" for name in KEY_NAMES}:
        stored = env.get(HOST_NAME, "").strip()
    host = (environment.host or stored or DEFAULT_HOST).rstrip("/")
    if project is None:
        message = f"environment {environment.name!r} has no project_id"
        raise UsageError(message, where=environment.where, fix="add project_id = NUMBER", code="configuration.invalid")
    _origin(host, environment.where)
    return host, project


def find_key(
    environment: EnvironmentSettings,
    env: Mapping[str, str],
    *,
    dotenv_file: str | None = None,
    host: str | None = None,
    key: Secret | None = None,
) -> FoundKey:
    """Find the key like `resolve_connection`, without deciding whether it may be sent to the host."""
    if host is not None:
        environment = replace(environment, host=host)
    if key is not None:
        found = _found(environment, key.reveal(), _IN_CODE, identity="code")
    else:
        found = _from_source(environment, env, dotenv_file)
    text = found.key.reveal()
    if not (text.isascii() and text.isprintable() and " " not in text):
        message = f"the value of {found.source} is not an API key: it contains a character that no key contains"
        raise CredentialsError(message, where=environment.where, code="credentials.malformed")
    if not (found.key.has_prefix or found.may_be_older):
        message = f"the value of {found.source} is not an API key, which begins with phx_, phs_ or pha_: it is not sent"
        fix = "create a personal API key in PostHog (Settings, Personal API keys), and store it there"
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.malformed")
    return replace(found, host_in_code=host)


def permitted(found: FoundKey, decision: KeyDecision) -> Access:
    """The access for an allowed decision. Raises the errors of `resolve_connection` otherwise."""
    refusal = refusal_of(found, decision)
    if refusal is not None:
        raise refusal
    settings = found.settings
    if found.project_id is None:
        message = f"environment {settings.name!r} has no project_id"
        raise UsageError(message, where=settings.where, fix="add project_id = NUMBER", code="configuration.invalid")
    return Access(
        environment=settings.name,
        host=found.host,
        project_id=found.project_id,
        key=found.key,
        source=found.source,
        why=decision.why,
    )


def refusal_of(found: FoundKey, decision: KeyDecision) -> CredentialsError | None:
    """The error for a key that must not be sent to its host; None if it may be sent."""
    name, where, host = found.settings.name, found.settings.where, found.trust.host
    if decision.permission is Permission.ALLOWED:
        return None
    if decision.permission is Permission.UNTRUSTED:
        message = f"the key of {found.source} is not sent to {host} (environment {name!r}): {decision.why}"
        return NotTrusted(message, found.trust, where=where)
    export = f"export {ALLOWED_HOSTS}={host}  # if this key may be sent there; otherwise"
    if decision.permission is Permission.PLAIN_HTTP:
        message = f"the key of {found.source} is not sent to {host} (environment {name!r}): {decision.why}"
        fix = f"{export} use https://"
        return CredentialsError(message, where=where, fix=fix, code="credentials.insecure")
    stored = found.stored_host
    message = f"the key of {found.source} is stored for {stored}, not for {host} (environment {name!r}): it is not sent"
    fix = f'{export} give the environment its own key: key = "env:NAME"'
    return CredentialsError(message, where=where, fix=fix, code="credentials.other-host")


def _from_source(environment: EnvironmentSettings, env: Mapping[str, str], dotenv_file: str | None) -> FoundKey:
    source = environment.key
    if source is None:
        message = f"environment {environment.name!r} has no `key` that names the source of its key"
        fix = 'add key = "env:POSTHOG_API_KEY" to it'
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.missing")
    if source == POSTHOG_CLI:
        return _from_posthog_cli(environment, env, dotenv_file)
    if source.startswith("env:"):
        return _from_variable(environment, source.removeprefix("env:"), env)
    return _from_dotenv(environment, source.removeprefix("dotenv:"))


def _from_variable(environment: EnvironmentSettings, name: str, env: Mapping[str, str]) -> FoundKey:
    key = env.get(name, "").strip()
    if not key:
        message = (
            f"environment {environment.name!r} reads its key from the environment variable {name}, which is not set"
        )
        raise KeyNotSet(message, where=environment.where, fix=f"export {name}=phx_…")
    is_posthog_clis = name in KEY_NAMES
    stored = (env.get(HOST_NAME, "").strip() or DEFAULT_HOST) if is_posthog_clis else None
    return _found(
        environment,
        key,
        f"environment variable {name}",
        identity=f"env:{name}",
        stored=stored,
        may_be_older=is_posthog_clis,
    )


def _from_dotenv(environment: EnvironmentSettings, location: str) -> FoundKey:
    file, _, name = location.rpartition(":")
    path = _dotenv_path(environment, file)
    key = dotenv_values(path).get(name, "").strip()
    if not key:
        message = f"environment {environment.name!r} reads its key from {shown(path)}, which does not set {name}"
        fix = f"add the line {name}=phx_… to {shown(path)}"
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.missing")
    return _found(environment, key, f"{name} in {shown(path)}", identity=dotenv_identity(path, name))


def dotenv_identity(path: Path, name: str) -> str:
    """A `dotenv:` source with an absolute path, as in the list of trusted hosts."""
    return f"dotenv:{path.expanduser().resolve()}:{name}"


def _dotenv_path(environment: EnvironmentSettings, file: str) -> Path:
    """The path of a dotenv file. Raises CredentialsError if the checkout names a file outside of itself."""
    try:
        path = environment.base / Path(file).expanduser()
    except RuntimeError:
        message = f"environment {environment.name!r} reads its key from {file}, but that home folder is unknown"
        raise CredentialsError(message, where=environment.where, code="credentials.unreadable") from None
    if not environment.key_from_checkout:
        return path
    try:
        is_inside = path.resolve().is_relative_to(checkout(environment.folder))
    except (OSError, RuntimeError, ValueError) as error:
        message = f"{shown(path)} cannot be read: {error}"
        raise CredentialsError(message, where=environment.where, code="credentials.unreadable") from error
    if not is_inside:
        message = f"environment {environment.name!r} reads its key from {shown(path)}, which is outside of the checkout"
        fix = f"use a file inside the checkout, or export ENDPOINTS_GITOPS_KEY=dotenv:{file}:NAME for one outside"
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.outside")
    return path


def _from_posthog_cli(environment: EnvironmentSettings, env: Mapping[str, str], dotenv_file: str | None) -> FoundKey:
    """The key of the first source with key and project; if the project is configured, of the first source with a
    key."""
    looked: list[str] = []
    half: KeySource | None = None
    for source in sources(env, dotenv_file):
        if source.key and source.project:
            return _stored(environment, source)
        half = half or (source if source.key else None)
        looked.append(source.lacks)
    if half is not None and environment.project_id is not None:
        return _stored(environment, half)
    message = f"no credentials for environment {environment.name!r}: {'; '.join(looked)}"
    fix = Advice("export POSTHOG_CLI_API_KEY=phx_… POSTHOG_CLI_PROJECT_ID=…, or run ", Command("init"))
    raise KeyNotSet(message, where=environment.where, fix=fix)


def _stored(environment: EnvironmentSettings, source: KeySource) -> FoundKey:
    project = None
    if environment.project_id is None and source.project is not None:
        project = project_number(source.project, f"the project in {source.label}")
    return _found(
        environment,
        source.key or "",
        source.label,
        identity=POSTHOG_CLI,
        stored=source.host or DEFAULT_HOST,
        may_be_older=True,
        project=project,
    )


def _found(
    environment: EnvironmentSettings,
    key: str,
    source: str,
    *,
    identity: str,
    stored: str | None = None,
    may_be_older: bool = False,
    project: int | None = None,
) -> FoundKey:
    address = (environment.host or stored or DEFAULT_HOST).rstrip("/")
    where = environment.where if environment.host else source
    trust = Trust(folder=str(environment.folder.resolve()), host=str(_origin(address, where)), key=identity)
    return FoundKey(
        settings=environment,
        host=address,
        project_id=environment.project_id if project is None else project,
        key=Secret(key),
        source=source,
        stored_host=stored,
        trust=trust,
        may_be_older=may_be_older,
    )


def _origin(address: str, where: str | None) -> Origin:
    try:
        return Origin.of(address)
    except HostMistake as mistake:
        raise UsageError(str(mistake), where=where, code="configuration.invalid") from None
