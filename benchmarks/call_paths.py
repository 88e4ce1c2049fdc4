"""`uv run python -m benchmarks.call_paths [NAME…]`: how many files and functions of this project an operation crosses.

Each operation is done before it is counted, so that neither imports nor caches that fill are in the figures. Counted
are the functions of the library and the plugin that are entered in threads of the operation; the local server runs in
threads of its own. With `--list` every function is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import pytest

import endpoints_gitops
from benchmarks.calling import pinned_client
from benchmarks.plugin import NAME, lock_app, suite
from benchmarks.project import definition, name, project
from endpoints_gitops.cli.entry import main as command_line
from endpoints_gitops.local.serve import running_server

_LIBRARY: Final = Path(endpoints_gitops.__file__).parent
_PLUGIN: Final = _LIBRARY.parent / "pytest_plugin" / "pytest_endpoints_gitops"
_FUNCTION: Final = 0x3  # CO_OPTIMIZED and CO_NEWLOCALS, which modules and class bodies do not have
_SUITE: Final = f"""\
import pytest

@pytest.mark.parametrize("turn", range(3))
def test_it(endpoints, turn, counting):
    with counting(turn == 2):
        rows = endpoints({NAME!r}, without="a")
    assert rows.column("events")
"""
_OPTIONS: Final = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-p", "no:timeout")


class CallPath:
    """The functions that were entered while this counted, as file, line and name."""

    def __init__(self) -> None:
        self._codes: set[CodeType] = set()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what this thread enters, and what threads enter that start meanwhile."""
        threading.setprofile(self._enter)
        sys.setprofile(self._enter)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # None takes the function away

    def _enter(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            self._codes.add(frame.f_code)

    @property
    def functions(self) -> list[tuple[str, int, str]]:
        """Those of the library, without its local server, and of the plugin, in order."""
        functions = [(Path(code.co_filename), code) for code in self._codes if code.co_flags & _FUNCTION == _FUNCTION]
        return sorted(
            (f"{root.name}/{path.relative_to(root).as_posix()}", code.co_firstlineno, code.co_qualname)
            for path, code in functions
            for root in (_LIBRARY, _PLUGIN)
            if path.is_relative_to(root) and not path.is_relative_to(_LIBRARY / "local")
        )

    @property
    def files(self) -> int:
        """How many files the functions are in."""
        return len({file for file, _, _ in self.functions})


def push() -> CallPath:
    """One changed definition on `push`, beside one that did not change."""
    path = CallPath()
    with project(2) as at, _entered(at.top, at.env):
        _run("push", "--yes")
        for number in range(3):
            file = at.top / "endpoints" / f"{name(1)}.yaml"
            file.write_text(definition(1, f"\n  AND {number} = {number}"), encoding="utf-8")
            at.commit()
            with path.counting() if number == 2 else nullcontext():
                _run("push", "--yes")
    return path


def pinned() -> CallPath:
    """A warm pinned call: one request, whose rows are not looked at."""
    path = CallPath()
    with (
        running_server(sample=True) as server,
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        _entered(Path(folder), {"ENDPOINTS_GITOPS_STATE": f"{folder}/state"}),
        pinned_client(server.url, server.project_id, server.key, Path(folder)) as endpoints,
    ):
        for number in range(3):
            with path.counting() if number == 2 else nullcontext():
                endpoints.run("plans", least=0)
    return path


def replayed() -> CallPath:
    """A call of the plugin's fixture that a recording answers; its rows are not looked at."""
    path = CallPath()

    class Counting:
        @pytest.fixture
        def counting(self) -> Callable[[bool], contextlib.AbstractContextManager[None]]:
            return lambda is_counted: path.counting() if is_counted else nullcontext()

    with project(0) as at:
        lock_app(at)
        folder = suite(at, "app", _SUITE)
        kept = {key: value for key, value in at.env.items() if key != "CI"}
        with _entered(folder, kept):
            _pytest(Counting(), "--endpoints=record")
            path._codes.clear()
            time.sleep(3)  # a recording that was written just now is read at each call
            _pytest(Counting())
    return path


OPERATIONS: Final[dict[str, tuple[Callable[[], CallPath], int, int]]] = {
    "push": (push, 60, 350),
    "pinned": (pinned, 12, 40),
    "replayed": (replayed, 12, 40),
}
"""Each with the most files and functions that it should cross."""


def _run(*words: str) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = command_line(list(words))
    if code:
        raise SystemExit(f"{' '.join(words)} ended in {code}:\n{output.getvalue()}")


def _pytest(plugin: object, *words: str) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = pytest.main([*_OPTIONS, *words], plugins=[plugin])
    if code:
        raise SystemExit(f"pytest ended in {code}:\n{output.getvalue()}")


@contextmanager
def _entered(folder: Path, env: dict[str, str]) -> Iterator[None]:
    """This folder and these variables of the environment, for the length of the block."""
    variables = dict(os.environ)
    os.environ.update(env)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(variables)


def main(words: Sequence[str]) -> int:
    """Print the table. Returns 1 where an operation crosses more than it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.call_paths", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(OPERATIONS))
    parser.add_argument("--list", action="store_true", help="print each function too")
    arguments = parser.parse_args(words)
    if unknown := set(arguments.names) - OPERATIONS.keys():
        parser.error(f"there is no operation {', '.join(sorted(unknown))}; there are {', '.join(OPERATIONS)}")
    is_kept = True
    print(f"{'operation':<10} {'files':>6} {'at most':>8} {'functions':>10} {'at most':>8}")
    for operation in arguments.names or OPERATIONS:
        measure, most_files, most_functions = OPERATIONS[operation]
        path = measure()
        functions = path.functions
        is_kept = is_kept and path.files <= most_files and len(functions) <= most_functions
        print(f"{operation:<10} {path.files:>6} {most_files:>8} {len(functions):>10} {most_functions:>8}", flush=True)
        if arguments.list:
            print(*(f"    {file}:{line} {function}" for file, line, function in functions), sep="\n")
    return 0 if is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
