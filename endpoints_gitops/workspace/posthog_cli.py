"""The places in which posthog-cli looks for credentials, in its order (docs/posthog-cli.md#its-credentials)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import CredentialsError
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.key_files import credentials_json, dotenv_values

KEY_NAMES: Final = ("POSTHOG_CLI_API_KEY", "POSTHOG_CLI_TOKEN")
PROJECT_NAMES: Final = ("POSTHOG_CLI_PROJECT_ID", "POSTHOG_CLI_ENV_ID")
HOST_NAME: Final = "POSTHOG_CLI_HOST"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Source:
    """What one place holds. `label` names the place; `lacks` says, for a message, what it does not have."""

    label: str
    key: str | None
    project: str | None
    host: str | None
    lacks: str


def sources(env: Mapping[str, str], dotenv_file: str | None) -> Iterator[Source]:
    """Every place, each read only when the one before does not do. Raises CredentialsError for what cannot be read."""
    yield _of_variables(env, "the environment")
    named = dotenv_file or env.get("POSTHOG_CLI_DOTENV_FILE")
    if named:
        path = Path(named).expanduser()
        yield _of_variables(dotenv_values(path), shown(path))
    else:
        yield _nothing("dotenv file", "POSTHOG_CLI_DOTENV_FILE names no dotenv file")
    home = env.get("POSTHOG_HOME")
    yield _of_login((Path(home).expanduser() if home else Path.home() / ".posthog") / "credentials.json")


def _of_variables(values: Mapping[str, str], label: str) -> Source:
    key_name, key = _first(values, KEY_NAMES)
    _, project = _first(values, PROJECT_NAMES)
    missing = [names[0] for names, found in ((KEY_NAMES, key), (PROJECT_NAMES, project)) if not found]
    return Source(
        label=f"{key_name} in {label}",
        key=key,
        project=project,
        host=values.get(HOST_NAME, "").strip() or None,
        lacks=f"{label} does not set {' and '.join(missing)}",
    )


def _of_login(path: Path) -> Source:
    value = credentials_json(path)
    if value is None:
        return _nothing(shown(path), f"{shown(path)} is not there")
    found: dict[str, str | None] = {}
    for name in ("token", "env_id", "host"):
        one = value.get(name)
        if one is not None and (isinstance(one, bool) or not isinstance(one, (str, int))):
            raise CredentialsError(f"{name} is no text", where=shown(path), code="credentials.unreadable")
        found[name] = str(one).strip() or None if one is not None else None
    missing = [name for name in ("token", "env_id") if not found[name]]
    lacks = f"{shown(path)} has no {' and no '.join(missing)}"
    return Source(label=shown(path), key=found["token"], project=found["env_id"], host=found["host"], lacks=lacks)


def _nothing(label: str, lacks: str) -> Source:
    return Source(label=label, key=None, project=None, host=None, lacks=lacks)


def _first(values: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str | None]:
    """The first of the names that is set, and its value; the first name where none is."""
    return next(((name, found) for name in names if (found := values.get(name, "").strip())), (names[0], None))
