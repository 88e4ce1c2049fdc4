"""The native client for Go: formatted, vetted, and run against the local server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.faults import Effect, Fault
from tests.interop.native_app import NativeApp, native_app
from tests.interop.programs import program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # Go compiles its library first
GENERATE = ("generate", "--lang", "go", "--native", "--out", "endpoints")

type Scenario = Callable[..., Any]


def go(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tool of Go in a module, without a network."""
    (folder / "go.mod").write_text("module app\n\ngo 1.23\n")
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    return subprocess.run(
        [program("go"), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=380
    )


def unformatted(path: Path) -> str:
    return subprocess.run([program("gofmt"), "-l", path], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeApp]:
    """The app of `native/app.go`, compiled."""
    program("go")
    folder = tmp_path_factory.mktemp("go")
    with native_app(folder, engine) as made:
        made.run(*GENERATE)
        shutil.copy(Path(__file__).parent / "native" / "app.go", folder)
        built = go(folder, "build", "-o", "app", ".")
        assert built.returncode == 0, built.stderr
        yield made


@pytest.fixture
def play(app: NativeApp) -> Iterator[Scenario]:
    """Runs one scenario of the app, and returns what it printed."""

    def played(*words: str) -> Any:
        environment = {**os.environ, "APP_HOST": app.server.url, "APP_KEY": app.server.key}
        command = [str(app.folder / "app"), *words]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr
        assert app.server.key not in ran.stdout
        return json.loads(ran.stdout)

    app.server.faults.clear()
    yield played
    app.server.faults.clear()


def test_client_is_formatted_and_vetted(app: NativeApp) -> None:
    path = app.folder / "endpoints" / "endpoints_client.go"
    assert unformatted(path) == ""
    vetted = go(app.folder, "vet", "./...")
    assert (vetted.returncode, vetted.stderr) == (0, "")
    text = path.read_text()
    assert "\npackage endpoints\n" in text
    assert app.server.key not in text


def test_rows_are_structs_of_the_pinned_version(play: Scenario) -> None:
    found = play("rows")
    answer = found["answer"]
    assert answer["Rows"] == [{"plan": "$pageview", "orders": found["total"], "mrr": f"{found['total']}.00"}]
    assert found["total"] > 1000
    assert (answer["HasMore"], answer["MayBeTruncated"], answer["IsFromTable"]) == (False, False, False)
    assert len(answer["ExecutionID"]) == 36
    assert found["other"] == [{"plan": "user signed up", "orders": 250, "mrr": found["mrr"]}]


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
        "pair": {"V1": 1, "V2": "x", "V3": "2026-07-01"},
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
    assert found["nanoseconds"] == 1_782_900_000_123_456_000


def test_odd_and_repeated_names(play: Scenario) -> None:
    found = play("odd")
    names = ["odd name", "1st", "größe", "__proto__", "class", "a-b", "a_b"]
    assert found["row"] == {name: number for number, name in enumerate(names, 1)}
    assert found["position"] == [1, "x", 1]
    assert found["both"] == [1, 2]


def test_no_rows(play: Scenario) -> None:
    assert play("empty") == []


def test_large_integers_are_exact_or_an_error(play: Scenario) -> None:
    found = play("large")
    assert (found["total"], found["many"]) == ("9007199254740993", "-9223372036854775808")
    giant = found["giant"]
    assert (giant["name"], giant["column"], giant["digits"], giant["is_broken"]) == (
        "IntegerRange",
        "total",
        "10783339242466472992",
        True,
    )


def test_pages(play: Scenario) -> None:
    found = play("pages")
    assert found["numbers"] == list(range(250))
    assert found["first"] == [0, 1]
    assert found["failed"] == {"name": "Contract", "message": "numbers@1: the answer is from version 2"}
    assert found["noMore"] == {
        "name": "Contract",
        "message": "numbers@1: the server says that there are more rows, but sent none",
    }
    assert found["unknown"] is True
    assert (found["page"]["Rows"], found["page"]["HasMore"]) == ([{"num": 3}, {"num": 4}], True)


def test_table(play: Scenario) -> None:
    found = play("table")
    assert (found["answer"]["IsFromTable"], found["direct"]["IsFromTable"]) == (True, False)
    assert found["answer"]["Rows"][0]["event"] == "$pageview"
    assert found["direct"]["Rows"] == found["answer"]["Rows"]


def test_insights(play: Scenario) -> None:
    found = play("insights")
    assert found["browsers"] == ["Chrome"]
    assert (len(found["counts"]), sum(found["counts"]) > 0) == (8, True)
    assert found["statuses"] == ["new", "returning", "resurrecting", "dormant"]
    assert [(label, width) for label, width, _ in found["cohorts"]] == [("Day 0", 3), ("Day 1", 3), ("Day 2", 3)]
    assert [name for name, _ in found["steps"]] == ["$pageview", "user signed up"]
    assert found["broken"] == {"name": "Contract", "message": "by_browser@1: result 0 has no count"}
    assert found["raw"] is True


def test_errors_are_types(play: Scenario) -> None:
    found = play("errors")
    named = {name: (error["name"], error.get("status"), error.get("code")) for name, error in found.items()}
    assert named == {
        "unauthorized": ("Unauthorized", 401, "authentication_failed"),
        "badRequest": ("BadRequest", 400, "cannot_parse_datetime"),
        "offset": ("BadRequest", 400, ""),
        "notFound": ("NotFound", 404, "not_found"),
        "noKey": ("NoKey", None, None),
        "notAKey": ("NotAKey", None, None),
        "notAHost": ("NotAHost", None, None),
        "plainHTTP": ("PlainHTTP", None, None),
        "allowedHTTP": ("Unreachable", None, None),
        "noProject": ("NoProject", None, None),
        "nowhere": ("Unreachable", None, None),
        "wrongHost": ("Unreachable", None, None),
    }
    assert found["offset"]["message"] == "numbers@1: 400 offset requires limit to be set"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_faults_are_retried(play: Scenario, app: NativeApp, status: int) -> None:
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", nth=1, status=status))
    app.server.requests.clear()
    assert play("once", "60000")["answer"]["Rows"] == [{"num": 0}]
    assert [entry.status for entry in app.server.requests.entries()] == [status, 200]


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.HALF])
def test_lost_answers_are_retried(play: Scenario, app: NativeApp, effect: Effect) -> None:
    app.server.faults.add(Fault(effect=effect, path="*/run", nth=1))
    assert play("once", "60000")["answer"]["Rows"] == [{"num": 0}]


def test_rate_limit_is_an_error_when_time_is_over(play: Scenario, app: NativeApp) -> None:
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", status=429, retry_after=7))
    app.server.requests.clear()
    error = play("once", "3000")["error"]
    assert (error["name"], error["status"], error["retry_after"]) == ("RateLimited", 429, 7)
    assert len(app.server.requests.entries()) == 1


def test_retry_after_is_waited_for(play: Scenario, app: NativeApp) -> None:
    """Without it, the second request comes after half a second."""
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", nth=1, status=503, retry_after=3))
    began = time.monotonic()
    assert play("once", "60000")["answer"]["Rows"] == [{"num": 0}]
    assert time.monotonic() - began >= 3


def test_rate_limit_holds_back_the_next_calls_of_its_kind(play: Scenario, app: NativeApp) -> None:
    app.server.faults.add(Fault(effect=Effect.ERROR, path="*/run", nth=1, status=429, retry_after=30))
    app.server.requests.clear()
    first, second, table_rows = play("paused")
    assert (first["status"], second["status"], second["code"]) == (429, 0, "budget")
    assert 20 < second["retry_after"] <= 30
    assert table_rows == 1
    assert len(app.server.requests.entries()) == 2


def test_timeouts_and_deadlines(play: Scenario, app: NativeApp) -> None:
    app.server.faults.add(Fault(effect=Effect.DELAY, path="*/run", seconds=2))
    found = play("slow")
    assert (found["timeout"]["name"], found["deadline"]["name"]) == ("Unreachable", "DeadlineExceeded")
    assert found["quick"] is True


def test_limits_of_the_key(play: Scenario) -> None:
    found = play("budget")
    first, second, refused = found["calls"]
    assert (first, second) == (None, None)
    assert (refused["name"], refused["status"], refused["code"]) == ("RateLimited", 0, "budget")
    assert 30 < refused["retry_after"] <= 61
    assert found["table"] == 1
    first, refused = found["hour"]
    assert first is None
    assert [(error["name"], error["code"]) for error in (refused, found["direct"])] == [("RateLimited", "budget")] * 2
    assert found["negative"] is None
    assert 3000 < refused["retry_after"] <= 3601


def test_calls_at_once_are_limited(play: Scenario) -> None:
    assert play("atOnce") == {"inline": 3, "table": 10}


def test_cancel_while_waiting_for_a_place(play: Scenario) -> None:
    found = play("canceled")
    assert found == {"waiting": {"name": "Canceled", "message": "numbers@1: context canceled"}, "rows": [1, 100]}


def test_answers_that_break_the_contract(play: Scenario) -> None:
    found = play("answers")
    others, echoes = found.pop("others"), found.pop("echoes")
    broken = {name: error["message"] for name, error in found.items() if error.get("name") == "Contract"}
    assert {name: text.removeprefix("empty@1: ") for name, text in broken.items()} == {
        "version": "the answer is from version 2",
        "noVersion": "the answer does not name its version",
        "recreated": "the endpoint was deleted and created again since the lock was written",
        "older": "the endpoint was deleted and created again since the lock was written",
        "gone": 'column "orders" is missing; the answer has event, order',
        "type": 'the type of column "orders" changed: LowCardinality(Nullable(String)); it was integer',
        "width": "a row does not have 2 values, one for each column",
        "value": 'column "orders" must be an integer, not "b"',
        "nothing": 'column "event" must be a string, not null',
        "naive": 'clock@1: column "moment" must be a time with an offset (RFC 3339), not "2026-07-01T10:00:00"',
    }
    assert others == [{"event": "a", "orders": 12}]
    assert [(error.get("name"), error["status"]) for error in echoes] == [
        (None, 200),
        ("Unauthorized", 401),
        ("ServerError", 500),
    ]
    assert all("Bearer …" in error["detail"] for error in echoes), echoes
    assert (found["html"]["status"], found["html"]["code"]) == (200, "bad_answer")
    assert found["redirect"]["status"] == 302


def test_upgrade_points_at_the_line_of_the_app(engine: Engine, tmp_path: Path) -> None:
    with native_app(tmp_path, engine, ["revenue_by_plan"]) as app:
        app.run(*GENERATE)
        (tmp_path / "report.go").write_text(
            "package app\n\n"
            'import (\n\t"context"\n\n\t"app/endpoints"\n)\n\n'
            "func report(ctx context.Context, client *endpoints.Client) (*string, error) {\n"
            '\tanswer, err := client.RevenueByPlan(ctx, "2026-07-01", nil)\n'
            "\tif err != nil {\n\t\treturn nil, err\n\t}\n"
            "\treturn answer.Rows[0].Mrr, nil\n"
            "}\n\n"
            "var _ = report\n"
        )
        before = go(tmp_path, "vet", ".")
        assert before.returncode == 0, before.stderr
        app.upgrade(
            "revenue_by_plan",
            "SELECT event AS plan, count() AS total FROM events "
            "WHERE event = {variables.plan} AND timestamp >= toDateTime({variables.since}) GROUP BY plan",
        )
        app.run(*GENERATE)
        vetted = go(tmp_path, "vet", ".")
    assert vetted.returncode != 0
    assert "report.go:14:24: answer.Rows[0].Mrr undefined" in vetted.stderr
