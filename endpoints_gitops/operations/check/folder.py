"""Check the definitions of a folder: every mistake and every rule that one side alone can break, as findings.

Files are independent of each other, so results are kept by content (`check_cache`), and many files are checked in
several processes, one for each core. A run that finds every result in the cache imports nothing that reads YAML or
HogQL.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.errors import CouldNotFindOut, EndpointsError, InvalidInput, Problem
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.operations.check.definition import DefinitionFile, FileResult, Keyed, check_file, finding_of
from endpoints_gitops.workspace.check_cache import content_hash, key_of
from endpoints_gitops.workspace.definitions import (
    SUFFIXES,
    OpenedFile,
    bounding_folder,
    list_files,
    open_file,
    read_file,
)
from endpoints_gitops.workspace.files import read_regular_file
from endpoints_gitops.workspace.plugins import installed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

    from endpoints_gitops.hogql.parser import UnfinishedQueries
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.workspace.check_cache import CheckCache


_WORTH_PROCESSES: Final = 200
_AT_ONCE: Final = 50
_MOST_TEXT: Final = 200  # a report is written to the pipe at once, so that those of several processes do not mix
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000
_WORD: Final = re.compile(rb"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The files that were checked, and what was found in them, by place."""

    files: tuple[DefinitionFile, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckedFolder:
    """The definitions folder, the environment that is checked, and the configuration as in `Location`."""

    folder: Path
    environment: str | None
    configuration: Path | None


type _Result = tuple[DefinitionFile, FileResult]


def check(
    folder: Path,
    words: Sequence[str],
    environment: str | None = None,
    *,
    configuration: Path | None = None,
    cache: CheckCache | None = None,
) -> Checked:
    """Check the files that the words (paths or selectors) mean; without words the whole folder.

    A name that is defined a second time anywhere in the folder is found too, whatever the words mean. `environment`:
    judge the settings of this one; None: those of each that a file has settings for. `configuration` is as in
    `Location`. Results are taken from `cache`, and kept there. Raises UsageError for a word that means nothing and for
    a folder that is not there, PluginFailed, and CouldNotFindOut where a process died.
    """
    scope = _CheckedFolder(folder=folder, environment=environment, configuration=configuration)
    files, problems = _chosen(scope, words)
    results = _results(files, environment, cache)
    others = tuple(_others(folder, files)) if words else ()
    findings = [*map(finding_of, problems), *(finding for _, result in results for finding in result.findings)]
    return Checked(
        files=files,
        findings=by_place([*findings, *_doubled(results, others), *_disagreeing(results, others)]),
    )


def _chosen(scope: _CheckedFolder, words: Sequence[str]) -> tuple[tuple[DefinitionFile, ...], list[Problem]]:
    """The files that paths and selectors mean, each once, and what kept folders from being listed."""
    if not words:
        paths, problems = list_files(scope.folder)
        return tuple(DefinitionFile(path=path, folder=scope.folder) for path in paths), problems
    files: dict[Path, DefinitionFile] = {}
    problems = []
    for word in words:
        some, more = _meant(scope, word)
        files |= {file.path.resolve(): file for file in some}
        problems += more
    return tuple(files.values()), problems


def by_place(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """In the order of the files, and each once."""
    unique = {(finding.where, finding.fingerprint, finding.message): finding for finding in findings}
    return tuple(sorted(unique.values(), key=_place))


def _place(finding: Finding) -> tuple[str, int, int, str, str, str]:
    location = finding.location
    return (location.path, location.line, location.column, finding.code, finding.endpoint, finding.locus)


def _meant(scope: _CheckedFolder, word: str) -> tuple[list[DefinitionFile], list[Problem]]:
    folder = scope.folder
    path = Path(word).expanduser()
    is_definition = path.name.lower().endswith(SUFFIXES)
    if word and path.is_dir() and not is_definition:
        bounding_folder(path, folder)
        paths, problems = list_files(path)
        return [_file(below, folder, path) for below in paths], problems
    if is_definition and os.path.lexists(path):
        return [_file(path, folder, path.parent)], []
    return _selected(scope, word)


def _file(path: Path, folder: Path, otherwise: Path) -> DefinitionFile:
    return DefinitionFile(path=path, folder=bounding_folder(path, folder) or otherwise)


def _selected(scope: _CheckedFolder, selector: str) -> tuple[list[DefinitionFile], list[Problem]]:
    """The files of a selector, which is about names, tags or commits: whatever cannot be read may be meant too."""
    from endpoints_gitops.workspace.selection import select

    folder = scope.folder
    paths, problems = list_files(folder)
    readable: dict[str, DefinitionFile] = {}
    definitions, files = [], []
    for path in paths:
        file = DefinitionFile(path=path, folder=folder)
        try:
            definitions.append(read_file(path, folder, is_parsed=False))
            readable[definitions[-1].path] = file
        except InvalidInput:
            files.append(file)
    wanted = select(
        (selector,),
        definitions,
        folder=folder,
        environment=scope.environment,
        configuration=scope.configuration,
    )
    return [*files, *(readable[loaded.path] for loaded in wanted)], problems


def _results(files: Sequence[DefinitionFile], environment: str | None, cache: CheckCache | None) -> list[_Result]:
    """The result of each file, from the cache where the same content was checked before."""
    usable = cache if cache is not None and not installed() else None
    kept = {} if usable is None or usable.is_empty else _kept(files, environment, usable)
    missing = [file for file in files if file not in kept]
    for file, keyed in zip(missing, _computed(missing, environment), strict=True):
        kept[file] = keyed.result
        if usable is not None and keyed.key is not None and keyed.result.is_lasting:
            usable.put(keyed.key, keyed.result.to_json())
    if usable is not None:
        usable.save()
    return [(file, kept[file]) for file in files]


def _kept(
    files: Sequence[DefinitionFile], environment: str | None, cache: CheckCache
) -> dict[DefinitionFile, FileResult]:
    results: dict[DefinitionFile, FileResult] = {}
    for file in files:
        try:
            opened = open_file(file.path, file.folder)
            value = cache.get(key_of(opened.path, opened.content, environment))
            if value is not None and _is_unchanged(opened, result := FileResult.from_json(value, is_lasting=True)):
                results[file] = result
        except (EndpointsError, ValueError, TypeError, LookupError):  # what is wrong is found by checking the file
            continue
    return results


def _is_unchanged(opened: OpenedFile, result: FileResult) -> bool:
    """Whether the other files that a result depends on are as they were."""
    try:
        return all(content_hash(opened.read_beside(name)) == content for name, content in result.beside)
    except (EndpointsError, OSError):
        return False


def _computed(files: Sequence[DefinitionFile], environment: str | None) -> Iterable[Keyed]:
    if not files:
        return ()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(files) < _WORTH_PROCESSES or cores < 2:
        from endpoints_gitops.hogql.parser import nothing_else_waits

        with nothing_else_waits():
            return [check_file(file, environment) for file in files]
    return _in_processes(files, environment, cores)


def _others(folder: Path, files: Sequence[DefinitionFile]) -> Iterator[DefinitionFile]:
    """The files of the folder that nobody asked about."""
    asked = {file.path.resolve() for file in files}
    there = list_files(folder)[0] if folder.is_dir() else []
    return (DefinitionFile(path=path, folder=folder) for path in there if path.resolve() not in asked)


def _doubled(results: Sequence[_Result], others: Iterable[DefinitionFile]) -> Sequence[Finding]:
    """Only files that can be about a name that is there twice are read again."""
    counted = Counter(result.name for _, result in results if result.name)
    twice = {name for name, count in counted.items() if count > 1}
    elsewhere = [file for file in others if _mentions(file, counted)]
    if not (twice or elsewhere):
        return ()
    from endpoints_gitops.contract.lint import duplicates

    loaded = [_loaded(file) for file, result in results if result.name in twice or (elsewhere and result.name)]
    beside = [other for other in map(_loaded, elsewhere) if other is not None and other.name in counted]
    return duplicates(definition for definition in (*loaded, *beside) if definition is not None)


def _disagreeing(results: Sequence[_Result], others: Iterable[DefinitionFile]) -> Iterator[Finding]:
    """Where a file and another one of the folder disagree on a shared variable, which a push refuses."""
    stated = [(file, *statement) for file, result in results for statement in result.shared]
    if not stated:
        return
    from endpoints_gitops.plan.variables import disagreements, statements

    names = {name for _, name, _ in stated}
    beside = [loaded for loaded in map(_loaded, (file for file in others if _mentions(file, names))) if loaded]
    every = {(name, statement) for _, name, statement in stated}
    every |= {statement for loaded in beside for statement in statements(loaded)}
    counted = Counter(name for name, _ in every)
    disputed = {file.path: file for file, name, _ in stated if counted[name] > 1}
    mine = [loaded for loaded in map(_loaded, disputed.values()) if loaded]
    asked = {loaded.path for loaded in mine}
    yield from (finding_of(problem) for problem in disagreements([*mine, *beside]) if problem.path in asked)


def _mentions(file: DefinitionFile, names: Collection[str]) -> bool:
    try:
        content = read_regular_file(file.path)
    except OSError:
        return False
    return any(word.decode() in names for word in _WORD.findall(content))


def _loaded(file: DefinitionFile) -> LoadedDefinition | None:
    try:
        return read_file(file.path, file.folder, is_parsed=False)
    except InvalidInput:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _WorkerInput:
    """What every process gets: the files, and what the parser of the first one is surrounded by."""

    files: Sequence[DefinitionFile]
    environment: str | None
    unfinished: UnfinishedQueries | None
    slow: Connection


def _in_processes(files: Sequence[DefinitionFile], environment: str | None, processes: int) -> Iterator[Keyed]:
    """The results of the files, in their order. Raises PluginFailed, and CouldNotFindOut where a process died."""
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from multiprocessing import active_children
    from threading import Thread

    from endpoints_gitops.contract import lint  # noqa: F401 - once, as the processes are copies of this one
    from endpoints_gitops.hogql.parser import on_slow_query, unfinished_queries

    context, before = _context(), set(active_children())
    reports, slow = context.Pipe(duplex=False)
    work = _WorkerInput(files=files, environment=environment, unfinished=unfinished_queries(), slow=slow)
    starts = range(0, len(files), _AT_ONCE)
    listener = Thread(target=_listen, args=(reports, on_slow_query()), name="slow-queries", daemon=True)
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(work,)) as pool:
        try:
            answers = pool.map(_check_files, starts)
            slow.close()  # every process is started by now, so the pipe ends with the last one
            listener.start()
            for answer in answers:
                for key, is_lasting, result in json.loads(answer):
                    yield Keyed(key=key, result=FileResult.from_json(result, is_lasting=is_lasting))
        except KeyboardInterrupt:
            for process in set(active_children()) - before:
                process.terminate()
            raise
        except BrokenProcessPool as error:
            message = "a process that checked files was ended by the system, perhaps for want of memory"
            raise CouldNotFindOut(message, fix="run it again, or on one folder at a time", code="check.died") from error
        finally:
            pool.shutdown(cancel_futures=True)
    listener.join(1)


def _context() -> BaseContext:
    """Processes that start as copies of this one where that is safe, as they need not import anything again."""
    from multiprocessing import get_context

    is_alone = sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - as texts
    if is_alone:
        gc.freeze()
    return get_context("fork" if is_alone else "spawn")


def _listen(reports: Connection, on_slow: Callable[[str], None] | None) -> None:
    """Pass on what the processes report of slow queries, until the last one ends."""
    try:
        while True:
            sql = reports.recv()
            if on_slow is not None:
                on_slow(sql)
    except (EOFError, OSError):
        reports.close()


_STATE: dict[str, _WorkerInput] = {}


def _begin(work: _WorkerInput) -> None:
    """Ctrl-C goes to every process of a terminal: the first one answers for all, and the others end without a word.

    A parent that is killed cannot end them, and they would wait for its next file for ever.
    """
    from multiprocessing import parent_process
    from threading import Thread

    from endpoints_gitops.hogql.parser import surround

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    parent = parent_process()
    assert parent is not None

    def wait_for_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait_for_parent, name="end-with-parent", daemon=True).start()
    _STATE["work"] = work
    memory = work.unfinished
    surround(
        unfinished=None if memory is None else (lambda: memory),
        on_slow=lambda sql: work.slow.send(sql[:_MOST_TEXT]),
    )


def _check_files(start: int) -> bytes:
    from endpoints_gitops.hogql.parser import nothing_else_waits

    work = _STATE["work"]
    with nothing_else_waits():
        checked = (check_file(file, work.environment) for file in work.files[start : start + _AT_ONCE])
        return json.dumps(list(_rows(checked)), separators=(",", ":")).encode()


def _rows(checked: Iterable[Keyed]) -> Iterator[list[Any]]:
    for one in checked:
        yield [one.key, one.result.is_lasting, one.result.to_json()]
