"""The consumers' registry: reading consumers from their sources, and who uses an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.codecs.consumers import is_consumer_name
from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, read_evidence
from endpoints_gitops.codecs.lock import read_lock
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.consumers import (
    ConsumerRegistry,
    RegisteredConsumer,
    RegisteredEnvironment,
    RegisteredUse,
)
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.model.printable import printable
from endpoints_gitops.operations.callers import Callers, is_same_project
from endpoints_gitops.workspace.configuration import (
    LOCK_NAME,
    Configuration,
    EnvironmentSettings,
    named_environment,
    read_table,
    table_in,
)
from endpoints_gitops.workspace.manifest import uses_of
from endpoints_gitops.workspace.sources import EVIDENCE_SUFFIX, MANIFEST_NAMES, SourceFiles

if TYPE_CHECKING:
    from endpoints_gitops.workspace.sources import ConsumerSource

_NOWHERE: Final = Path("/")  # a manifest of a source is not on disk; its name alone counts


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedConsumer:
    """A consumer as its source has it. `notes` say what was found and does not count."""

    consumer: RegisteredConsumer
    notes: tuple[str, ...] = ()

    @property
    def pins(self) -> int:
        return sum(use.version is not None for use in self._uses)

    @property
    def unpinned(self) -> tuple[str, ...]:
        """The endpoints that it uses without a pin, by name."""
        return tuple(sorted({use.name for use in self._uses if use.version is None}))

    @property
    def _uses(self) -> tuple[RegisteredUse, ...]:
        return tuple(use for environment in self.consumer.environments for use in environment.uses)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownUse:
    """One use of an endpoint by a known consumer.

    `collected` is None for the app beside the definitions. `counts_for` are the author's environments that the
    consumer's environment is, by name; empty if it is another project.
    """

    consumer: str
    environment: str
    name: str
    version: int | None
    reads: str
    columns: tuple[str, ...] | None
    collected: date | None
    source: str
    counts_for: tuple[str, ...]


def consumer_of(
    source: ConsumerSource,
    files: SourceFiles,
    *,
    name: str | None,
    evidence: Mapping[str, bytes],
    start: Path,
    today: date,
) -> CollectedConsumer:
    """The consumer that a source describes.

    `name` is by default that of the source. `evidence` are further evidence files by their names in messages. The
    recorded path of a local source is relative to the folder `start`. Raises InvalidInput with every mistake of a file,
    UsageError if the source has neither manifest, lock nor evidence.
    """
    name = name if name is not None else source.name
    if not is_consumer_name(name):
        message = f"{printable(name)!r} cannot be the name of a consumer"
        raise UsageError(message, fix=f"collect {source.label} with --name NAME", code="consumers.source")
    configuration = _configuration(files)
    lock = read_lock(files.files[LOCK_NAME], files.label_of(LOCK_NAME)) if LOCK_NAME in files.files else None
    found = {files.label_of(file): content for file, content in files.files.items() if file.endswith(EVIDENCE_SUFFIX)}
    records = [read_evidence(content, label) for label, content in (found | dict(evidence)).items()]
    if configuration is None and lock is None and not records:
        message = f"{source.label} has no {LOCK_NAME}, no manifest and no evidence"
        fix = "name the folder that has them: SOURCE:FOLDER in a repository or archive"
        raise UsageError(message, fix=fix, code="consumers.source")
    environments, notes = _environments(configuration, lock, records)
    consumer = RegisteredConsumer(
        name=name,
        source=source.recorded(start),
        ref=source.ref,
        commit=files.commit,
        collected=today,
        environments=environments,
    )
    return CollectedConsumer(consumer=consumer, notes=notes)


def refuse_other_source(registry: ConsumerRegistry, consumer: RegisteredConsumer) -> None:
    """Raise UsageError if another consumer with the same name is in the registry: it must not be lost."""
    known = registry.of(consumer.name)
    if known is not None and known.source != consumer.source:
        message = f"{consumer.name} was collected from {known.source} before, not from {consumer.source}"
        fix = f"--name {consumer.name} replaces it; another name keeps both"
        raise UsageError(message, fix=fix, code="consumers.other-source")


def other_projects(
    consumer: RegisteredConsumer, settings: Sequence[EnvironmentSettings]
) -> tuple[RegisteredEnvironment, ...]:
    """The environments of a consumer that are none of these of the author."""
    return tuple(
        environment
        for environment in consumer.environments
        if settings and not any(is_same_project(environment, ours) for ours in settings)
    )


def known_uses(
    registry: ConsumerRegistry, app: Callers, settings: Sequence[EnvironmentSettings]
) -> tuple[KnownUse, ...]:
    """Every use by a known consumer, by endpoint, consumer and environment. `app` is the one beside the definitions."""
    here = [
        KnownUse(
            consumer=caller.name,
            environment=environment,
            name=name,
            version=caller.version,
            reads=caller.reads,
            columns=caller.columns,
            collected=None,
            source=".",
            counts_for=(environment,),
        )
        for (environment, name), callers in app.known.items()
        for caller in callers
    ]
    collected = [
        KnownUse(
            consumer=consumer.name,
            environment=environment.name,
            name=use.name,
            version=use.version,
            reads=use.reads,
            columns=use.columns_read,
            collected=consumer.collected,
            source=consumer.source + (f"#{consumer.ref}" if consumer.ref else ""),
            counts_for=tuple(ours.name for ours in settings if is_same_project(environment, ours)),
        )
        for consumer in registry.consumers
        for environment in consumer.environments
        for use in environment.uses
    ]
    return tuple(sorted((*here, *collected), key=lambda use: (use.name, use.consumer, use.environment)))


def _configuration(files: SourceFiles) -> Configuration | None:
    """The manifest. Raises InvalidInput with its mistakes, UsageError for two manifests or text that is not UTF-8."""

    def read(path: Path) -> str | None:
        content = files.files.get(path.name)
        try:
            return None if content is None else content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = "this file is not UTF-8"
            raise UsageError(message, where=files.label_of(path.name), code="configuration.unreadable") from error

    if not any(name in files.files for name in MANIFEST_NAMES):
        return None
    table = table_in(_NOWHERE, read, lambda path: files.label_of(path.name))
    return read_table(table) if table is not None else None


def _environments(
    configuration: Configuration | None, lock: Lock | None, records: Sequence[Evidence]
) -> tuple[tuple[RegisteredEnvironment, ...], tuple[str, ...]]:
    """The environments with uses or pins, by name; and notes about evidence that does not count."""
    settings = _settings(configuration)
    uses = {name: {use.name: use for use in uses_of(environment)} for name, environment in settings.items()}
    exercised = [pin for record in records for pin in record.pins]
    if configuration is None and lock is None:
        pinned: dict[tuple[str, str], Pin | ExercisedPin] = {(pin.environment, pin.name): pin for pin in exercised}
    else:
        pinned = {(pin.environment, pin.name): pin for pin in (lock.pins if lock else ())}
    names = sorted({*uses, *(environment for environment, _ in pinned)})
    notes: list[str] = []
    environments = []
    for name in names:
        used = uses.get(name, {})
        endpoints = sorted({*used, *(endpoint for environment, endpoint in pinned if environment == name)})
        described = [
            _use(endpoint, used.get(endpoint), pinned.get((name, endpoint)), _of(exercised, name, endpoint), notes)
            for endpoint in endpoints
        ]
        if described:
            ours = settings.get(name)
            environments.append(
                RegisteredEnvironment(
                    name=name,
                    host=ours.host if ours else None,
                    project_id=ours.project_id if ours else None,
                    uses=tuple(described),
                )
            )
    return tuple(environments), tuple(notes)


def _settings(configuration: Configuration | None) -> dict[str, EnvironmentSettings]:
    """The environments of a manifest by name; the default one if it configures none."""
    if configuration is None:
        return {}
    if configuration.is_configured:
        return dict(configuration.environments)
    settings = named_environment(configuration, "default")
    return {settings.name: settings}


def _of(exercised: Iterable[ExercisedPin], environment: str, name: str) -> Iterator[ExercisedPin]:
    return (pin for pin in exercised if (pin.environment, pin.name) == (environment, name))


def _use(
    name: str, use: Use | None, pin: Pin | ExercisedPin | None, exercised: Iterable[ExercisedPin], notes: list[str]
) -> RegisteredUse:
    described = RegisteredUse(name=name, reads=use.reads if use else "name", columns=use.columns if use else None)
    if pin is None:
        return described
    tested: list[tuple[str, ...] | None] = []
    for record in exercised:
        if (record.version, record.endpoint_id, record.contract_hash) != (
            pin.version,
            pin.endpoint_id,
            pin.contract_hash,
        ):
            notes.append(f"evidence of {name}@{record.version} ({record.environment}) is not of the pin in the lock")
        elif record.tests:
            tested.append(record.columns_read)
    return replace(
        described,
        version=pin.version,
        endpoint_id=pin.endpoint_id,
        version_id=pin.version_id,
        contract_hash=pin.contract_hash,
        columns_tested=_all_columns(tested),
    )


def _all_columns(tested: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """The columns of all evidence; None without any, and if rows were read as a whole."""
    if not tested or None in tested:
        return None
    return tuple(sorted({column for columns in tested for column in columns or ()}))
