"""`consumers`: collect into a registry who uses which endpoints, and show it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.arguments import version_number
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import EndpointsError, UsageError, worst
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of

if TYPE_CHECKING:
    from endpoints_gitops.model.consumers import ConsumerRegistry
    from endpoints_gitops.operations.consumers import CollectedConsumer, KnownUse
    from endpoints_gitops.workspace.configuration import EnvironmentSettings

_COLUMNS: Final = ("endpoint", "consumer", "environment", "version", "columns", "last seen", "source")
_OF_COLLECT: Final = ("out", "name", "evidence", "remove")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the topic, the sources or the name of an endpoint, and their options."""
    parser.add_argument("topic", choices=["collect", "who"], help="read consumers into the registry, or show it")
    parser.add_argument(
        "targets", nargs="*", metavar="SOURCE or NAME",
        help="with collect: a folder, a file, an archive (.zip, .tar.gz) or a git repository, with #REF and :FOLDER "
        "where needed; with who: an endpoint (none: all)",
    )  # fmt: skip
    parser.add_argument("-o", "--out", metavar="FILE", help="with collect: the registry (default: consumers.json)")
    parser.add_argument("--name", metavar="NAME", help="with collect: the name of the consumer (default: its folder's)")
    parser.add_argument(
        "--evidence", metavar="FILE", action="append", default=[],
        help="with collect: an evidence file of the consumer that its source does not have (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--remove", metavar="NAME", action="append", default=[], help="with collect: remove a consumer (repeatable)"
    )
    parser.add_argument("--version", metavar="N", type=version_number, help="with who: only callers that N can reach")
    parser.epilog = (
        "`collect` reads endpoints.lock, the manifest (pyproject.toml or endpoints.toml) and files that end in "
        "evidence.json, replaces the entries of these consumers and keeps all others. It runs nothing of a source, and "
        "git prompts for nothing. If one source cannot be read, nothing is written. `--max-wait` limits each fetch. "
        "`plan`, `push`, `breaking`, `diff --against`, `review` and `gate` use the registry."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Collect consumers, or print who uses an endpoint."""
    _refuse_combinations(arguments)
    with CommandContext.of(arguments, console) as context:
        return _collect(context) if arguments.topic == "collect" else _who(context)


def _refuse_combinations(arguments: argparse.Namespace) -> None:
    topic, targets = arguments.topic, arguments.targets
    message = None
    if topic == "collect" and arguments.version is not None:
        message = "--version is for `consumers who`"
    elif topic == "collect" and not targets and not arguments.remove:
        message = "consumers collect needs a SOURCE"
    elif topic == "collect" and len(targets) != 1 and (arguments.name is not None or arguments.evidence):
        message = "--name and --evidence need exactly one SOURCE"
    elif topic == "who" and any(getattr(arguments, option) for option in _OF_COLLECT):
        message = "-o, --name, --evidence and --remove are for `consumers collect`"
    elif topic == "who" and len(targets) > 1:
        message = "consumers who takes one NAME, or none for all"
    elif topic == "who" and arguments.version is not None and not targets:
        message = "--version needs the NAME of an endpoint"
    if message is not None:
        raise UsageError(message, fix=Advice(Command("consumers", "--help")), code="usage.arguments")


def _settings(context: CommandContext) -> tuple[EnvironmentSettings, ...]:
    """The author's environments, with variables that override the chosen one; only that one with --env.

    Raises UsageError for an unknown --env.
    """
    configuration, arguments = context.configuration, context.arguments
    has_default = configuration.default_environment is not None or len(configuration.environments) < 2
    if configuration.is_environment_chosen(arguments.env):
        return (context.environment,)
    chosen = {context.environment.name: context.environment} if has_default else {}
    return tuple((dict(configuration.environments) | chosen).values())


def _collect(context: CommandContext) -> Outcome:
    """Read every source, then write the registry; if one fails, nothing is written."""
    from endpoints_gitops.model.consumers import ConsumerRegistry
    from endpoints_gitops.operations.consumers import refuse_other_source
    from endpoints_gitops.workspace.consumers import app_source, read_registry_file, registry_path, write_registry_file
    from endpoints_gitops.workspace.files import shown

    arguments, console = context.arguments, context.console
    path = Path(arguments.out) if arguments.out else registry_path(context.configuration)
    before = read_registry_file(path) or ConsumerRegistry()
    _refuse_unknown(before, arguments.remove)
    collected: list[CollectedConsumer] = []
    failures: list[EndpointsError] = []
    for source in arguments.targets:
        try:
            consumer = _read(context, source, path.parent)
            _refuse_twice(consumer, collected)
            if arguments.name is None:
                refuse_other_source(before, consumer.consumer)
            collected.append(consumer)
        except EndpointsError as error:
            failures.append(error)
    if failures:
        console.say(f"{shown(path)} is unchanged, because not every source could be read")
        return Outcome(
            command="consumers",
            exit_code=worst(*(error.exit_code for error in failures)),
            errors=tuple(entry for error in failures for entry in failures_of(error)),
        )
    after = before.without(arguments.remove).with_consumers(item.consumer for item in collected)
    write_registry_file(path, after)
    settings = _settings(context) if context.configuration.path else ()
    app = app_source(context.configuration, path)
    console.show(line for item in collected for line in _lines(item, before, settings, app))
    console.show(f"{name}: removed" for name in arguments.remove)
    count = len(after.consumers)
    console.say(f"{shown(path)} has {count} consumer{'' if count == 1 else 's'}")
    return Outcome(
        command="consumers",
        summary={"collected": len(collected), "removed": len(arguments.remove), "consumers": count},
        items=tuple(_collected_item(item, before) for item in collected),
    )


def _read(context: CommandContext, source: str, start: Path) -> CollectedConsumer:
    from endpoints_gitops.operations.consumers import consumer_of
    from endpoints_gitops.workspace.files import shown
    from endpoints_gitops.workspace.sources import parse_source, read_file, read_source

    arguments = context.arguments
    parsed = parse_source(source)
    if parsed.address is not None:
        context.console.say(Line(f"fetching {parsed.label}", Style.FAINT))
    files = read_source(parsed, seconds=arguments.max_wait)
    evidence = {shown(Path(file)): read_file(Path(file)) for file in arguments.evidence}
    return consumer_of(parsed, files, name=arguments.name, evidence=evidence, start=start, today=context.today)


def _refuse_twice(consumer: CollectedConsumer, collected: Sequence[CollectedConsumer]) -> None:
    name = consumer.consumer.name
    if any(item.consumer.name == name for item in collected):
        message = f"two sources are called {name}"
        raise UsageError(message, fix="collect each with --name", code="consumers.source")


def _refuse_unknown(registry: ConsumerRegistry, names: Sequence[str]) -> None:
    """Raise UsageError for a consumer to remove that the registry does not have."""
    from endpoints_gitops.model.suggestions import did_you_mean

    known = [consumer.name for consumer in registry.consumers]
    for name in names:
        if name not in known:
            message = f"the registry has no consumer {name!r}{did_you_mean(name, known)}"
            raise UsageError(message, fix=Advice(Command("consumers", "who")), code="consumers.unknown")


def _state(item: CollectedConsumer, before: ConsumerRegistry) -> str:
    """`added`, `updated`, or `unchanged` apart from commit and day."""
    known = before.of(item.consumer.name)
    if known is None:
        return "added"
    return "unchanged" if known.environments == item.consumer.environments else "updated"


def _lines(
    item: CollectedConsumer, before: ConsumerRegistry, settings: Sequence[EnvironmentSettings], app: str
) -> Iterator[Line | str]:
    from endpoints_gitops.operations.consumers import other_projects

    consumer = item.consumer
    commit = f" at {consumer.commit[:12]}" if consumer.commit else ""
    pins = f"{item.pins} pin{'' if item.pins == 1 else 's'}"
    yield f"{consumer.name}: {_state(item, before)}; {pins} from {consumer.source}{commit}"
    if item.unpinned:
        yield Line(f"  uses without a pin: {', '.join(item.unpinned)}", Style.WARN)
    if consumer.is_of(app):
        yield "  it is the app beside the definitions, which counts once, with the pins that it has now"
    for environment in other_projects(consumer, settings):
        place = f"project {environment.project_id} at {environment.host}" if environment.project_id else "unknown"
        yield Line(f"  {environment.name} ({place}) is no environment of yours, so it does not count", Style.WARN)
    yield from (Line(f"  {note}", Style.WARN) for note in item.notes)


def _collected_item(item: CollectedConsumer, before: ConsumerRegistry) -> JsonObject:
    from endpoints_gitops.codecs.consumers import consumer_as_json

    state = {"state": _state(item, before), "unpinned": list(item.unpinned), "notes": list(item.notes)}
    return consumer_as_json(item.consumer) | state


def _who(context: CommandContext) -> Outcome:
    """A table with a line for each use; exit code 2 for a name that neither a consumer nor a definition has."""
    from endpoints_gitops.cli.rows import table

    arguments, console = context.arguments, context.console
    uses = _known_uses(context)
    name = arguments.targets[0] if arguments.targets else None
    if name is not None:
        _refuse_unknown_endpoint(context, name, uses)
        reached = {None, arguments.version} if arguments.version is not None else None
        uses = tuple(use for use in uses if use.name == name and (reached is None or use.version in reached))
    today = context.today
    columns = _COLUMNS[1:] if name is not None else _COLUMNS
    rows = [_row(use, today)[len(_COLUMNS) - len(columns) :] for use in uses]
    if rows:
        console.show_document(table(columns, rows, console.width()))
    else:
        about = "any endpoint" if name is None else name if arguments.version is None else f"{name}@{arguments.version}"
        console.show([f"no known consumer uses {about}"])
    if arguments.version is not None and any(use.version is None for use in uses):
        console.say(f"consumers without a pin call the newest version, which can be {arguments.version}")
    return Outcome(command="consumers", summary={"uses": len(uses)}, items=tuple(_use_item(use, today) for use in uses))


def _known_uses(context: CommandContext) -> tuple[KnownUse, ...]:
    """Raises UsageError if neither a registry nor an app beside the definitions is there."""
    from endpoints_gitops.cli.against import app_callers, collected_callers
    from endpoints_gitops.model.consumers import ConsumerRegistry
    from endpoints_gitops.operations.callers import Callers
    from endpoints_gitops.operations.consumers import known_uses
    from endpoints_gitops.workspace.consumers import app_source, configured_registry, registry_path
    from endpoints_gitops.workspace.files import shown

    settings = _settings(context)
    registry = configured_registry(context.configuration)
    app = Callers()
    if context.configuration.path is not None:
        app = app_callers(context).reading(collected_callers(context)[0])
        registry = registry and registry.without_source(app_source(context.configuration))
    if registry is None and not app.known:
        message = f"no consumer is known: {shown(registry_path(context.configuration))} does not exist"
        raise UsageError(message, fix=Advice(Command("consumers", "collect", "SOURCE")), code="consumers.missing")
    uses = known_uses(registry or ConsumerRegistry(), app, settings)
    if context.arguments.env is None:
        return uses
    return tuple(use for use in uses if context.environment.name in use.counts_for)


def _refuse_unknown_endpoint(context: CommandContext, name: str, uses: Sequence[KnownUse]) -> None:
    from endpoints_gitops.model.suggestions import did_you_mean

    used = {use.name for use in uses}
    if name in used:
        return
    known = used | {loaded.name for loaded in context.existing_definitions}
    if name not in known:
        message = f"no definition and no known consumer has {name}{did_you_mean(name, known)}"
        raise UsageError(message, fix=Advice(Command("consumers", "who")), code="usage.selector")


def _row(use: KnownUse, today: date) -> tuple[str | int, ...]:
    from endpoints_gitops.model.consumers import last_seen

    environment = use.environment if use.counts_for else f"{use.environment} (another project)"
    version = "newest (unpinned)" if use.version is None else str(use.version)
    if use.reads == "call":
        columns = "none"
    else:
        columns = ", ".join(use.columns) if use.columns is not None and use.reads == "name" else "any"
        columns += " (by position)" if use.reads == "position" else ""
    seen = "here" if use.collected is None else last_seen(use.collected, today)
    return (use.name, use.consumer, environment, version, columns, seen, use.source)


def _use_item(use: KnownUse, today: date) -> JsonObject:
    from endpoints_gitops.model.consumers import is_stale

    return {
        "endpoint": use.name,
        "consumer": use.consumer,
        "environment": use.environment,
        "counts_for": list(use.counts_for),
        "version": use.version,
        "reads": use.reads,
        "columns": None if use.columns is None else list(use.columns),
        "last_seen": None if use.collected is None else use.collected.isoformat(),
        "stale": use.collected is not None and is_stale(use.collected, today),
        "source": use.source,
    }
