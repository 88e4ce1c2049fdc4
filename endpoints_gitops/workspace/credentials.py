"""Where the key comes from: `env:NAME`, `dotenv:FILE:NAME`, or posthog-cli's places (docs/posthog-cli.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import CredentialsError, UsageError
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.workspace.configuration import project_number
from endpoints_gitops.workspace.configuration_file import host_mistake
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.key_files import dotenv_values
from endpoints_gitops.workspace.posthog_cli import Source, sources
from endpoints_gitops.workspace.settings import POSTHOG_CLI, EnvironmentSettings

DEFAULT_HOST: Final = "https://us.posthog.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a client needs to reach one project, and `source`: in words, where the key came from."""

    environment: str
    host: str
    project_id: int
    key: Secret
    source: str
    allow_insecure: bool = False


def resolve_connection(
    environment: EnvironmentSettings, env: Mapping[str, str], *, dotenv_file: str | None = None
) -> Access:
    """Find the key of an environment.

    `dotenv_file` is for posthog-cli's places, and goes before `POSTHOG_CLI_DOTENV_FILE`. Raises CredentialsError, which
    says every place that was looked at, and UsageError where the configuration does not say which project.
    """
    source = environment.key
    if source is None:
        message = f"environment {environment.name!r} does not say where its key comes from"
        fix = 'add key = "env:POSTHOG_API_KEY" to it'
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.missing")
    if source == POSTHOG_CLI:
        return _from_posthog_cli(environment, env, dotenv_file)
    if source.startswith("env:"):
        key, said = _from_variable(environment, source.removeprefix("env:"), env)
    else:
        key, said = _from_dotenv(environment, source.removeprefix("dotenv:"))
    return _access(environment, host=environment.host, project=environment.project_id, key=key, source=said)


def _from_variable(environment: EnvironmentSettings, name: str, env: Mapping[str, str]) -> tuple[str, str]:
    key = env.get(name, "").strip()
    if not key:
        message = (
            f"environment {environment.name!r} takes its key from the environment variable {name}, which is not set"
        )
        raise CredentialsError(message, where=environment.where, fix=f"export {name}=phx_…", code="credentials.missing")
    return key, f"environment variable {name}"


def _from_dotenv(environment: EnvironmentSettings, place: str) -> tuple[str, str]:
    file, _, name = place.rpartition(":")
    path = environment.base / Path(file).expanduser()
    key = dotenv_values(path).get(name, "").strip()
    if not key:
        message = f"environment {environment.name!r} takes its key from {shown(path)}, which does not set {name}"
        fix = f"add the line {name}=phx_… to {shown(path)}"
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.missing")
    return key, f"{name} in {shown(path)}"


def _from_posthog_cli(environment: EnvironmentSettings, env: Mapping[str, str], dotenv_file: str | None) -> Access:
    """The first place that has key and project; where the project is configured, else the first that has a key."""
    looked: list[str] = []
    half: Source | None = None
    for source in sources(env, dotenv_file):
        if source.key and source.project:
            return _from_source(environment, source)
        half = half or (source if source.key else None)
        looked.append(source.lacks)
    if half is not None and environment.project_id is not None:
        return _from_source(environment, half)
    message = f"no credentials for environment {environment.name!r}: {'; '.join(looked)}"
    fix = "export POSTHOG_CLI_API_KEY=phx_… POSTHOG_CLI_PROJECT_ID=…, or run endpoints-gitops init"
    raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.missing")


def _from_source(environment: EnvironmentSettings, source: Source) -> Access:
    """A key goes to no other host than the one it was stored for: a checkout's configuration is somebody's text."""
    host = environment.host
    if host is not None and source.host is not None and _address(host) != _address(source.host):
        message = f"the key of {source.label} is for {source.host}, and environment {environment.name!r} is at {host}"
        fix = 'give the environment a key of its own: key = "env:NAME", or set ENDPOINTS_GITOPS_KEY=env:NAME'
        raise CredentialsError(message, where=environment.where, fix=fix, code="credentials.other-host")
    project = environment.project_id
    if project is None:
        assert source.project is not None, "a source without project is taken only where the project is configured"
        project = project_number(source.project, f"the project in {source.label}")
    return _access(environment, host=host or source.host, project=project, key=source.key or "", source=source.label)


def _access(
    environment: EnvironmentSettings, *, host: str | None, project: int | None, key: str, source: str
) -> Access:
    if project is None:
        message = f"environment {environment.name!r} has no project_id"
        raise UsageError(message, where=environment.where, fix="add project_id = NUMBER", code="configuration.invalid")
    if not (key.isascii() and key.isprintable() and " " not in key):
        message = f"what stands in {source} is no API key: it holds a character that no key has"
        raise CredentialsError(message, where=environment.where, code="credentials.malformed")
    address = (host or DEFAULT_HOST).rstrip("/")
    mistake = host_mistake(address)
    if mistake is not None:
        raise UsageError(mistake, where=source, code="configuration.invalid")
    return Access(
        environment=environment.name,
        host=address,
        project_id=project,
        key=Secret(key),
        source=source,
        allow_insecure=environment.allow_insecure,
    )


def _address(host: str) -> str:
    return os.path.normcase(host.rstrip("/")).lower()
