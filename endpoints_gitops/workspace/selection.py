"""The endpoints of a command: SELECTORs on the command line, `manage` and `protect` in the configuration."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.base import DefinitionsLocation, base_of
from endpoints_gitops.workspace.commits import not_on_disk, refuse_not_on_disk
from endpoints_gitops.workspace.definitions import SUFFIXES, read_all, read_file
from endpoints_gitops.workspace.git import dirty, explain_missing, repository

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint

TAG: Final = "tag:"
CHANGED: Final = "changed:"


def matches(patterns: Iterable[str], name: str, tags: Collection[str]) -> bool:
    """Whether one of the patterns (a glob over names, or `tag:TAG`) matches an endpoint."""
    return any(
        pattern.removeprefix(TAG) in tags if pattern.startswith(TAG) else fnmatchcase(name, pattern)
        for pattern in patterns
    )


def managed(
    patterns: Iterable[str],
    *,
    definitions: Iterable[LoadedDefinition],
    endpoints: Iterable[Endpoint] = (),
    environment: str | None = None,
) -> frozenset[str]:
    """The names of definitions and endpoints that match `manage` (or `protect`).

    An endpoint has a tag if its definition or the server has it.
    """
    tags = _tags(definitions, endpoints, environment)
    listed = tuple(patterns)
    return frozenset(name for name, its_tags in tags.items() if matches(listed, name, its_tags))


def read_selected(
    selectors: Sequence[str], *, folder: Path, environment: str | None = None, configuration: Path | None = None
) -> tuple[LoadedDefinition, ...]:
    """Every definition in the folder. Only the selected ones are parsed; without selectors, all.

    The server's tags are unknown here, so with `tag:` all are parsed. Raises the errors of `read_all`, and UsageError
    if the folder has no definition on disk while git tracks some in it: those are not deleted.
    """
    if not folder.is_dir():
        refuse_not_on_disk(folder)
    is_parsed = not selectors or any(selector.startswith(TAG) for selector in selectors)
    definitions = read_all(folder, is_parsed=is_parsed)
    if not definitions:
        refuse_not_on_disk(folder)
    if is_parsed:
        return definitions
    names = named_by(
        selectors, definitions=definitions, folder=folder, environment=environment, configuration=configuration
    )
    return parsed(definitions, names, folder)


def named_by(
    selectors: Sequence[str],
    *,
    definitions: Sequence[LoadedDefinition],
    folder: Path,
    environment: str | None = None,
    configuration: Path | None = None,
) -> frozenset[str]:
    """The names of these definitions that a selector matches; without selectors, all.

    A selector that matches none of them can match an endpoint that only the server has.
    """
    names = frozenset[str]()
    for selector in selectors:
        with suppress(UsageError):
            names |= select_names(
                (selector,),
                definitions=definitions,
                folder=folder,
                environment=environment,
                configuration=configuration,
            )
    return names if selectors else frozenset(loaded.name for loaded in definitions)


def parsed(
    definitions: Iterable[LoadedDefinition], names: Collection[str], folder: Path
) -> tuple[LoadedDefinition, ...]:
    """The definitions, with the HogQL of these names parsed. Raises InvalidInput with every problem in them."""
    result: list[LoadedDefinition] = []
    problems: list[Problem] = []
    for loaded in definitions:
        try:
            result.append(read_file(Path(loaded.path), folder) if loaded.name in names else loaded)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(tuple(problems))
    return tuple(result)


def select_names(
    selectors: Sequence[str],
    *,
    definitions: Sequence[LoadedDefinition],
    endpoints: Iterable[Endpoint] = (),
    folder: Path,
    environment: str | None = None,
    configuration: Path | None = None,
) -> frozenset[str]:
    """The names that a selector matches; without selectors, all.

    A selector is a name, a glob over names, `tag:TAG`, the path of a definition, of its `query_file` or of a folder, or
    `changed:REF`: definitions that differ from the merge base of REF and HEAD, including deleted and renamed ones.
    `definitions` are all of the folder; `configuration` is as in `DefinitionsLocation`. Raises UsageError
    for a selector that matches nothing (except `changed:`), with a suggestion, and BaseUnavailable if that
    commit is unknown.
    """
    here = DefinitionsLocation(folder=folder, environment=environment, configuration=configuration)
    field_of_choice = _Choice(tags=_tags(definitions, endpoints, environment), definitions=definitions, here=here)
    if not selectors:
        return frozenset(field_of_choice.tags)
    return frozenset().union(*(field_of_choice.names(selector) for selector in selectors))


def select(
    selectors: Sequence[str],
    definitions: Sequence[LoadedDefinition],
    *,
    folder: Path,
    environment: str | None = None,
    configuration: Path | None = None,
) -> tuple[LoadedDefinition, ...]:
    """The definitions that a selector matches, in their order."""
    names = select_names(
        selectors, definitions=definitions, folder=folder, environment=environment, configuration=configuration
    )
    return tuple(loaded for loaded in definitions if loaded.name in names)


def touching(definitions: Iterable[LoadedDefinition], paths: Collection[Path]) -> frozenset[str]:
    """The names of the definitions with a file at or below one of the paths (real ones, or as git names them)."""
    changed = frozenset(paths)
    if not changed:
        return frozenset()
    return frozenset(
        loaded.name
        for loaded in definitions
        for path in _spellings(files_of(loaded))
        if not changed.isdisjoint((path, *path.parents))
    )


def files_of(loaded: LoadedDefinition) -> tuple[Path, ...]:
    """The files of a definition: its own, and its `query_file`."""
    path = Path(loaded.path)
    beside = loaded.definition.query_file
    return (path, path.parent / beside) if beside else (path,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    tags: Mapping[str, frozenset[str]]
    definitions: Sequence[LoadedDefinition]
    here: DefinitionsLocation

    def names(self, selector: str) -> frozenset[str]:
        if selector.startswith(CHANGED):
            return self._changed(selector.removeprefix(CHANGED))
        names = self._by_name(selector) or self._by_path(selector)
        if not names:
            raise self._nothing(selector)
        return names

    def _changed(self, what: str) -> frozenset[str]:
        """The names with a file that differs from the commit, and the names that only the commit defines."""
        base = base_of(what, self.here, spelled=CHANGED)
        if base is None:
            if repository(self.here.folder) is None:
                cause = explain_missing(self.here.folder)
                raise UsageError(cause.message, fix=cause.fix, code="git.no-commit")
            fix = "run git fetch, if only the remote has the ref"
            raise UsageError(f"there is no commit {printable(what)!r}", fix=fix, code="git.no-commit")
        now = frozenset(loaded.name for loaded in self.definitions)
        then = base.names()
        if not then:
            base.refuse_moved(now, CHANGED)
        deleted = (then - now) & self.tags.keys()
        deleted -= not_on_disk(self.here.folder).names if deleted else frozenset()
        return deleted | touching(self.definitions, dirty(base.repo, self.here.folder, base.commit))

    def _by_name(self, selector: str) -> frozenset[str]:
        if selector in self.tags:
            return frozenset((selector,))
        if selector.startswith(TAG) or glob.has_magic(selector):
            return frozenset(name for name, tags in self.tags.items() if matches((selector,), name, tags))
        return frozenset()

    def _by_path(self, selector: str) -> frozenset[str]:
        path = Path(selector).expanduser()
        return touching(self.definitions, {path.resolve()}) if selector and path.exists() else frozenset()

    def _nothing(self, selector: str) -> UsageError:
        from endpoints_gitops.model.suggestions import did_you_mean

        shown = printable(selector)
        if selector.startswith(TAG):
            tags = frozenset().union(*self.tags.values())
            near = did_you_mean(selector.removeprefix(TAG), sorted(tags))
            message = f"no endpoint has the tag {shown.removeprefix(TAG)!r}{near}"
        elif "/" in selector or "\\" in selector or selector.endswith(SUFFIXES):
            near = did_you_mean(selector, [loaded.path for loaded in self.definitions])
            message = f"no definition is at {shown}{near}"
        elif glob.has_magic(selector):
            message = f"no endpoint's name matches {shown}"
        else:
            message = f"there is no endpoint or definition {shown!r}{did_you_mean(selector, sorted(self.tags))}"
        fix = Advice(Command("list"), " lists the endpoints of the server")
        return UsageError(message, fix=fix, code="usage.selector")


def _spellings(files: Iterable[Path]) -> Iterator[Path]:
    """Each file as git names it, which does not follow links to files, and as its real path."""
    for file in files:
        yield file.parent.resolve() / file.name
        yield file.resolve()


def _tags(
    definitions: Iterable[LoadedDefinition], endpoints: Iterable[Endpoint], environment: str | None
) -> dict[str, frozenset[str]]:
    tags: dict[str, frozenset[str]] = {}
    for loaded in definitions:
        tags[loaded.name] = frozenset(loaded.definition.in_environment(environment).tags or ())
    for endpoint in endpoints:
        tags[endpoint.name] = tags.get(endpoint.name, frozenset()) | frozenset(endpoint.tags)
    return tags
