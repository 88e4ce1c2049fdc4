"""Where the consumers' registry is, and reading and writing it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codecs.consumers import read_registry, write_registry
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.consumers import ConsumerRegistry
from endpoints_gitops.workspace.configuration import PREFIX, Configuration
from endpoints_gitops.workspace.files import leads_out, read_optional_file, rewrite_file, shown

REGISTRY_NAME: Final = "consumers.json"
_VARIABLE: Final = "CONSUMERS"


def registry_path(configuration: Configuration) -> Path:
    """The registry: `ENDPOINTS_GITOPS_CONSUMERS`, else what the configuration names, else `consumers.json` beside it.

    Raises UsageError if the configuration names a file outside of its repository.
    """
    if override := configuration.overrides.get(_VARIABLE):
        return Path(override).expanduser()
    path = configuration.folder / (configuration.consumers or REGISTRY_NAME)
    if leads_out(path, configuration.folder):
        message = f"the consumers' registry {shown(path)} is outside of the repository"
        fix = f"use a file inside the repository, or name the file with {PREFIX}{_VARIABLE}"
        where = shown(configuration.path) if configuration.path else None
        raise UsageError(message, where=where, fix=fix, code="files.outside")
    return path


def configured_registry(configuration: Configuration) -> ConsumerRegistry | None:
    """The registry of a configuration; None if there is none and the configuration names none.

    Raises InvalidInput with every mistake in it, and UsageError if it cannot be read, or is named and missing.
    """
    path = registry_path(configuration)
    registry = read_registry_file(path)
    is_named = configuration.consumers is not None or _VARIABLE in configuration.overrides
    if registry is None and is_named:
        message = f"the consumers' registry {shown(path)} does not exist"
        raise UsageError(message, fix=Advice(Command("consumers", "collect", "SOURCE")), code="consumers.missing")
    return registry


def app_source(configuration: Configuration, registry: Path | None = None) -> str:
    """The source that a registry (by default the configured one) records for the app whose manifest is the
    configuration. Empty without a manifest."""
    from endpoints_gitops.workspace.sources import parse_source

    if configuration.path is None:
        return ""
    path = registry_path(configuration) if registry is None else registry
    return parse_source(str(configuration.folder)).recorded(path.parent)


def read_registry_file(path: Path) -> ConsumerRegistry | None:
    """The registry, or None if the file does not exist.

    Raises InvalidInput with every mistake in it, UsageError if it cannot be read.
    """
    content = read_optional_file(path, code="consumers.unreadable")
    return None if content is None else read_registry(content, shown(path))


def write_registry_file(path: Path, registry: ConsumerRegistry) -> bool:
    """Write the registry, and return whether the file changed. Raises UsageError if it cannot be written."""
    return rewrite_file(path, write_registry(registry))
