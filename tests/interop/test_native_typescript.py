"""The native client for TypeScript: compiled under --strict, run by Node against the local server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.faults import Effect, Fault
from tests.interop.native_app import NativeApp, native_app
from tests.interop.programs import node_file, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # tsc takes two to ten seconds

OPTIONS: dict[str, Any] = {
    "target": "ES2022",
    "module": "NodeNext",
    "strict": True,
    "erasableSyntaxOnly": True,
    "exactOptionalPropertyTypes": True,
    "isolatedModules": True,
    "noFallthroughCasesInSwitch": True,
    "noImplicitOverride": True,
    "noImplicitReturns": True,
    "noPropertyAccessFromIndexSignature": True,
    "noUncheckedIndexedAccess": True,
    "noUnusedLocals": True,
    "noUnusedParameters": True,
    "skipLibCheck": True,
    "verbatimModuleSyntax": True,
    "types": [],
    "lib": ["ES2022", "DOM"],
    "outDir": "out",
}
GENERATE = ("generate", "--lang", "typescript", "--native", "--out", ".")

type Compile = Callable[..., subprocess.CompletedProcess[str]]
type Scenario = Callable[..., Any]


def compile_in(folder: Path, *files: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Compile files, and return what tsc says."""
    compiler = node_file("typescript/lib/tsc.js")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS | options, "files": files}))
    words = [program("node"), compiler, "--project", "."]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeApp]:
    """The app of `native/app.ts`, compiled."""
    node_file("typescript/lib/tsc.js")
    folder = tmp_path_factory.mktemp("typescript")
    with native_app(folder, engine) as made:
        made.run(*GENERATE)
        shutil.copy(Path(__file__).parent / "native" / "app.ts", folder)
        compiled = compile_in(folder, "app.ts")
        assert (compiled.returncode, compiled.stdout) == (0, "")
        yield made


@pytest.fixture
def play(app: NativeApp) -> Iterator[Scenario]:
    """Runs one scenario of the app, and returns what it printed."""

    def played(*words: str) -> Any:
        environment = {**os.environ, "APP_HOST": app.server.url, "APP_KEY": app.server.key}
        command = [program("node"), str(app.folder / "out" / "app.js"), *words]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr
        assert app.server.key not in ran.stdout
        return json.loads(ran.stdout)

    app.server.faults.clear()
    yield played
    app.server.faults.clear()


def test_rows_are_objects_of_the_pinned_version(play: Scenario) -> None:
    found = play("rows")
    assert found["first"] == {"plan": "$pageview", "orders": found["total"], "mrr": f"{found['total']}.00"}
    assert found["total"] > 1000
    assert (found["hasMore"], found["isFromTable"]) == (False, False)
    assert len(found["executionId"]) == 36
    assert found["other"] == [{"plan": "user signed up", "orders": 250, "mrr": "250.00"}]


def test_values_of_every_type(play: Scenario) -> None:
    found = play("types")
    assert found["row"] == {
        "small": 1,
        "safe": -9007199254740991,
        "ratio": 1.5,
        "not_a_number": None,
        "price": "1.10",
        "words": 'it\'s "é" \n',
        "yes": True,
        "start": "2026-07-01",
        "moment": "2026-07-01T10:00:00.123456Z",
        "berlin": "2026-07-01T10:00:00+02:00",
        "labels": ["x", None],
        "nested": [[1, 2], []],
        "pair": [1, "x", "2026-07-01"],
        "counts": {"k": 1},
        "nothing": None,
        "no_integer": None,
        "no_text": None,
        "no_date": None,
        "no_time": None,
        "no_price": None,
        "raw": "[1]",
    }
    assert (found["item"], found["text"]) == ("x", None)


def test_odd_and_repeated_names(play: Scenario) -> None:
    found = play("odd")
    names = ["odd name", "1st", "größe", "__proto__", "class", "a-b", "a_b"]
    assert list(found["row"].items()) == [(name, number) for number, name in enumerate(names, 1)]
    assert (found["keys"], found["size"]) == (names, 3)
    assert found["position"] == [1, "x", 1]
    assert found["both"] == [1, 2]
    assert found["then"] == [{"three": 3}]


def test_no_rows(play: Scenario) -> None:
    assert play("empty") == []


def test_integers_beyond_the_safe_ones_are_errors(play: Scenario) -> None:
    total = {"name": "UnsafeInteger", "column": '"total"', "isBroken": True}
    assert play("large") == [
        total | {"digits": "9007199254740993"},
        total | {"digits": "10783339242466472992"},
    ]


def test_pages(play: Scenario) -> None:
    found = play("pages")
    assert found["seenNumbers"] == list(range(250))
    assert found["unknown"] is None
    assert (found["page"]["rows"], found["page"]["hasMore"]) == ([{"num": 3}, {"num": 4}], True)


def test_table(play: Scenario) -> None:
    found = play("table")
    assert found["isFromTable"] is True
    assert found["rows"][0]["event"] == "$pageview"
    assert found["direct"] == [False, found["rows"]]


def test_insights(play: Scenario) -> None:
    found = play("insights")
    assert found["browsers"] == ["Chrome"]
    assert (len(found["counts"]), sum(found["counts"]) > 0) == (8, True)
    assert found["statuses"] == ["new", "returning", "resurrecting", "dormant"]
    assert [label for label, _ in found["cohorts"]] == ["Day 0", "Day 1", "Day 2"]
    assert [name for name, _ in found["steps"]] == ["$pageview", "user signed up"]


def test_errors_are_classes(play: Scenario) -> None:
    found = play("errors")
    named = {name: (error["name"], error.get("status"), error.get("attr")) for name, error in found.items()}
    assert named == {
        "unauthorized": ("Unauthorized", 401, None),
        "badRequest": ("BadRequest", 400, "variables"),
        "missing": ("BadRequest", 400, "variables"),
        "offset": ("BadRequest", 400, None),
        "notFound": ("NotFound", 404, None),
        "noKey": ("KeyRefused", None, None),
        "notAKey": ("KeyRefused", None, None),
        "undefinedKey": ("KeyRefused", None, None),
        "notAHost": ("TypeError", None, None),
        "plainHttp": ("KeyRefused", None, None),
        "allowedHttp": ("Unreachable", None, None),
        "noProject": ("TypeError", None, None),
        "nowhere": ("Unreachable", None, None),
        "wrongHost": ("Unreachable", None, None),
    }
    assert found["badRequest"]["detail"] == "Unknown variable(s): plann"
    assert found["missing"]["detail"] == "Required variable(s) 'plan' not provided"
    assert found["offset"]["detail"] == "offset requires limit to be set"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_faults_are_retried(play: Scenario, app: NativeApp, status: int) -> None:
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", nth=1, status=status))
    app.server.requests.clear()
    assert play("once", "60000")["returned"]["rows"] == [{"num": 0}]
    assert [entry.status for entry in app.server.requests.entries()] == [status, 200]


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.HALF])
def test_lost_answers_are_retried(play: Scenario, app: NativeApp, effect: Effect) -> None:
    app.server.faults.add(Fault(effect=effect, path="*/run", nth=1))
    assert play("once", "60000")["returned"]["rows"] == [{"num": 0}]


def test_rate_limit_is_an_error_when_time_is_over(play: Scenario, app: NativeApp) -> None:
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", status=429, retry_after=7))
    app.server.requests.clear()
    error = play("once", "3000")
    assert (error["name"], error["status"], error["retryAfterMs"]) == ("RateLimited", 429, 7000)
    assert len(app.server.requests.entries()) == 1


def test_retry_after_is_waited_for(play: Scenario, app: NativeApp) -> None:
    """Without it, the second request comes after half a second."""
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", nth=1, status=503, retry_after=3))
    began = time.monotonic()
    assert play("once", "60000")["returned"]["rows"] == [{"num": 0}]
    assert time.monotonic() - began >= 3


def test_rate_limit_holds_back_the_next_calls_of_its_kind(play: Scenario, app: NativeApp) -> None:
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", nth=1, status=429, retry_after=30))
    app.server.requests.clear()
    first, second, table_rows = play("paused")
    assert (first["status"], second["status"], second["code"]) == (429, None, "budget")
    assert 20_000 < second["retryAfterMs"] <= 30_000
    assert table_rows == 1
    assert len(app.server.requests.entries()) == 2


def test_timeouts_and_signals(play: Scenario, app: NativeApp) -> None:
    app.server.faults.add(Fault(effect=Effect.DELAY, path="*/run", seconds=2))
    found = play("slow")
    assert found["timeout"]["name"] == "Unreachable"
    assert "no answer within " in found["timeout"]["message"]
    assert found["aborted"]["name"] == "TimeoutError"
    assert found["abortedEarly"] == {"name": "Error", "message": "no longer needed"}
    assert found["isQuick"]


def test_budget_of_the_key(play: Scenario) -> None:
    found = play("budget")
    assert [call.get("name") for call in found["calls"]] == [None, None, "RateLimited"]
    refused = found["calls"][2]
    assert (refused["status"], refused["code"]) == (None, "budget")
    assert 30_000 < refused["retryAfterMs"] <= 61_000
    assert found["table"] == 1
    first, refused = found["hour"]
    assert first["returned"]["rows"]
    assert [(error["name"], error["code"]) for error in (refused, found["direct"])] == [("RateLimited", "budget")] * 2
    assert found["nothing"] == {"name": "RangeError", "message": "a limit of a Budget must be at least 1"}
    assert 3_000_000 < refused["retryAfterMs"] <= 3_601_000


def test_calls_at_once_are_limited(play: Scenario) -> None:
    assert play("atOnce") == {"inline": 3, "table": 10}


def test_abort_while_waiting_for_a_place(play: Scenario) -> None:
    found = play("aborted")
    assert found == {"waiting": {"name": "Error", "message": "no longer needed"}, "rows": [1, 3]}


def test_browser_is_refused(play: Scenario) -> None:
    found = play("browser")
    assert (found["document"]["name"], found["navigator"]["name"]) == ("KeyRefused", "KeyRefused")
    assert found["worksAgain"]


def test_answers_that_break_the_contract(play: Scenario) -> None:
    found = play("answers")
    messages = {name: error.get("message", "") for name, error in found.items() if isinstance(error, dict)}
    assert {name: text.removeprefix("empty@1: ") for name, text in messages.items() if text} == {
        "version": "the answer is from version 2",
        "noVersion": "the answer does not name its version",
        "recreated": "the endpoint was deleted and created again since the lock was written",
        "older": "the endpoint was deleted and created again since the lock was written",
        "gone": 'column "orders" is missing; the answer has event, order',
        "type": 'the type of column "orders" changed: LowCardinality(Nullable(String)); it was integer',
        "width": "a row does not have 2 values, one for each column",
        "value": '"orders" must be of type integer, not "b"',
        "nothing": '"event" must be of type string, not null',
        "noMore": "numbers@1: the server says that there are more rows, but sent none",
    }
    assert {error["name"] for name, error in found.items() if messages.get(name)} == {"ContractBroken"}
    assert found["others"]["returned"]["rows"] == [{"event": "a", "orders": 12}]
    assert [(error["name"], error["status"]) for error in found["echoes"]] == [
        ("ApiError", 200),
        ("Unauthorized", 401),
        ("ServerError", 500),
    ]
    assert all("Bearer …" in error["detail"] for error in found["echoes"]), found["echoes"]
    assert (found["html"]["name"], found["html"]["code"]) == ("ApiError", "bad_answer")
    assert (found["redirect"]["name"], found["redirect"]["status"]) == ("ApiError", 302)
    assert found["isEndpointError"]


def test_client_compiles_with_the_types_of_node_alone(app: NativeApp, tmp_path: Path) -> None:
    """Without the types of browsers, as in a server."""
    roots = Path(node_file("@types/node/package.json")).parents[1]
    shutil.copy(app.folder / "endpoints_client.ts", tmp_path)
    compiled = compile_in(
        tmp_path, "endpoints_client.ts", lib=["ES2022"], types=["node"], typeRoots=[str(roots)], noEmit=True
    )
    assert (compiled.returncode, compiled.stdout) == (0, "")


def test_client_has_no_key_and_needs_no_module(app: NativeApp) -> None:
    text = (app.folder / "endpoints_client.ts").read_text()
    assert app.server.key not in text
    assert "phx_" not in text
    assert "import " not in text.replace("`import()`", "")
    assert "process." not in text


def test_upgrade_points_at_the_line_of_the_app(engine: Engine, tmp_path: Path) -> None:
    with native_app(tmp_path, engine, ["revenue_by_plan"]) as app:
        app.run(*GENERATE)
        (tmp_path / "report.ts").write_text(
            'import { Client, revenueByPlan } from "./endpoints_client.js";\n'
            "export async function report(client: Client): Promise<string[]> {\n"
            '  const { rows } = await revenueByPlan(client, { since: "2026-07-01" });\n'
            "  return rows.map((row) => `${row.plan}: ${row.mrr}`);\n"
            "}\n"
        )
        assert compile_in(tmp_path, "report.ts", noEmit=True).stdout == ""
        app.upgrade(
            "revenue_by_plan",
            "SELECT event AS plan, count() AS total FROM events "
            "WHERE event = {variables.plan} AND timestamp >= toDateTime({variables.since}) GROUP BY plan",
        )
        app.run(*GENERATE)
        compiled = compile_in(tmp_path, "report.ts", noEmit=True)
    assert compiled.returncode != 0
    assert compiled.stdout == (
        "report.ts(4,48): error TS2339: Property 'mrr' does not exist on type 'RevenueByPlanRow'.\n"
    )


def test_snippet_compiles(engine: Engine, tmp_path: Path) -> None:
    roots = Path(node_file("@types/node/package.json")).parents[1]
    with native_app(tmp_path, engine, ["revenue_by_plan"]) as app:
        (tmp_path / "call.ts").write_text(app.run("snippet", "revenue_by_plan", "--lang", "typescript"))
        compiled = compile_in(tmp_path, "call.ts", lib=["ES2022"], types=["node"], typeRoots=[str(roots)], noEmit=True)
    assert (compiled.returncode, compiled.stdout) == (0, "")


def test_real_browser_refuses_a_key(app: NativeApp, tmp_path: Path) -> None:
    """In the page, and in a worker, which has no document."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        (pytest.fail if os.environ.get("ENDPOINTS_TEST_REQUIRE_CHROMIUM") else pytest.skip)("there is no chromium")
    pages = app.folder / "out"
    (pages / "seen.js").write_text(
        'import { Client } from "./endpoints_client.js";\n'
        'export let seen = "made";\n'
        'try { new Client({ key: "phx_a", projectId: 1 }); } catch (error) { seen = error.name; }\n'
    )
    (pages / "worker.js").write_text('import { seen } from "./seen.js";\npostMessage(seen);\n')
    (pages / "page.html").write_text(
        '<body></body><script type="module">import { seen } from "./seen.js";'
        'const worker = new Worker("./worker.js", { type: "module" });'
        "worker.onmessage = ({ data }) => { document.body.textContent = `page ${seen}, worker ${data}`; };</script>"
    )
    handler = partial(SimpleHTTPRequestHandler, directory=str(pages))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        words = [executable, "--headless", "--disable-gpu", "--no-sandbox", f"--user-data-dir={tmp_path}"]
        words += ["--virtual-time-budget=20000", "--dump-dom", f"http://127.0.0.1:{server.server_port}/page.html"]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        server.shutdown()
        thread.join()
    assert "page KeyRefused, worker KeyRefused" in ran.stdout, ran.stdout + ran.stderr[-2000:]
