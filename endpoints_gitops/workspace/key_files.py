"""Files that hold keys. No message repeats a line of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from endpoints_gitops.errors import CredentialsError
from endpoints_gitops.model.json import Json
from endpoints_gitops.workspace.files import read_regular_file, shown


def dotenv_values(path: Path) -> Mapping[str, str]:
    """The variables of a dotenv file, taken literally: `${…}` is not replaced. Raises CredentialsError.

    A line that is no assignment is a mistake of its own: what it was meant to set would be missed in silence.
    """
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_text(path) or "")):
        if binding.error:
            raise _unusable(f"{shown(path)}:{binding.original.line}", "this line is no NAME=VALUE")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


def credentials_json(path: Path) -> Mapping[str, Json] | None:
    """The one object of posthog-cli's credentials file, None where there is no file. Raises CredentialsError."""
    text = _text(path, must_exist=False)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _unusable(f"{shown(path)}:{error.lineno}:{error.colno}", f"this is no JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise _unusable(
            shown(path), "this is nested too deeply, or holds a number too large, to be credentials"
        ) from None
    if not isinstance(value, dict):
        raise _unusable(shown(path), "this is no object with host, token and env_id")
    return value


def _text(path: Path, *, must_exist: bool = True) -> str | None:
    try:
        return read_regular_file(path).decode("utf-8-sig")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not must_exist:
            return None
        raise _unusable(shown(path), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise _unusable(shown(path), "this file is not UTF-8") from None


def _unusable(where: str, message: str) -> CredentialsError:
    fix = "mend the file, or run posthog-cli login again" if where.split(":")[0].endswith(".json") else "mend the file"
    return CredentialsError(message, where=where, fix=fix, code="credentials.unreadable")
