"""What commands need: configuration, definitions, access and client, each read on first use."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.errors import EndpointsError, PartlyApplied, UsageError
from endpoints_gitops.model.sunset import today_at
from endpoints_gitops.operations.project import utc_now

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.cli.judging import Judge
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.endpoint import Endpoint
    from endpoints_gitops.model.sunset import Announcement
    from endpoints_gitops.operations.project import Progress, ProjectContext
    from endpoints_gitops.workspace.check_cache import CheckCache
    from endpoints_gitops.workspace.configuration import Configuration, EnvironmentSettings
    from endpoints_gitops.workspace.credentials import Access


class CommandContext:
    """The configuration, the definitions and the server that one command line means.

    A context manager: leaving it closes the client, if there is one by then. Where an error leaves it after something
    was written, that error is PartlyApplied: only before it may an exit code say that nothing was changed.
    """

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self.arguments = arguments
        self.console = console

    @classmethod
    def of(cls, arguments: argparse.Namespace, console: Console) -> Self:
        """The context of a command line with the options of every command."""
        return cls(arguments, console)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if "folder" in self.__dict__:
            release_parser()
        if "client" not in self.__dict__:
            return
        self.client.close()
        if isinstance(error, Exception) and not isinstance(error, PartlyApplied) and self.client.has_written:
            raise self._partly_applied(error) from error

    def _partly_applied(self, error: Exception) -> PartlyApplied:
        fix = Advice(Command("resume"), " finishes an interrupted push; ", Command("diff"), " shows what differs")
        if isinstance(error, EndpointsError):
            message = f"{error.message}; something was written before that"
            return PartlyApplied(message, where=error.where, fix=error.fix or fix, code=error.code)
        message = f"{self.console.defect(error).message}; something was written before that"
        return PartlyApplied(message, fix=fix, code="defect")

    @cached_property
    def configuration(self) -> Configuration:
        from endpoints_gitops.workspace.configuration import configuration_for

        arguments = self.arguments
        return configuration_for(Path.cwd(), self.console.environment, file=arguments.config, folder=arguments.dir)

    @cached_property
    def judge(self) -> Judge:
        """What judges findings by the policy. Raises InvalidInput for mistakes in the policy."""
        from endpoints_gitops.cli.judging import Judge

        return Judge.of(self.configuration, self.today)

    @cached_property
    def environment(self) -> EnvironmentSettings:
        from endpoints_gitops.workspace.configuration import choose_environment

        return choose_environment(self.configuration, self.arguments.env)

    @cached_property
    def folder(self) -> Path:
        """The definitions folder, which need not exist. Raises UsageError for that of another configuration."""
        from endpoints_gitops.workspace.configuration import definitions_folder, refuse_other_project

        surround_parser(self.console)
        folder = definitions_folder(self.configuration, self.environment, self.arguments.dir)
        refuse_other_project(self.configuration, folder, self.console.environment)
        return folder

    @property
    def now(self) -> datetime:
        """The time of the injected clock, else of this machine."""
        return (self.console.clock or utc_now)()

    @property
    def today(self) -> date:
        """The date in UTC of `now`."""
        return today_at(self.now)

    @property
    def naming_configuration(self) -> Path | None:
        """The folder of the configuration that names the definitions folder; None where --dir or a variable does."""
        is_said = self.arguments.dir or "DIR" in self.configuration.overrides
        return None if is_said else self.configuration.folder

    @cached_property
    def definitions(self) -> tuple[LoadedDefinition, ...]:
        """Every definition in the folder; the HogQL of those alone is parsed that the command line means.

        Raises InvalidInput with every mistake, UsageError without a folder, and where git tracks definitions in it and
        none is on disk.
        """
        from endpoints_gitops.workspace.selection import read_selected

        arguments = self.arguments
        selectors = getattr(arguments, "selectors", None) or getattr(arguments, "names", None) or ()
        return read_selected(
            selectors,
            folder=self.folder,
            environment=self.environment.name,
            configuration=self.naming_configuration,
        )

    @cached_property
    def announcements(self) -> Mapping[str, Announcement]:
        """The announced removals in the folder, by name; what cannot be read is named on stderr."""
        from endpoints_gitops.operations.announcements import read_announcements

        try:
            found, problems = read_announcements(self.folder, self.environment.name)
        except UsageError as error:
            self.console.say(Line(f"deprecations are not shown: {error}", Style.WARN))
            return {}
        for problem in problems:
            self.console.say(Line(f"a deprecation may be missing: {problem}", Style.WARN))
        return found

    @property
    def existing_definitions(self) -> tuple[LoadedDefinition, ...]:
        """The definitions; none without a folder, for commands that create it."""
        from endpoints_gitops.workspace.commits import refuse_not_on_disk

        if self.folder.exists():
            return self.definitions
        refuse_not_on_disk(self.folder)
        return ()

    @property
    def check_cache(self) -> CheckCache | None:
        """The kept results of `check`; None with --no-cache."""
        from endpoints_gitops.workspace.check_cache import CheckCache, cache_folder

        if self.arguments.no_cache:
            return None
        folder = cache_folder(self.console.environment)
        cache = CheckCache(folder)
        if cache.is_foreign:
            self.console.say(f"other users can write to the cache {folder}, so it is not used")
        return cache

    @cached_property
    def access(self) -> Access:
        """Raises CredentialsError where there is no key, or it may not go to the host; at a terminal the user is asked
        whether to trust a checkout with a key and host that only its configuration names.
        """
        from endpoints_gitops.workspace.credentials import resolve_connection
        from endpoints_gitops.workspace.trust import NotTrusted, TrustStore

        env = self.console.environment
        try:
            access = resolve_connection(self.environment, env)
        except NotTrusted as refused:
            needed = refused.needed
            if not self.console.interactive:
                raise
            self.console.warn(Line(str(refused), Style.WARN))
            if not self.console.confirm(f"Trust {needed.folder} to send {needed.key} to {needed.host}?", yes=False):
                raise
            TrustStore(env).add(needed)
            access = resolve_connection(self.environment, env)
        self.console.secrets.add(access.key)
        return access

    @cached_property
    def client(self) -> Client:
        return self.client_of(self.access)

    def client_of(self, access: Access) -> Client:
        """A client for any environment, for commands that work on two. The caller closes it."""
        from endpoints_gitops.api.client import Client
        from endpoints_gitops.api.connection import Connection

        connection = Connection(
            host=access.host,
            project_id=access.project_id,
            key=access.key,
            allow_insecure=True,
            max_wait=self.arguments.max_wait,
            read_timeout=self.arguments.read_timeout,
        )
        return Client(
            connection,
            rate_limiter=self._state_of_user / "budgets.sqlite",
            trace=self.console.trace,
            notice=self.console.say,
        )

    @cached_property
    def state(self) -> Path:
        """The state folder of this host, project and checkout; it may not exist."""
        from endpoints_gitops.workspace.state import project_folder

        access = self.access
        return project_folder(
            self._state_of_user, host=access.host, project_id=access.project_id, definitions=self.folder
        )

    @cached_property
    def progress(self) -> Progress:
        from endpoints_gitops.cli.console import progress_on

        return progress_on(self.console)

    @cached_property
    def project(self) -> ProjectContext:
        from endpoints_gitops.operations.project import ProjectContext

        return ProjectContext(
            environment=self.environment,
            folder=self.folder,
            state=self.state,
            client=self.client,
            progress=self.progress,
            host=self.access.host,
            project_id=self.access.project_id,
            configuration=self.naming_configuration,
            clock=self.console.clock or utc_now,
        )

    def announce(self) -> None:
        """Print the environment that the command is about to write to."""
        access = self.access
        self.console.say(f"environment {access.environment}: {access.host}, project {access.project_id}")

    def address(self, name: str) -> str:
        """The page of an endpoint in the browser; answers about versions lack it (docs/server.md#answers)."""
        from urllib.parse import quote

        return f"{self.access.host}/project/{self.access.project_id}/endpoints/{quote(name, safe='')}"

    def run_url(self, name: str, version: int | None = None) -> str:
        """The URL at which programs call an endpoint, or one version of it."""
        from urllib.parse import quote

        url = f"{self.access.host}/api/projects/{self.access.project_id}/endpoints/{quote(name, safe='')}/run"
        return url if version is None else f"{url}?version={version}"

    def managed(self, endpoints: Iterable[Endpoint], selectors: Sequence[str] = ()) -> tuple[Endpoint, ...]:
        """The endpoints that the selectors mean and the configuration manages; what is outside is counted on stderr.

        Raises UsageError for a selector that matches nothing, or nothing that is managed.
        """
        from endpoints_gitops.workspace.selection import managed, select_names

        there = tuple(endpoints)
        patterns = self.environment.manage
        definitions, name = self._definitions_for([*selectors, *patterns]), self.environment.name
        inside = managed(patterns, definitions=definitions, endpoints=there, environment=name)
        wanted: frozenset[str] = frozenset() if selectors else inside
        for selector in selectors:
            meant = select_names(
                (selector,),
                definitions=definitions,
                endpoints=there,
                folder=self.folder,
                environment=name,
                configuration=self.naming_configuration,
            )
            if meant and not meant & inside:
                raise _outside(selector, patterns)
            wanted |= meant & inside
        outside = sum(endpoint.name not in inside for endpoint in there)
        if outside and not selectors:
            self.console.say(f"{outside} more outside of manage = [{', '.join(patterns)}]")
        return tuple(endpoint for endpoint in there if endpoint.name in wanted)

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Within it, an error about a missing endpoint gets a suggestion, or says that a file here was never pushed."""
        from endpoints_gitops.api.errors import EndpointNotFound
        from endpoints_gitops.operations.lifecycle import explain_missing

        try:
            yield
        except EndpointNotFound as error:
            if explain_missing(self.client, name, error) and (loaded := self.definition_of(name)):
                error.message = f"{loaded.path} defines {name}, but the server does not have it"
                run, push = Command("run", "--file", loaded.path), Command("push", name)
                error.fix = Advice(run, " runs the file as it is; ", push, " creates the endpoint")
            raise

    def definition_of(self, name: str) -> LoadedDefinition | None:
        """The definition of that name if the folder can be read; for uses that tolerate mistakes."""
        with suppress(UsageError):
            return next((loaded for loaded in self.definitions if loaded.name == name), None)
        return None

    @property
    def _state_of_user(self) -> Path:
        from endpoints_gitops.workspace.state import state_folder

        return state_folder(self.console.environment)

    def _definitions_for(self, patterns: Sequence[str]) -> tuple[LoadedDefinition, ...]:
        """The definitions if a pattern needs them, else (): `list NAME` works beside a broken file."""
        from endpoints_gitops.workspace.selection import CHANGED, TAG

        about_files = any(
            pattern.startswith((CHANGED, TAG)) or "/" in pattern or Path(pattern).exists() for pattern in patterns
        )
        return self.existing_definitions if about_files else ()


def surround_parser(console: Console) -> None:
    """Keep what this command finds out about slow queries for the next one, and say what it waits for.

    For commands that work on definitions: the parser is not loaded for others.
    """
    from endpoints_gitops.hogql.parser import SECONDS, UnfinishedQueries, surround

    def unfinished() -> UnfinishedQueries:
        from endpoints_gitops.workspace.state import UnfinishedQueryFolder, state_folder

        return UnfinishedQueryFolder(state_folder(console.environment) / "unfinished")

    def say(sql: str) -> None:
        start = " ".join(sql[:80].split())
        console.say(f"still parsing, for {SECONDS:g} s at most: {start}{'…' if len(sql) > len(start) else ''}")

    surround(unfinished=unfinished, on_slow=say)


def release_parser() -> None:
    """Undo `surround_parser`: a process that runs several commands must not keep it."""
    from endpoints_gitops.hogql.parser import surround

    surround(unfinished=None)


def _outside(selector: str, patterns: Sequence[str]) -> UsageError:
    return UsageError(
        f"{selector} is outside of what this configuration manages: manage = [{', '.join(patterns)}]",
        fix="change `manage` in the configuration",
        code="usage.selector",
    )
