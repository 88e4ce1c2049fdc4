"""Both sides of `--against WHAT`, and the known callers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from endpoints_gitops.cli.context import CommandContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.endpoint import Endpoint
    from endpoints_gitops.operations.against import Against
    from endpoints_gitops.operations.callers import Callers

WHAT: Final = (
    "what to compare with: live, lock, a git ref (its merge base with HEAD; REF..HEAD: its tip; REF:PATH: that folder "
    "of it), default-branch (the ref of the remote's default branch), a folder, the file of a plan, or NAME@N"
)


def resolved(context: CommandContext, what: str, selectors: Sequence[str]) -> tuple[Against, Callers]:
    """Returns both sides and the known callers. Requests go to the server only if WHAT is live or NAME@N."""
    from functools import partial

    from endpoints_gitops.operations.against import Here, resolve
    from endpoints_gitops.workspace.configuration import lock_path
    from endpoints_gitops.workspace.manifest import read_lock_file

    path = lock_path(context.configuration)
    is_one = context.configuration.is_environment_chosen(context.arguments.env)
    here = Here(
        definitions=_definitions(context, selectors),
        folder=context.folder,
        configuration=context.naming_configuration,
        environment=context.environment.name,
        manage=context.environment.manage,
        client=lambda: context.client,
        lock=partial(read_lock_file, path),
        lock_path=path,
        environments=frozenset({context.environment.name}) if is_one else None,
        selectors=tuple(selectors),
    )
    against = resolve(what, here)
    return against, known_callers(context, against.endpoints)


def _definitions(context: CommandContext, selectors: Sequence[str]) -> tuple[LoadedDefinition, ...]:
    """Definitions on disk, and those that git tracks outside of a sparse checkout: these are not deleted.

    Raises BaseUnavailable where a submodule is missing, as what it defines is unknown.
    """
    from endpoints_gitops.workspace.base import refuse_unknown_submodules
    from endpoints_gitops.workspace.commits import not_on_disk
    from endpoints_gitops.workspace.selection import named_by

    definitions = context.definitions

    def choose(missing: Sequence[LoadedDefinition]) -> frozenset[str]:
        return named_by(
            selectors,
            definitions=missing,
            folder=context.folder,
            environment=context.environment.name,
            configuration=context.naming_configuration,
        )

    missing = not_on_disk(context.folder, choose=choose)
    refuse_unknown_submodules(missing)
    names = {loaded.name for loaded in definitions}
    return (*definitions, *(loaded for loaded in missing.definitions if loaded.name not in names))


def known_callers(context: CommandContext, endpoints: Mapping[str, Endpoint] | None = None) -> Callers:
    """Returns the app whose manifest and lock are beside the definitions, and the consumers of the registry.

    No callers without a configuration. Raises UsageError for a lock or registry that cannot be read, and for a missing
    registry that the configuration names.
    """
    own, others = collected_callers(context, endpoints)
    return app_callers(context, endpoints).reading(own).merged(others)


def app_callers(context: CommandContext, endpoints: Mapping[str, Endpoint] | None = None) -> Callers:
    """Returns the app whose manifest and lock are beside the definitions. Raises UsageError for an unreadable lock."""
    from endpoints_gitops.model.pin import Lock
    from endpoints_gitops.operations.callers import Callers, callers_of
    from endpoints_gitops.workspace.configuration import lock_path
    from endpoints_gitops.workspace.files import shown
    from endpoints_gitops.workspace.manifest import environments_in_use, read_lock_file, uses_of

    configuration = context.configuration
    if configuration.path is None:
        return Callers()
    settings = {
        environment.name: environment
        for environment in (*environments_in_use(configuration, None), context.environment)
    }
    uses = {name: uses_of(environment) for name, environment in settings.items()}
    lock = read_lock_file(lock_path(configuration)) or Lock()
    return callers_of(shown(configuration.path), uses, lock, endpoints)


def collected_callers(
    context: CommandContext, endpoints: Mapping[str, Endpoint] | None = None
) -> tuple[Callers, Callers]:
    """Returns what the registry has of the app beside the definitions, which is known without it; and the other
    consumers. Raises UsageError if the registry cannot be read, or is named and missing.
    """
    from endpoints_gitops.operations.callers import Callers, registered_callers
    from endpoints_gitops.workspace.consumers import app_source, configured_registry

    configuration = context.configuration
    registry = configured_registry(configuration) if configuration.path is not None else None
    if registry is None:
        return Callers(), Callers()
    settings = {**configuration.environments, context.environment.name: context.environment}
    source = app_source(configuration)
    own, others = registry.of_source(source), registry.without_source(source)
    return (
        registered_callers(own, settings.values(), endpoints),
        registered_callers(others, settings.values(), endpoints),
    )
