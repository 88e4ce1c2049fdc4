"""Check the definitions of a folder: every mistake and every rule that one side alone can break, as findings.

Files are independent of each other, so results are kept by content (`check_cache`), and many files are checked in
several processes, one for each core. A run that finds every result in the cache imports nothing that reads YAML or
HogQL.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.errors import CouldNotFindOut, EndpointsError, InvalidInput, Problem, UsageError
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.sunset import DEFAULT_POLICY, Announcement, DeprecationPolicy
from endpoints_gitops.operations.check.definition import (
    CheckSettings,
    DefinitionFile,
    FileResult,
    Keyed,
    check_file,
    finding_of,
)
from endpoints_gitops.operations.check.folder_index import FolderIndex, IndexedFile, index_of
from endpoints_gitops.workspace.check_cache import content_hash
from endpoints_gitops.workspace.definitions import (
    SUFFIXES,
    bounding_folder,
    list_files,
    open_file,
    read_file,
)
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.plugins import installed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

    from endpoints_gitops.hogql.parser import UnfinishedQueries
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.policy import Ignore
    from endpoints_gitops.workspace.check_cache import CheckCache


_WORTH_PROCESSES: Final = 200
_AT_ONCE: Final = 50
_MOST_TEXT: Final = 200  # a report is written to the pipe at once, so that those of several processes do not mix
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000
_SQL: Final = ".sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The files that were checked, their findings in the order of the files, the removals that they announce, and
    their ignore comments.

    `is_complete`: every rule was judged for every file, as all could be read and parsed. `notes` are for the user.
    """

    files: tuple[DefinitionFile, ...]
    findings: tuple[Finding, ...]
    announcements: tuple[Announcement, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    is_complete: bool = True
    notes: tuple[str, ...] = ()


type _Results = Sequence[tuple[DefinitionFile, FileResult]]


def check(
    folder: Path,
    words: Sequence[str],
    settings: CheckSettings,
    *,
    configuration: Path | None = None,
    cache: CheckCache | None = None,
    today: date | None = None,
    policy: DeprecationPolicy = DEFAULT_POLICY,
    changed_files: bool = False,
) -> Checked:
    """Check the files that the words (paths or selectors) name; without words the whole folder.

    A `.sql` file stands for the definitions whose query is in it. A name that two files of the folder define is a
    finding also where only one of them is checked. With `changed_files` the words are the files of a change, as in
    `_concerned`. `configuration` is as in `DefinitionsLocation`. Results are taken from `cache`, and kept there.
    `today` (in UTC) and `policy` are for announced removals, of which nothing is said without a date. Raises UsageError
    for a word that names nothing and for a folder that does not exist, PluginFailed, and CouldNotFindOut where a
    process died.
    """
    if changed_files and not folder.is_dir():
        list_files(folder)  # raises the error
    index = index_of(folder, cache) if words or changed_files else FolderIndex()
    files: dict[str, DefinitionFile] = {}
    problems: list[Problem] = []
    notes: tuple[str, ...] = ()
    for word in () if changed_files else words or (None,):
        some, unlisted = _files_of(word, folder, index, settings.environment, configuration)
        files |= {_entry(str(file.path), index) if words else str(file.path): file for file in some}
        problems += unlisted
    if changed_files:
        files, notes = _concerned(words, folder, index)
        problems = list(index.problems)
    results = _results(tuple(files.values()), settings, cache)
    others = [file for file in index.files if file.entry not in files]
    findings = [*map(finding_of, problems), *(finding for _, result in results for finding in result.findings)]
    findings += [*_duplicates(results, others), *_disagreements(results, others)]
    announcements = tuple(result.announcement for _, result in results if result.announcement is not None)
    if today is not None and announcements:
        findings += _announced(announcements, results, others, today, policy)
    return Checked(
        files=tuple(files.values()),
        findings=by_place(findings),
        announcements=announcements,
        ignores=tuple(ignore for _, result in results for ignore in result.ignores),
        is_complete=not problems and all(result.is_complete for _, result in results),
        notes=notes,
    )


def _concerned(
    paths: Sequence[str], folder: Path, index: FolderIndex
) -> tuple[dict[str, DefinitionFile], tuple[str, ...]]:
    """The definitions of the folder that a change of these files concerns, by their real paths, and notes.

    They are the definitions among the files, those whose query is in one of them, and those whose `query_file` does not
    exist: the change may have deleted or renamed it. Files that are no definitions of the folder are skipped.
    """
    reals = {os.path.realpath(path) for path in paths}
    entries = {_entry(path, index) for path in paths}
    queries = {real: tuple(index.users_of(real)) for real in sorted(reals) if real.lower().endswith(_SQL)}
    concerned = [
        *(file for file in index.files if file.real in reals or file.entry in entries),
        *(file for users in queries.values() for file in users),
        *index.without_query(),
    ]
    top = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118 - as texts
    unused = [shown(Path(real)) for real, users in queries.items() if real.startswith(top) and not users]
    notes = tuple(f"no definition uses {path}" for path in unused)
    return {file.entry: file.as_definition() for file in concerned}, notes


def _entry(path: str, index: FolderIndex) -> str:
    """The entry of a file of the folder, however it is spelled; the real path of another file."""
    folder, name = os.path.split(path)
    entry = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - as a text
    return entry if entry in index.entries else os.path.realpath(path)


def by_place(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in the order of the files, each once."""
    unique = {(finding.where, finding.fingerprint, finding.message): finding for finding in findings}
    return tuple(sorted(unique.values(), key=_order))


def _order(finding: Finding) -> tuple[str, int, int, str, str, str]:
    location = finding.location
    return (location.path, location.line, location.column, finding.code, finding.endpoint, finding.locus)


def _files_of(
    word: str | None, folder: Path, index: FolderIndex, environment: str | None, configuration: Path | None
) -> tuple[list[DefinitionFile], list[Problem]]:
    """The files that a path or a selector names (None: the whole folder), and what could not be listed."""
    if word is None:
        paths, problems = list_files(folder)
        return [DefinitionFile(path=path, folder=folder) for path in paths], problems
    path = Path(word).expanduser()
    is_definition = path.name.lower().endswith(SUFFIXES)
    if word and path.is_dir() and not is_definition:
        bounding_folder(path, folder)
        paths, problems = list_files(path)
        bounds = [bounding_folder(below, folder) or path for below in paths]
        return [DefinitionFile(path=below, folder=bound) for below, bound in zip(paths, bounds, strict=True)], problems
    if is_definition and os.path.lexists(path):
        return [DefinitionFile(path=path, folder=bounding_folder(path, folder) or path.parent)], []
    if path.name.lower().endswith(_SQL) and path.is_file():
        users = [file.as_definition() for file in index.users_of(os.path.realpath(path))]
        if not users:
            fix = "name a definition, or a file that one names as its query_file"
            raise UsageError(f"no definition uses {shown(path)}", fix=fix, code="usage.selector")
        return users, list(index.problems)
    return _selected_files(word, folder, environment, configuration)


def _selected_files(
    selector: str, folder: Path, environment: str | None, configuration: Path | None
) -> tuple[list[DefinitionFile], list[Problem]]:
    """The files of a selector for names, tags or commits. A file that cannot be read may match it, so it is one."""
    from endpoints_gitops.workspace.selection import select

    paths, problems = list_files(folder)
    readable: dict[str, DefinitionFile] = {}
    definitions, unreadable = [], []
    for path in paths:
        file = DefinitionFile(path=path, folder=folder)
        try:
            definitions.append(read_file(path, folder, is_parsed=False))
            readable[definitions[-1].path] = file
        except InvalidInput:
            unreadable.append(file)
    try:
        selected = select((selector,), definitions, folder=folder, environment=environment, configuration=configuration)
    except UsageError as error:
        if not unreadable or error.code != "usage.selector":
            raise
        selected = ()  # the selector may mean a file with mistakes, which are reported
    return [*unreadable, *(readable[loaded.path] for loaded in selected)], problems


def _results(files: Sequence[DefinitionFile], settings: CheckSettings, cache: CheckCache | None) -> _Results:
    """The result of each file, from the cache where the same content was checked before."""
    if cache is None or installed():
        return [*zip(files, (keyed.result for keyed in _check(files, settings)), strict=True)]
    results = {} if cache.is_empty else _cached(files, settings, cache)
    missing = [file for file in files if file not in results]
    for file, keyed in zip(missing, _check(missing, settings), strict=True):
        results[file] = keyed.result
        if keyed.key is not None and keyed.result.is_lasting:
            cache.put(keyed.key, keyed.result.to_json())
    cache.save()
    return [(file, results[file]) for file in files]


def _cached(
    files: Sequence[DefinitionFile], settings: CheckSettings, cache: CheckCache
) -> dict[DefinitionFile, FileResult]:
    """The results that the cache has of files that are unchanged, as are the other files that they depend on."""
    results: dict[DefinitionFile, FileResult] = {}
    for file in files:
        try:
            opened = open_file(file.path, file.folder)
            value = cache.get(settings.key(opened))
            if value is None:
                continue
            result = FileResult.from_json(value, is_lasting=True)
            if all(content_hash(opened.read_beside(name)) == content for name, content in result.beside):
                results[file] = result
        except (EndpointsError, OSError, ValueError, TypeError, LookupError):  # checking the file finds what is wrong
            continue
    return results


def _check(files: Sequence[DefinitionFile], settings: CheckSettings) -> Iterable[Keyed]:
    """Check each file, in several processes where there are enough files to be worth it."""
    if not files:
        return ()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(files) >= _WORTH_PROCESSES and cores > 1:
        return _check_in_processes(files, settings, cores)
    from endpoints_gitops.hogql.parser import nothing_else_waits

    with nothing_else_waits():
        return [check_file(file, settings) for file in files]


def _duplicates(results: _Results, others: Sequence[IndexedFile]) -> Sequence[Finding]:
    """The findings for names that several files define. Only files that define such a name are read again."""
    counts = Counter(result.name for _, result in results if result.name)
    beside = [file for file in others if file.name in counts]
    duplicated = {name for name, count in counts.items() if count > 1} | {file.name for file in beside}
    if not duplicated:
        return ()
    from endpoints_gitops.contract.lint import duplicates

    loaded = [
        *(_load(file) for file, result in results if result.name in duplicated),
        *(_load(file.as_definition()) for file in beside),
    ]
    return duplicates(definition for definition in loaded if definition is not None)


def _disagreements(results: _Results, others: Sequence[IndexedFile]) -> Iterator[Finding]:
    """The findings for checked files that disagree with another file on a shared variable; push refuses those."""
    stated = [(file, *statement) for file, result in results for statement in result.shared]
    if not stated:
        return
    names = {name for _, name, _ in stated}
    beside = [file for file in others if any(name in names for name, _ in file.shared)]
    distinct = {(name, statement) for _, name, statement in stated}
    distinct |= {(name, statement) for file in beside for name, statement in file.shared}
    counts = Counter(name for name, _ in distinct)
    disputed = {file.path: file for file, name, _ in stated if counts[name] > 1}
    if not disputed:
        return
    from endpoints_gitops.plan.variables import disagreements

    checked = [loaded for loaded in map(_load, disputed.values()) if loaded]
    readable = [loaded for file in beside if (loaded := _load(file.as_definition()))]
    paths = {loaded.path for loaded in checked}
    yield from (finding_of(problem) for problem in disagreements([*checked, *readable]) if problem.path in paths)


def _announced(
    announcements: Sequence[Announcement],
    results: _Results,
    others: Sequence[IndexedFile],
    today: date,
    policy: DeprecationPolicy,
) -> Iterator[Finding]:
    """The findings about announced removals. Other files count for a `replaced_by` that no checked file has."""
    from endpoints_gitops.contract.announcements import announcement_findings

    names = {result.name for _, result in results if result.name}
    if {announcement.notice.replaced_by for announcement in announcements} - names - {None}:
        names |= {file.name for file in others if file.name is not None}
    for announcement in announcements:
        yield from announcement_findings(announcement, today, policy, names)


def _load(file: DefinitionFile) -> LoadedDefinition | None:
    try:
        return read_file(file.path, file.folder, is_parsed=False)
    except InvalidInput:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _WorkerInput:
    """What every process gets: the files, and what the parser of the first process reads and reports to."""

    files: Sequence[DefinitionFile]
    settings: CheckSettings
    unfinished: UnfinishedQueries | None
    slow: Connection


def _check_in_processes(files: Sequence[DefinitionFile], settings: CheckSettings, processes: int) -> Iterator[Keyed]:
    """Check the files in several processes, and yield their results in the order of the files.

    Raises PluginFailed, and CouldNotFindOut where a process died.
    """
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from multiprocessing import active_children
    from threading import Thread

    from endpoints_gitops.contract import lint  # noqa: F401 - once, as the processes are copies of this one
    from endpoints_gitops.hogql.parser import on_slow_query, unfinished_queries

    context, before = _context(), set(active_children())
    reports, slow = context.Pipe(duplex=False)
    work = _WorkerInput(files=files, settings=settings, unfinished=unfinished_queries(), slow=slow)
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
    """Start processes as copies of this one where that is safe, as a copy need not import anything again."""
    from multiprocessing import get_context

    is_alone = sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - as texts
    if is_alone:
        gc.freeze()
    return get_context("fork" if is_alone else "spawn")


def _listen(reports: Connection, on_slow: Callable[[str], None] | None) -> None:
    """Pass on the slow queries that the processes report, until the last process ends."""
    try:
        while True:
            sql = reports.recv()
            if on_slow is not None:
                on_slow(sql)
    except (EOFError, OSError):
        reports.close()


_STATE: dict[str, _WorkerInput] = {}


def _begin(work: _WorkerInput) -> None:
    """Prepare a process. Ctrl-C reaches every process of a terminal: the first one reports it, the others just end.

    A parent that is killed cannot end its processes, so each ends by itself when the parent is gone.
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
        checked = [check_file(file, work.settings) for file in work.files[start : start + _AT_ONCE]]
    rows = [[keyed.key, keyed.result.is_lasting, keyed.result.to_json()] for keyed in checked]
    return json.dumps(rows, separators=(",", ":")).encode()
