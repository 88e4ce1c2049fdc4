"""Files with OpenAPI documents. Those that this program wrote have a mark, and no other is replaced or removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codecs.reader import Document
from endpoints_gitops.codegen.interface import identifiers
from endpoints_gitops.codegen.openapi import is_ours
from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.workspace.configuration import Configuration, EnvironmentSettings
from endpoints_gitops.workspace.files import leads_out, read_regular_file, shown

LARGEST_DOCUMENT: Final = 64 * 1024 * 1024
"""Bytes. A document of one pin has about ten thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiFolder:
    """The files of a folder that can be documents: ours, and those of others under a name that we would use."""

    path: Path
    documents: Mapping[str, JsonObject]
    """Our documents by file name."""
    others: frozenset[str] = frozenset()
    """The names of all other files that end in `.json`."""


def documents_folder(configuration: Configuration, settings: EnvironmentSettings) -> Path:
    """The folder of the documents of an environment. Raises UsageError if it is outside of the repository."""
    folder = configuration.folder / settings.openapi
    if leads_out(folder, configuration.folder):
        message = f"the folder of OpenAPI documents {shown(folder)} is outside of the repository"
        raise UsageError(message, where=settings.where, fix="use a folder inside of it", code="files.outside")
    return folder


def file_names(names: Iterable[str]) -> Mapping[str, str]:
    """The file of each endpoint. The files differ on file systems that ignore case, too."""
    stems = identifiers(names, str, same=str.lower)
    return {name: f"{stem}.json" for name, stem in stems.items()}


def read_folder(path: Path) -> OpenApiFolder:
    """The documents in a folder, which need not exist. Links are not followed.

    Raises UsageError if the folder or a file cannot be read. A file that is not JSON is one of others.
    """
    documents: dict[str, JsonObject] = {}
    others: set[str] = set()
    try:
        files = sorted(path.glob("*.json")) if path.exists() else []
        if path.exists() and not path.is_dir():
            raise UsageError(f"{shown(path)} is not a folder", code="openapi.folder")
    except OSError as error:
        raise UsageError(f"cannot read {shown(path)}: {error.strerror or error}", code="openapi.folder") from error
    for file in files:
        document = None if file.is_symlink() or file.is_dir() else _own_document(file)
        if document is None:
            others.add(file.name)
        else:
            documents[file.name] = document
    return OpenApiFolder(path=path, documents=documents, others=frozenset(others))


def _own_document(path: Path) -> JsonObject | None:
    try:
        document = read_document(path)
    except InvalidInput:
        return None
    return document if is_ours(document) else None


def read_document(path: Path) -> JsonObject:
    """The JSON object in a file. Raises InvalidInput if it is not one, and UsageError if it cannot be read."""
    label = shown(path)
    try:
        content = read_regular_file(path, largest=LARGEST_DOCUMENT)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror or error}", where=label, code="openapi.unreadable"
        ) from error
    fix = Advice(Command("openapi", "pull"), " writes the documents of the pins as JSON")
    if len(content) > LARGEST_DOCUMENT:
        raise InvalidInput((Problem(path=label, message="this file is too large", code="openapi.invalid"),))
    document = Document.of_json(content, label, code="openapi.invalid", fix=fix)
    if not isinstance(document.value, dict):
        document.refuse("an OpenAPI document must be a JSON object")
    return document.value
