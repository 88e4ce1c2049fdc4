"""Check many files in several processes, one for each core."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.errors import CouldNotFindOut
from endpoints_gitops.hogql.parser import nothing_else_waits, on_slow_query, surround, unfinished_queries
from endpoints_gitops.operations.check_result import FileResult, Keyed
from endpoints_gitops.operations.checked_file import check_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.context import BaseContext

    from endpoints_gitops.hogql.parser import UnfinishedQueries
    from endpoints_gitops.operations.check import DefinitionFile

_AT_ONCE: Final = 50
_MOST_TEXT: Final = 200  # a report is written to the pipe at once, so that those of several processes do not mix
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _WorkerInput:
    """What every process gets: the files, and what the parser of the first one is surrounded by."""

    files: Sequence[DefinitionFile]
    environment: str | None
    unfinished: UnfinishedQueries | None
    slow: Connection


def check_in_processes(files: Sequence[DefinitionFile], environment: str | None, processes: int) -> Iterator[Keyed]:
    """The results of the files, in their order. Raises PluginFailed, and CouldNotFindOut where a process died."""
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from multiprocessing import active_children
    from threading import Thread

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
    work = _STATE["work"]
    with nothing_else_waits():
        checked = (check_file(file, work.environment) for file in work.files[start : start + _AT_ONCE])
        return json.dumps(list(_rows(checked)), separators=(",", ":")).encode()


def _rows(checked: Iterable[Keyed]) -> Iterator[list[Any]]:
    for one in checked:
        yield [one.key, one.result.is_lasting, one.result.to_json()]
