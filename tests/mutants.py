"""Mutation testing: change one expression of a function at a time, and see whether a test fails.

The mutations are mutmut's. Its runner is not used, because it leaves out functions with decorators, which all rules and
properties are. This one replaces the code of the live function in a fork of a process that has collected the tests, and
runs the tests that call the function, the fastest first, until one fails. `equivalent_mutants.toml` lists the mutants
that change nothing that a caller can see, each with its reason.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import gc
import importlib
import json
import math
import os
import random
import re
import resource
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Self

import libcst as cst
import pytest
from mutmut.mutation.mutators import mutation_operators

if TYPE_CHECKING:
    from endpoints_gitops.hogql.columns import OutputColumn
    from endpoints_gitops.local.engine.project_data import ProjectData

TOP: Final = Path(__file__).parent.parent
EQUIVALENT: Final = Path(__file__).with_name("equivalent_mutants.toml")
VALUES: Final = (
    "tests/plan",
    "tests/contract",
    "tests/operations",
    "tests/codecs/test_plan.py",
    "tests/codecs/test_lock.py",
)
PARTS: Final = {
    "plan": (("endpoints_gitops/plan",), VALUES),
    "contract": (("endpoints_gitops/contract",), (*VALUES, "tests/hogql/test_columns.py")),
    "push": (
        ("endpoints_gitops/operations/push/apply.py", "endpoints_gitops/operations/push/results.py"),
        ("tests/operations",),
    ),
    "push_command": (
        ("endpoints_gitops/operations/push/execute.py", "endpoints_gitops/operations/push/preview.py"),
        ("tests/operations", "tests/cli/test_push.py"),
    ),
    "lock": (
        ("endpoints_gitops/operations/lock/mismatches.py", "endpoints_gitops/operations/lock/resolve.py"),
        ("tests/operations",),
    ),
    "lock_command": (
        ("endpoints_gitops/operations/lock/upgrade.py",),
        ("tests/operations", "tests/cli/test_upgrade.py"),
    ),
    "plugin": (("pytest_plugin/pytest_endpoints_gitops/contract.py",), ("tests/plugin/test_contract.py",)),
}
"""What each part changes, and the tests that have to notice it; those of a command need a server, and are slow."""

SLOW_SECONDS: Final = 0.5
"""Tests that need more time of the processor are left out: a mutant that survives runs all tests of its function."""
UNCHANGED_CALLS: Final = ("len", "isinstance", "cast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One node of a function, and what takes its place."""

    path: str
    classes: tuple[str, ...]
    function: cst.FunctionDef
    node: cst.CSTNode
    changed: cst.CSTNode

    @property
    def name(self) -> str:
        return ".".join((*self.classes, self.function.name.value))

    def changed_function(self) -> cst.FunctionDef:
        return cst.ensure_type(self.function.deep_replace(self.node, self.changed), cst.FunctionDef)

    def label(self) -> str:
        """The name of the mutant in reports and in the list of equivalent ones: the lines that it changes."""
        sources = (cst.Module([function]).code for function in (self.function, self.changed_function()))
        lines = list(difflib.ndiff(*(source.splitlines() for source in sources)))
        sides = (" ".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
        return f"{self.name}: {' → '.join(sides)}"

    def code(self) -> CodeType | None:
        """The code with the change; None where it is the same, or no Python."""
        try:
            code = compiled(self.changed_function(), self.classes)
        except SyntaxError:
            return None
        return None if _is_same(code, compiled(self.function, self.classes)) else code


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every change of every function of a file."""
    module = cst.parse_module(path.read_text("utf-8"))
    for classes, function in _functions(module.body, ()):
        bare = function.with_changes(decorators=[], leading_lines=[], lines_after_decorators=[])
        for node in _expressions(bare.body):
            for kind, operator in mutation_operators:
                for changed in operator(node) if isinstance(node, kind) else ():
                    if not isinstance(changed, cst.BaseString) or "XX" in changed.value:  # no other case of a text
                        yield Mutant(path=str(path), classes=classes, function=bare, node=node, changed=changed)


def _functions(
    body: Iterable[cst.CSTNode], classes: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], cst.FunctionDef]]:
    for statement in body:
        if isinstance(statement, cst.FunctionDef):
            yield classes, statement
        elif isinstance(statement, cst.ClassDef):
            yield from _functions(statement.body.body, (*classes, statement.name.value))


def _expressions(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.Annotation | cst.Decorator):
        return
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in UNCHANGED_CALLS:
        return
    yield node
    for child in node.children:
        yield from _expressions(child)


def compiled(function: cst.FunctionDef, classes: tuple[str, ...]) -> CodeType:
    """The code of a function, compiled inside empty classes of the names of its own."""
    statement: cst.BaseCompoundStatement = function
    for name in reversed(classes):
        statement = cst.ClassDef(name=cst.Name(name), body=cst.IndentedBlock([statement]))
    module = compile("from __future__ import annotations\n" + cst.Module([statement]).code, "<mutant>", "exec")
    qualified_name = ".".join((*classes, function.name.value))
    return next(code for code in _codes(module) if code.co_qualname == qualified_name)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _is_same(one: CodeType, other: CodeType) -> bool:
    return [(each.co_code, each.co_names, _plain(each)) for each in (one, *_codes(one))] == [
        (each.co_code, each.co_names, _plain(each)) for each in (other, *_codes(other))
    ]


def _plain(code: CodeType) -> list[str]:
    return [repr(constant) for constant in code.co_consts if not isinstance(constant, CodeType)]


class StaticEngine:
    """In place of ClickHouse, which does not survive a fork: the columns that static analysis finds, and no rows."""

    @property
    def project(self) -> ProjectData:
        from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT

        return UNKNOWN_PROJECT

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def describe(self, query_node: Mapping[str, Any]) -> list[OutputColumn]:
        from endpoints_gitops.hogql.columns import output

        return list(output(query_node["query"]).columns or ())

    def run(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass


class MutationRun:
    """The pytest plugin that runs the mutants in place of the tests."""

    def __init__(self, parts: list[str], options: argparse.Namespace) -> None:
        self.files = {part: list(_files(part)) for part in parts}
        self.options = options
        self.left = 0
        self._failed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Set what the profile of tests/conftest.py inherits: few examples, the same in every run, and no shrinking."""
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", phases=phases, max_examples=25, database=None, derandomize=True)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from endpoints_gitops.local.engine.engine import Engine

        Engine.open = StaticEngine
        functions = self._live_functions()
        caches = [value for value in gc.get_objects() if isinstance(value, functools._lru_cache_wrapper)]
        self._caches = [cache for cache in caches if "endpoints_gitops" in cache.__module__]
        callers = self._callers(session)
        items = {item.nodeid: item for item in session.items}
        equivalent = tomllib.loads(EQUIVALENT.read_text("utf-8"))
        for part, files in self.files.items():
            counts = Counter[str]()
            mutants = self._chosen(files)
            end = time.monotonic() + (self.options.seconds or math.inf)
            for mutant in mutants:
                if time.monotonic() > end:
                    break
                code = mutant.code()
                if code is None:
                    continue
                path, label = os.path.relpath(mutant.path, TOP), mutant.label()
                if label in equivalent.get(path, {}) or any(re.search(kind, label) for kind in equivalent["kinds"]):
                    outcome = "equivalent"
                else:
                    called_by = callers.get((mutant.path, mutant.name), ())
                    tests = [items[nodeid] for nodeid in called_by if nodeid.startswith(PARTS[part][1])]
                    outcome = self._outcome(code, functions[mutant.path, mutant.name], tests)
                counts[outcome] += 1
                if outcome in ("survived", "untested"):
                    _print(f"{outcome} {path} {label}")
            self.left += counts["survived"] + counts["untested"]
            score = 100 * counts["killed"] / max(1, counts.total() - counts["equivalent"])
            _print(
                f"{part}: {counts.total()} tried, {counts['killed']} killed, {counts['equivalent']} equivalent, "
                f"{counts['survived']} survived, {counts['untested']} that no test calls: {score:.1f} %"
            )
        return True

    def _chosen(self, files: list[Path]) -> list[Mutant]:
        """The mutants of a part, in random order; a sample of them if one is asked for."""
        mutants = [mutant for file in files for mutant in mutants_of(file)]
        mutants = [mutant for mutant in mutants if self.options.only in f"{mutant.path} {mutant.name}"]
        return random.Random(self.options.seed).sample(mutants, min(len(mutants), self.options.sample or len(mutants)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.append(report.nodeid)

    def _live_functions(self) -> dict[tuple[str, str], list[FunctionType]]:
        for file in chain(*self.files.values()):
            words = file.relative_to(TOP).with_suffix("").parts
            importlib.import_module(".".join(words[1:] if words[0] == "pytest_plugin" else words))
        functions = defaultdict(list)
        for value in gc.get_objects():
            if isinstance(value, FunctionType):
                functions[os.path.realpath(value.__code__.co_filename), value.__code__.co_qualname].append(value)
        return functions

    def _callers(self, session: pytest.Session) -> dict[tuple[str, str], list[str]]:
        """The tests that call each function, the fastest first.

        They run in a fork, so that this process starts no thread, which a fork would not have.
        """
        reading, writing = os.pipe()
        if not (child := os.fork()):
            os.close(reading)
            _silence()
            report = self._called(session)
            with os.fdopen(writing, "w") as pipe:
                json.dump(report, pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            report = json.load(pipe)
        os.waitpid(child, 0)
        failed = set(report["failed"])
        passed = [test for test in sorted(report["tests"], key=itemgetter("seconds")) if test["id"] not in failed]
        fast = [test for test in passed if test["seconds"] < self.options.slow]
        left_out = f"{len(passed) - len(fast)} slow ones and {len(failed)} that fail without a change"
        _print("\n".join((f"{len(fast)} tests; left out: {left_out}", *sorted(failed))))
        callers = defaultdict(list)
        for test in fast:
            for path, name in test["calls"]:
                callers[path, name].append(test["id"])
        return callers

    def _called(self, session: pytest.Session) -> dict[str, Any]:
        paths = {str(file) for file in chain(*self.files.values())}
        called: set[tuple[str, str]] = set()
        monitoring = sys.monitoring
        monitoring.use_tool_id(4, "mutants")

        def start(code: CodeType, _: int) -> Any:
            if code.co_filename in paths:
                called.add((code.co_filename, code.co_qualname.partition(".<locals>")[0]))
            return monitoring.DISABLE

        monitoring.register_callback(4, monitoring.events.PY_START, start)
        monitoring.set_events(4, monitoring.events.PY_START)
        tests = []
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            called.clear()
            self._forget()
            monitoring.restart_events()
            begin = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds = time.process_time() - begin
            tests.append({"id": item.nodeid, "seconds": seconds, "calls": sorted(called)})
        return {"tests": tests, "failed": self._failed}

    def _forget(self) -> None:
        for cache in self._caches:
            cache.cache_clear()

    def _outcome(self, code: CodeType, functions: list[FunctionType], tests: list[pytest.Item]) -> str:
        if not tests:
            return "untested"
        if not (child := os.fork()):
            _silence()
            os._exit(self._is_noticed(code, functions, tests))
        _, status = os.waitpid(child, 0)
        return "killed" if status else "survived"

    def _is_noticed(self, code: CodeType, functions: list[FunctionType], tests: list[pytest.Item]) -> bool:
        resource.setrlimit(resource.RLIMIT_CPU, (self.options.timeout, self.options.timeout))
        try:
            for function in functions:
                function.__code__ = code
            self._forget()
            for item, following in zip(tests, [*tests[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self._failed:
                    return True
        except BaseException:
            return True
        return False


def _files(part: str) -> Iterator[Path]:
    for source in PARTS[part][0]:
        yield from sorted((TOP / source).rglob("*.py")) or [TOP / source]


def _silence() -> None:
    """What a fork writes is for nobody."""
    for descriptor in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--only", default="", metavar="TEXT", help="only of functions whose path and name contain this")
    parser.add_argument("--sample", type=int, metavar="NUMBER", help="only so many mutants of each part")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=float, help="stop each part after so long")
    parser.add_argument("--slow", type=float, default=SLOW_SECONDS, metavar="SECONDS", help="leave out slower tests")
    parser.add_argument("--timeout", type=int, default=60, help="seconds of the processor for one mutant")
    options = parser.parse_args()
    parts = options.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    run = MutationRun(parts, options)
    tests = dict.fromkeys(path for part in parts for path in PARTS[part][1])
    pytest.main(["-n0", "-p", "no:randomly", "-p", "no:cacheprovider", "-qq", "-s", *tests], plugins=[run])
    return 1 if run.left else 0


if __name__ == "__main__":
    sys.exit(main())
