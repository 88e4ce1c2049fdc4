"""Files and variables that hold keys, and the order in which posthog-cli searches them
(docs/posthog-cli.md#its-credentials). No message repeats a line of a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import CredentialsError
from endpoints_gitops.model.json import Json
from endpoints_gitops.workspace.files import read_regular_file, shown


def dotenv_values(path: Path) -> Mapping[str, str]:
    """The variables of a dotenv file, taken literally: `${…}` is not replaced.

    Raises CredentialsError for a file that cannot be read, and for a line that is not an assignment, because its
    variable would be missing silently.
    """
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_text(path) or "")):
        if binding.error:
            raise _unusable(path, "this line is not of the form NAME=VALUE", at=f":{binding.original.line}")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


def credentials_json(path: Path) -> Mapping[str, Json] | None:
    """The object in posthog-cli's credentials file; None if the file does not exist.

    Raises CredentialsError for a file that cannot be read.
    """
    text = _text(path, must_exist=False)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _unusable(path, f"not valid JSON: {error.msg}", at=f":{error.lineno}:{error.colno}") from None
    except (RecursionError, ValueError):
        raise _unusable(path, "not valid JSON: a number is too large, or the nesting is too deep") from None
    if not isinstance(value, dict):
        raise _unusable(path, "the file must be an object with host, token and env_id")
    return value


def _text(path: Path, *, must_exist: bool = True) -> str | None:
    try:
        return read_regular_file(path).decode("utf-8-sig")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not must_exist:
            return None
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise _unusable(path, "this file is not UTF-8") from None


def _unusable(path: Path, message: str, *, at: str = "") -> CredentialsError:
    is_posthog_clis = path.suffix == ".json"
    fix = "correct the file, or run posthog-cli login again" if is_posthog_clis else "correct the file"
    return CredentialsError(message, where=f"{shown(path)}{at}", fix=fix, code="credentials.unreadable")


KEY_NAMES: Final = ("POSTHOG_CLI_API_KEY", "POSTHOG_CLI_TOKEN")
PROJECT_NAMES: Final = ("POSTHOG_CLI_PROJECT_ID", "POSTHOG_CLI_ENV_ID")
HOST_NAME: Final = "POSTHOG_CLI_HOST"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class KeySource:
    """The credentials of one source. `label` names the source; `lacks` describes, for a message, what it lacks."""

    label: str
    key: str | None
    project: str | None
    host: str | None
    lacks: str


def sources(env: Mapping[str, str], dotenv_file: str | None) -> Iterator[KeySource]:
    """Every source in order, read when it is needed. Raises CredentialsError for one that cannot be read."""
    yield _of_variables(env, "the environment")
    named = dotenv_file or env.get("POSTHOG_CLI_DOTENV_FILE")
    if named:
        path = Path(named).expanduser()
        yield _of_variables(dotenv_values(path), shown(path))
    else:
        yield _nothing("dotenv file", "POSTHOG_CLI_DOTENV_FILE names no dotenv file")
    home = env.get("POSTHOG_HOME")
    yield _of_login((Path(home).expanduser() if home else Path.home() / ".posthog") / "credentials.json")


def _of_variables(values: Mapping[str, str], label: str) -> KeySource:
    key_name, key = _first(values, KEY_NAMES)
    _, project = _first(values, PROJECT_NAMES)
    missing = [names[0] for names, value in ((KEY_NAMES, key), (PROJECT_NAMES, project)) if not value]
    return KeySource(
        label=f"{key_name} in {label}",
        key=key,
        project=project,
        host=values.get(HOST_NAME, "").strip() or None,
        lacks=f"{label} does not set {' and '.join(missing)}",
    )


def _of_login(path: Path) -> KeySource:
    value = credentials_json(path)
    if value is None:
        return _nothing(shown(path), f"{shown(path)} does not exist")
    values: dict[str, str | None] = {}
    for name in ("token", "env_id", "host"):
        item = value.get(name)
        if item is not None and (isinstance(item, bool) or not isinstance(item, (str, int))):
            raise CredentialsError(f"{name} must be text", where=shown(path), code="credentials.unreadable")
        values[name] = str(item).strip() or None if item is not None else None
    missing = [name for name in ("token", "env_id") if not values[name]]
    lacks = f"{shown(path)} has no {' and no '.join(missing)}"
    return KeySource(label=shown(path), key=values["token"], project=values["env_id"], host=values["host"], lacks=lacks)


def _nothing(label: str, lacks: str) -> KeySource:
    return KeySource(label=label, key=None, project=None, host=None, lacks=lacks)


def _first(values: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str | None]:
    """The first of the names that is set, with its value; without one, the first name and None."""
    return next(((name, value) for name in names if (value := values.get(name, "").strip())), (names[0], None))
