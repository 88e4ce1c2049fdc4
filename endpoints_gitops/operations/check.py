"""Check definitions by themselves: every mistake and every rule that one side alone can break, as findings.

Files are independent of each other, so many of them are checked in several processes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from endpoints_gitops.contract.lint import duplicates, lint, of_problem
from endpoints_gitops.errors import CouldNotFindOut, InvalidInput, Problem
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.plan.variables import disagreements, statements
from endpoints_gitops.workspace.base import Location
from endpoints_gitops.workspace.definitions import SUFFIXES, bounding_folder, list_files, read_file
from endpoints_gitops.workspace.files import read_regular_file
from endpoints_gitops.workspace.plugins import installed

_WORTH_PROCESSES: Final = 400
_AT_ONCE: Final = 50
_WORD: Final = re.compile(rb"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A definition's file, and the folder that its `query_file` may not lead out of."""

    path: Path
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was looked at, and what was found in it, by place."""

    files: tuple[File, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """One file; `name` is None where it could not be read as a definition. `shared` is what it says of the project's
    variables, by code name."""

    file: File
    name: str | None
    shared: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...]


def check(
    folder: Path, words: Sequence[str], environment: str | None = None, *, configuration: Path | None = None
) -> Checked:
    """Check the files that the words (paths or selectors) mean; without words the whole folder.

    A name that is defined a second time anywhere in the folder is found too, whatever the words mean. `environment`:
    judge the settings of this one; None: those of each that a file has settings for. `configuration` is as in
    `Location`. Raises UsageError for a word that
    means nothing and for a folder that is not there, PluginFailed, and CouldNotFindOut where a process died.
    """
    files, problems = chosen(Location(folder=folder, environment=environment, configuration=configuration), words)
    results = _results(files, environment)
    others = tuple(_others(folder, files)) if words else ()
    found = [*map(finding_of, problems), *(one for result in results for one in result.findings)]
    return Checked(files=files, findings=by_place([*found, *_doubled(results, others), *_disagreeing(results, others)]))


def chosen(here: Location, words: Sequence[str]) -> tuple[tuple[File, ...], list[Problem]]:
    """The files that paths and selectors mean, each once, and what kept folders from being listed."""
    if not words:
        found, problems = list_files(here.folder)
        return tuple(File(path=path, folder=here.folder) for path in found), problems
    files: dict[Path, File] = {}
    problems = []
    for word in words:
        some, more = _meant(here, word)
        files |= {file.path.resolve(): file for file in some}
        problems += more
    return tuple(files.values()), problems


def by_place(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """In the order of the files, and each once."""
    unique = {(one.where, one.fingerprint, one.message): one for one in findings}
    return tuple(sorted(unique.values(), key=_place))


def finding_of(problem: Problem) -> Finding:
    """The finding that a mistake of reading is."""
    known = of_problem(problem)
    if known is not None:
        return replace(known, where=problem.where)
    return Finding(
        code=problem.code,
        slug=problem.code.rpartition(".")[2],
        severity=Severity.ERROR,
        scope=Scope.NEITHER,
        endpoint="",
        locus=problem.path,
        where=problem.where,
        after=problem.message,
        message=problem.message,
        fix=problem.fix,
    )


def _place(finding: Finding) -> tuple[str, int, int, str, str, str]:
    return (*finding.place, finding.code, finding.endpoint, finding.locus)


def _meant(here: Location, word: str) -> tuple[list[File], list[Problem]]:
    folder = here.folder
    path = Path(word).expanduser()
    is_definition = path.name.lower().endswith(SUFFIXES)
    if word and path.is_dir() and not is_definition:
        bounding_folder(path, folder)
        found, problems = list_files(path)
        return [_file(one, folder, path) for one in found], problems
    if is_definition and os.path.lexists(path):
        return [_file(path, folder, path.parent)], []
    return _selected(here, word)


def _file(path: Path, folder: Path, otherwise: Path) -> File:
    return File(path=path, folder=bounding_folder(path, folder) or otherwise)


def _selected(here: Location, selector: str) -> tuple[list[File], list[Problem]]:
    """The files of a selector, which is about names, tags or commits: whatever cannot be read may be meant too."""
    from endpoints_gitops.workspace.selection import select

    folder = here.folder
    found, problems = list_files(folder)
    loaded: dict[str, File] = {}
    definitions, files = [], []
    for path in found:
        file = File(path=path, folder=folder)
        try:
            definitions.append(read_file(path, folder, is_parsed=False))
            loaded[definitions[-1].path] = file
        except InvalidInput:
            files.append(file)
    wanted = select(
        (selector,),
        definitions,
        folder=folder,
        environment=here.environment,
        configuration=here.configuration,
    )
    return [*files, *(loaded[one.path] for one in wanted)], problems


def _results(files: Sequence[File], environment: str | None) -> list[_Result]:
    checked = partial(_checked, environment=environment)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(files) < _WORTH_PROCESSES or cores < 2:
        return [checked(file) for file in files]
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    before = set(active_children())
    with ProcessPoolExecutor(cores, get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            return list(pool.map(checked, files, chunksize=_AT_ONCE))
        except KeyboardInterrupt:
            for process in set(active_children()) - before:
                process.terminate()
            raise
        except BrokenProcessPool as error:
            message = "a process that checked files was ended by the system, perhaps for want of memory"
            raise CouldNotFindOut(message, fix="run it again, or on one folder at a time", code="check.died") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ctrl-C goes to every process of a terminal: the first one answers for all, and the others end without a word.

    A parent that is killed cannot end them, and they would wait for its next file for ever.
    """
    import signal
    from multiprocessing import parent_process
    from threading import Thread

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    assert parent is not None

    def wait_for_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait_for_parent, name="end-with-parent", daemon=True).start()


def _checked(file: File, environment: str | None) -> _Result:
    try:
        loaded = read_file(file.path, file.folder)
    except InvalidInput as error:
        return _Result(file=file, name=None, findings=tuple(map(finding_of, error.problems)))
    findings = tuple(findings_of(loaded, environment))
    return _Result(file=file, name=loaded.name, shared=statements(loaded), findings=findings)


def findings_of(loaded: LoadedDefinition, environment: str | None) -> Iterator[Finding]:
    """What one definition shows by itself, to the catalogue and to the rules of plugins. Raises PluginFailed."""
    if loaded.unchecked is not None:
        yield from _unparsed(loaded)
    every = (environment,) if environment else (None, *(loaded.definition.environments or {}))
    for one in every:
        yield from lint(loaded, one)
    if plugins := installed():
        from endpoints_gitops.contract.build import from_definition

        yield from plugins.of_definition(loaded, from_definition(loaded, environment))


def _unparsed(loaded: LoadedDefinition) -> Iterator[Finding]:
    """A query that the parser could not finish may hold any mistake. Without a parser, rules C112 and M107 say so."""
    from endpoints_gitops.hogql.parser import ParserTimeout, parse

    line = loaded.lines.get("query") or loaded.lines.get("query_file") or 1
    try:
        parse(loaded.sql or "")
    except ParserTimeout as failure:
        yield finding_of(
            Problem(
                path=loaded.path,
                line=line,
                column=1,
                message=f"the query was not checked: {failure.message}",
                code="definition.unparsed",
                fix="shorten the query: replace long chains of operators by IN or arrays, and deep nesting by WITH",
            )
        )


def _others(folder: Path, files: Sequence[File]) -> Iterator[File]:
    """The files of the folder that nobody asked about."""
    asked = {file.path.resolve() for file in files}
    there = list_files(folder)[0] if folder.is_dir() else []
    return (File(path=path, folder=folder) for path in there if path.resolve() not in asked)


def _doubled(results: Sequence[_Result], others: Iterable[File]) -> tuple[Finding, ...]:
    """Only files that can be about a name that is there twice are read again."""
    counted = Counter(result.name for result in results if result.name)
    twice = {name for name, count in counted.items() if count > 1}
    elsewhere = [file for file in others if _mentions(file, counted)]
    loaded = [_loaded(result.file) for result in results if result.name in twice or (elsewhere and result.name)]
    beside = [one for one in map(_loaded, elsewhere) if one is not None and one.name in counted]
    return duplicates(one for one in (*loaded, *beside) if one is not None)


def _disagreeing(results: Sequence[_Result], others: Iterable[File]) -> Iterator[Finding]:
    """Where a file and another one of the folder disagree on a shared variable, which a push refuses."""
    names = {name for result in results for name, _ in result.shared}
    beside = [loaded for loaded in map(_loaded, (file for file in others if _mentions(file, names))) if loaded]
    said = [(result.file, *statement) for result in results for statement in result.shared]
    every = {(name, stated) for _, name, stated in said}
    every |= {statement for loaded in beside for statement in statements(loaded)}
    counted = Counter(name for name, _ in every)
    disputed = {file.path: file for file, name, _ in said if counted[name] > 1}
    mine = [loaded for loaded in map(_loaded, disputed.values()) if loaded]
    asked = {loaded.path for loaded in mine}
    yield from (finding_of(one) for one in disagreements([*mine, *beside]) if one.path in asked)


def _mentions(file: File, names: Collection[str]) -> bool:
    try:
        content = read_regular_file(file.path)
    except OSError:
        return False
    return any(word.decode() in names for word in _WORD.findall(content))


def _loaded(file: File) -> LoadedDefinition | None:
    try:
        return read_file(file.path, file.folder, is_parsed=False)
    except InvalidInput:
        return None
