"""The pytest plugin: what it costs where nobody uses it, what a replayed call costs, and how often the server is asked.

The peer is pytest-recording (vcrpy), which replays the same calls of the same server, made with urllib, in the same run
(dependency group `bench`). Seconds are of the processor, the least of several runs: what else a machine does says
nothing of a plugin.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import Measure
from benchmarks.project import Project, ours, project

CALLS = 200
INPUTS = 10
STARTS = 15
REPEATS = 5
_HEAVY = ("pydantic", "httpx", "deepdiff", "ruamel.yaml", "chdb")
_BARE = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-p", "no:timeout")
_OURS, _PEER = ("-p", "no:endpoints_gitops"), ("-p", "no:recording")
NAME = "events_by_day"
_DEFINITION = f"""\
name: {NAME}
query: |-
  SELECT toStartOfDay(timestamp) AS day, properties.plan AS plan, count() AS events
  FROM events WHERE event = 'note created' AND distinct_id != {{variables.without}}
  GROUP BY day, plan ORDER BY day, plan LIMIT 100
variables:
  - {{name: without, type: String, default: nobody}}
"""
_MANIFEST = """\
[environments.bench]
host = "{url}"
project_id = {project}
key = "env:POSTHOG_CLI_API_KEY"
[uses]
{name} = "*"
"""
_REPLAYED = "--record-mode=none"
_HEAD = f"import pytest\n\n@pytest.mark.parametrize('number', range({CALLS}))\n"
_NO_CALL = f"{_HEAD}def test_it(number):\n    assert number >= 0\n"
_TIMED = """\
from pathlib import Path
from time import perf_counter
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    item.started = perf_counter()
    return (yield)

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item):
    result = yield
    taken = perf_counter() - item.started
    with Path(__file__).with_name("taken").open("a") as file:
        file.write(f"{taken}\\n")
    return result
"""
_OUR_CALL = f"""\
{_HEAD}def test_it(endpoints, number):
    assert endpoints({NAME!r}, without=str(number % {INPUTS})).column("events")
"""
_PEERS_CALL = f"""\
import json, os, urllib.request
import pytest

@pytest.mark.vcr
@pytest.mark.parametrize("number", range({CALLS}))
def test_it(number):
    address = os.environ["POSTHOG_CLI_HOST"] + "/api/projects/1/endpoints/{NAME}/run?version=1"
    headers = {{"Authorization": "Bearer " + os.environ["POSTHOG_CLI_API_KEY"], "Content-Type": "application/json"}}
    body = json.dumps({{"variables": {{"without": str(number % {INPUTS})}}}}).encode()
    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
        found = json.load(answer)
    at = found["columns"].index("events")
    assert [row[at] for row in found["results"]]
"""
_LOADED = """\
import pytest, sys
pytest.main(sys.argv[2:])
print("loaded", *(name for name in sys.argv[1].split() if name in sys.modules))
"""


def measures() -> Iterator[Measure]:
    if find_spec("pytest_recording") is None:
        raise SystemExit("the peer is not installed: uv sync --group bench")
    with project(0) as at:
        yield from _unused(at)
        lock_app(at)
        yield from _replayed(at)
        yield _asked(at)


def _unused(at: Project) -> Iterator[Measure]:
    """Side by side, as a machine grows faster and slower meanwhile."""
    folder = suite(at, "unused", "def test_it():\n    pass\n")
    _pytest(at, folder, *_PEER)  # compiles
    pairs = [(_seconds(at, folder, *_PEER), _seconds(at, folder, *_PEER, *_OURS)) for _ in range(STARTS)]
    added = min(with_it for with_it, _ in pairs) - min(without for _, without in pairs)
    yield Measure(what="start of pytest, unused plugin adds", value=max(added, 0) * 1000, unit="ms", limit=5)
    words = (sys.executable, "-c", _LOADED, " ".join(_HEAVY), *_BARE, *_PEER, str(folder))
    told = subprocess.run(words, cwd=folder, env=_environment(at), capture_output=True, text=True, check=True).stdout
    yield Measure(what="… heavy packages loaded", value=len(told.splitlines()[-1].split()) - 1, limit=0)


def lock_app(at: Project) -> None:
    """A definition, pushed, and locked in an app's folder."""
    (at.top / "endpoints").mkdir(exist_ok=True)
    (at.top / "endpoints" / "definition.yaml").write_text(_DEFINITION, encoding="utf-8")
    manifest = _MANIFEST.format(url=at.server.url, project=at.server.project_id, name=NAME)
    (at.top / "endpoints.toml").write_text(manifest, encoding="utf-8")
    for words in (("push", "--yes"), ("lock",)):
        at.run(*ours(*words))


def _replayed(at: Project) -> Iterator[Measure]:
    base, own, peers = (suite(at, name, code) for name, code in _SUITES.items())
    _pytest(at, own, *_PEER, "--endpoints=record")
    _pytest(at, peers, *_OURS, "--record-mode=once")
    kinds = ((base, (*_OURS, *_PEER)), (own, _PEER), (peers, (*_OURS, _REPLAYED)))
    bare, replayed, taped = (_median(at, folder, *words) for folder, words in kinds)
    call = replayed - bare
    yield Measure(what="a replayed call, median", value=call, unit="ms", limit=1)
    yield Measure(
        what="… against pytest-recording",
        value=(taped - bare) / call,
        unit="times",
        limit=10,
        at_least=True,
        note="faster",
    )
    pairs = [(_seconds(at, own, *_PEER), _seconds(at, base, *_OURS, *_PEER)) for _ in range(REPEATS)]
    added = min(with_it for with_it, _ in pairs) - min(without for _, without in pairs)
    yield Measure(what=f"a suite of {CALLS} calls adds", value=added, unit="s", limit=0.3)


def _median(at: Project, folder: Path, *words: str) -> float:
    """The milliseconds of a test with its fixtures, as pytest goes: there a peer opens its cassette."""
    _pytest(at, folder, *words)
    taken = (folder / "taken").read_text(encoding="utf-8").split()
    return statistics.median(map(float, taken[-CALLS:])) * 1000


_SUITES = {"base": _NO_CALL, "ours": _OUR_CALL, "peers": _PEERS_CALL}


def _asked(at: Project) -> Measure:
    """40 tests on 10 distinct calls, in four processes."""
    folder = suite(at, "live", _OUR_CALL.replace(f"range({CALLS})", "range(40)"))
    at.server.requests.clear()
    words = (sys.executable, "-m", "pytest", "-q", "-n4", "-p", "no:cacheprovider", "--endpoints=live", str(folder))
    at.run(*words)
    asked = len(at.server.requests.entries())
    return Measure(what="requests of 40 live tests on 10 calls, -n 4", value=asked, limit=INPUTS)


def suite(at: Project, name: str, code: str) -> Path:
    """A folder of its own, with the app's lock where there is one."""
    folder = at.top / name
    folder.mkdir()
    (folder / "test_app.py").write_text(code, encoding="utf-8")
    (folder / "conftest.py").write_text(_TIMED, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for file in ("endpoints.lock", "endpoints.toml"):
        if (at.top / file).is_file():
            shutil.copy(at.top / file, folder / file)
    return folder


def _pytest(at: Project, folder: Path, *words: str) -> None:
    env = _environment(at)
    command = (sys.executable, "-m", "pytest", *_BARE, *words)
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended in {ended.returncode}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        )


def _environment(at: Project) -> dict[str, str]:
    """Compiled modules are kept, as they are wherever a package is installed, and nothing is refused as in CI."""
    kept = {name: value for name, value in at.env.items() if name not in ("CI", "PYTHONDONTWRITEBYTECODE")}
    return kept | {"PYTHONPYCACHEPREFIX": str(at.top.parent / "compiled")}


def _seconds(at: Project, folder: Path, *words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _pytest(at, folder, *words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
