"""What the commands for apps need: the manifest, the lock beside it, and the server of each environment."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.pin import Lock, Use
from endpoints_gitops.model.sunset import today_at
from endpoints_gitops.operations.lock.mismatches import deprecated_pins, lock_mismatches, unused_pins
from endpoints_gitops.operations.project import utc_now
from endpoints_gitops.workspace.configuration import lock_path
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.manifest import (
    environments_in_use,
    missing_lock,
    read_lock_file,
    refuse_ambiguous,
    use_locations,
    uses_of,
)

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.cli.judging import Judge
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.pin import PinnedExample
    from endpoints_gitops.model.sunset import SunsetNotice
    from endpoints_gitops.operations.lock.resolve import EnvironmentUses
    from endpoints_gitops.workspace.configuration import Configuration, EnvironmentSettings


type Placed = tuple[str | None, Finding]
"""A finding and the environment that it is about, None where it is about several."""


class Consumer:
    """The app that a command line is about. A context manager: leaving it closes every client."""

    def __init__(self, arguments: argparse.Namespace, console: Console, *, needs_manifest: bool = True) -> None:
        """`needs_manifest`: without a configuration, the command fails instead of taking the lock in this folder."""
        self.needs_manifest = needs_manifest
        self.arguments = arguments
        self.console = console
        self._opened = ExitStack()
        self._definitions: dict[Path, dict[str, LoadedDefinition]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration with the manifest. Raises UsageError if there is none, and the command needs one."""
        from endpoints_gitops.workspace.configuration import configuration_for

        found = configuration_for(
            Path.cwd(), self.console.environment, file=self.arguments.config, folder=self.arguments.dir
        )
        if found.path is None and self.needs_manifest:
            message = "no configuration here names the endpoints that are used"
            fix = "add a table `uses` to endpoints.toml, or [tool.endpoints-gitops.uses] to pyproject.toml"
            raise UsageError(message, fix=fix, code="configuration.missing")
        return found

    @cached_property
    def judge(self) -> Judge:
        """What judges findings by the policy. Raises InvalidInput for mistakes in the policy."""
        from endpoints_gitops.cli.judging import Judge

        return Judge.of(self.configuration, self.today)

    @cached_property
    def environments(self) -> tuple[EnvironmentSettings, ...]:
        return environments_in_use(self.configuration, self.arguments.env)

    @property
    def is_whole(self) -> bool:
        """Whether the command is about all environments in use."""
        return not self.configuration.is_environment_chosen(self.arguments.env)

    @cached_property
    def uses(self) -> dict[str, tuple[Use, ...]]:
        """The uses of each environment, by its name."""
        return {settings.name: uses_of(settings) for settings in self.environments}

    @cached_property
    def lock_path(self) -> Path:
        return lock_path(self.configuration)

    @cached_property
    def lock(self) -> Lock | None:
        """The lock, None if there is none. One of an older release is verified as far as possible."""
        lock = read_lock_file(self.lock_path)
        if lock is not None and lock.old_hashes:
            from endpoints_gitops.contract.pins import verify_old

            path = shown(self.lock_path)
            verify_old(lock, path)
            message = Advice(
                f"{path} was written by an older release: `", Command("lock"), "` writes what shows every edit"
            )
            self.console.warn(Line(message, Style.WARN))
        return lock

    @property
    def present_lock(self) -> Lock:
        """The lock. Raises UsageError if there is none."""
        if self.lock is None:
            raise missing_lock(self.lock_path)
        return self.lock

    def mismatches(self) -> tuple[Finding, ...]:
        """Where manifest and lock disagree (P108), before the policy is applied."""
        return tuple(finding for _, finding in self._placed_mismatches())

    def placed_mismatches(self) -> tuple[Placed, ...]:
        """The mismatches as the policy judges them, each with its environment."""
        return tuple((name, finding) for name, found in self._placed_mismatches() for finding in self.judged([found]))

    def _placed_mismatches(self) -> tuple[Placed, ...]:
        lock = self.lock or Lock()
        found = {settings.name: self._mismatches(settings, lock) for settings in self.environments}
        others = {pin.environment for pin in lock.pins} - found.keys() if self.is_whole else set()
        found |= {name: unused_pins(name, lock) for name in sorted(others)}
        return tuple((name, finding) for name, findings in found.items() for finding in findings)

    def judged(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """The findings as the policy judges them. Mistakes of the policy itself are for `check`."""
        return self.judge.apply(findings).judged

    @property
    def today(self) -> date:
        """The date in UTC, by the injected clock or by that of this machine."""
        return today_at((self.console.clock or utc_now)())

    def deprecated(self) -> tuple[Placed, ...]:
        """The pins whose endpoint will be removed (P105), by the notices in the lock."""
        names = [settings.name for settings in self.environments]
        placed = deprecated_pins(self.lock or Lock(), names, self.today, self.configuration.deprecation)
        return tuple((name, finding) for name, found in placed for finding in self.judged([found]))

    def sides(self) -> tuple[EnvironmentUses, ...]:
        """The environments of this command that use something."""
        from endpoints_gitops.operations.lock.resolve import EnvironmentUses

        return tuple(
            EnvironmentUses(
                environment=settings.name,
                uses=self.uses[settings.name],
                client=partial(self._client, settings),
                examples=partial(self._examples, settings),
                notice=partial(self._notice, settings),
                place_of=use_locations(self.configuration, settings.name),
                judge=self.judged,
            )
            for settings in self.environments
        )

    def say_unpinned(self) -> None:
        """Print the uses that are not pinned yet, which only `lock` handles."""
        lock = self.lock or Lock()
        names = {use.name for name, uses in self.uses.items() for use in uses if lock.pin(use.name, name) is None}
        if names:
            self.console.say(Line(Advice(f"not pinned yet: {', '.join(sorted(names))}: ", Command("lock")), Style.WARN))

    def _mismatches(self, settings: EnvironmentSettings, lock: Lock) -> tuple[Finding, ...]:
        place_of = use_locations(self.configuration, settings.name)
        is_alone = not self._folder(settings).is_dir()
        return lock_mismatches(settings.name, self.uses[settings.name], lock, place_of, compares_examples=is_alone)

    def _client(self, settings: EnvironmentSettings) -> Client:
        refuse_ambiguous(self.configuration, self.environments)
        context = CommandContext.of(self.arguments, self.console)
        context.configuration, context.environment = self.configuration, settings
        context.announce()
        return self._opened.enter_context(context).client

    def _examples(self, settings: EnvironmentSettings, use: Use) -> tuple[PinnedExample, ...]:
        """The examples of the definition if it has any, else those of the manifest."""
        from endpoints_gitops.model.pin import PinnedExample

        loaded = self._definition(settings, use.name)
        declared = loaded.definition.examples if loaded else None
        if not declared:
            return use.examples
        return tuple(
            PinnedExample(name=example.name, variables=example.variables, rows=example.rows) for example in declared
        )

    def _notice(self, settings: EnvironmentSettings, name: str, locked: SunsetNotice | None) -> SunsetNotice | None:
        """The notice of the definition; where no file here defines the name, what the lock says already stays."""
        loaded = self._definition(settings, name)
        if loaded is None:
            return locked
        return loaded.definition.deprecation.notice if loaded.definition.deprecation else None

    def _definition(self, settings: EnvironmentSettings, name: str) -> LoadedDefinition | None:
        folder = self._folder(settings)
        if folder not in self._definitions:
            self._definitions[folder] = _by_name(folder)
        return self._definitions[folder].get(name)

    def _folder(self, settings: EnvironmentSettings) -> Path:
        from endpoints_gitops.workspace.configuration import definitions_folder

        return definitions_folder(self.configuration, settings, self.arguments.dir)


def items_of(found: Iterable[Placed]) -> tuple[JsonObject, ...]:
    """Findings as JSON, each with its environment."""
    return tuple({**finding.as_json(), "environment": environment} for environment, finding in found)


def pins(count: int) -> str:
    """`1 pin`, `2 pins`."""
    return f"{count} pin{'' if count == 1 else 's'}"


def _by_name(folder: Path) -> dict[str, LoadedDefinition]:
    from endpoints_gitops.workspace.definitions import read_all

    return {loaded.name: loaded for loaded in read_all(folder, is_parsed=False)} if folder.is_dir() else {}
