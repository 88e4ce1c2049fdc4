"""`conformance`: facts tried on a server, a dated report, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from endpoints_gitops.local.faults import Effect, Fault, When

PROGRAM = "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main(sys.argv[1:]))"
SOME = ("reading: versions*", "reading: the list*", "running: a constant", "creating: a variable that is not sent*")


@pytest.fixture
def strangers(client):
    """What others have in the project: it stays as it is."""
    client.create_endpoint({"name": "revenue", "query": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}})
    client.create_variable({"name": "plan", "type": "String", "default_value": "pro"})

    def names():
        endpoints, variables = client.list_endpoints(), client.list_variables()
        return [*(endpoint.name for endpoint in endpoints), *(variable.code_name for variable in variables)]

    assert names() == ["revenue", "plan"]
    return names


@pytest.fixture
def report(checkout):
    def read():
        [path] = checkout.top.glob("conformance-*.json")
        return json.loads(path.read_text())

    return read


def test_facts_that_hold_are_counted_by_heading(cli, strangers):
    ran = cli("conformance", "--yes", *SOME)
    assert ran.code == 0, ran.err
    assert [line.split() for line in ran.out.splitlines()] == [
        ["variables", "1", "holds"],
        ["answers", "2", "holds"],
        ["errors", "1", "holds"],
        ["routes", "1", "holds"],
        ["running", "1", "holds"],
    ]
    assert strangers() == ["revenue", "plan"]


def test_a_server_that_differs_is_shown_with_both_answers(cli, server, strangers, report):
    server.faults.add(Fault(effect=Effect.ERROR, method="GET", path="*/endpoints/*/versions", status=418))
    ran = cli("conformance", "--yes", "reading: versions, newest first")
    assert ran.code == 1, ran.err
    assert "reading: versions, newest first (docs/server.md#answers)" in ran.out
    assert "  status is 418, not 200" in ran.out
    [fact] = report()["facts"]
    assert fact["verdict"] == "differs"
    assert fact["expected"]["answer"]["count"] == 3
    assert fact["received"]["status"] == 418
    assert fact["request"]["method"] == "GET"
    assert strangers() == ["revenue", "plan"]


def test_an_answer_of_another_shape_differs(cli, server, report):
    server.faults.add(Fault(effect=Effect.WRONG_JSON, method="GET", path="*/endpoints/*"))
    ran = cli("conformance", "--yes", "--json", "reading: an endpoint")
    assert ran.code == 1, ran.err
    [item] = ran.json["items"]
    assert item == report()["facts"][0]
    assert item["differences"] == ["answer is ['something', {'else': None}], which is not an object"]


def test_nothing_is_sent_without_confirmation(cli, server):
    ran = cli("conformance", *SOME)
    assert (ran.code, server.requests.writes()) == (2, ())
    assert "This creates and deletes endpoints and shared variables called conformance_" in ran.err


def test_an_unwritable_report_is_refused_before_anything_is_sent(cli, server):
    ran = cli("conformance", "--yes", "-o", "nowhere/report.json", *SOME)
    assert (ran.code, server.requests.entries()) == (2, ())
    assert "error: the report cannot be written to nowhere/report.json" in ran.err


def test_out_sets_the_path_of_the_report(cli, checkout):
    assert cli("conformance", "--yes", "-o", "report.json", "reading: no endpoint").code == 0
    [fact] = json.loads((checkout.top / "report.json").read_text())["facts"]
    assert fact == {"fact": "reading: no endpoint", "about": "errors", "verdict": "holds"}
    assert list(checkout.top.glob("conformance-*")) == []


def test_an_unknown_fact_is_a_usage_error(cli):
    ran = cli("conformance", "--yes", "reading: nonsense")
    assert ran.code == 2
    assert "error: no fact is called reading: nonsense" in ran.err


def test_a_key_that_may_not_write_ends_the_run(make_cli, checkout, server, report):
    cli = make_cli(checkout.top, key=server.readonly_key)
    ran = cli("conformance", "--yes", *SOME)
    assert ran.code == 3, ran.err
    assert "API key missing required scope" in ran.err
    assert report()["summary"] == {"holds": 0, "differs": 0, "not tried": 6}


def test_leftovers_are_reported_and_can_be_removed_later(cli, server, strangers, report):
    server.faults.add(Fault(effect=Effect.ERROR, method="DELETE", status=503))
    ran = cli("conformance", "--yes", "reading: an endpoint", "creating: a variable that is sent")
    assert ran.code == 5, ran.err
    left = report()["left"]
    assert [name.split("_", 2)[2] for name in left] == ["e", "event_name"]
    assert (
        f"error: could not be deleted: {', '.join(left)}\n  fix: endpoints-gitops conformance --remove-lef" in ran.err
    )
    server.faults.clear()
    again = cli("conformance", "--remove-leftovers", "--yes")
    assert (again.code, again.out.split()) == (0, left)
    assert strangers() == ["revenue", "plan"]


def test_a_lost_answer_leaves_nothing_behind(cli, server, strangers, report):
    server.faults.add(Fault(effect=Effect.DROP, method="POST", path="*/endpoints", when=When.AFTER, nth=1))
    ran = cli("conformance", "--yes", "reading: an endpoint", "reading: deleted")
    assert ran.code == 0, ran.err
    assert report()["summary"] == {"holds": 1, "differs": 0, "not tried": 1}
    assert strangers() == ["revenue", "plan"]


def test_an_unreachable_server_ends_the_run(cli, server, report):
    server.faults.add(Fault(effect=Effect.DROP, path="*/endpoints/*"), Fault(effect=Effect.DROP, method="POST"))
    ran = cli("conformance", "--yes", "--max-wait", "1", "reading: *")
    assert ran.code == 4, ran.err
    facts = report()["facts"]
    assert {fact["verdict"] for fact in facts} == {"not tried"}
    assert facts[-1]["reason"] == "the run ended before it"


def test_the_report_counts_requests_and_has_no_key_and_no_addresses(cli, server, report):
    ran = cli("conformance", "--yes", "reading: a version")
    assert report()["requests"] == len(server.requests.entries()) - 1  # the first only asks whether the key may read
    server.faults.add(Fault(effect=Effect.ERROR, method="PATCH", status=418))
    assert ran.code == 0
    text = json.dumps(report())
    assert "reading: a version" in text
    assert server.key not in text
    assert "@" not in text


@pytest.mark.slow
def test_an_interrupted_run_deletes_what_it_created(checkout, cli, server, strangers, report, processes):  # noqa: ARG001 - `cli` writes the configuration
    from tests.conftest import KEY_VARIABLE

    server.faults.add(Fault(effect=Effect.DELAY, method="PATCH", seconds=1.0))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "conformance", "--yes", "reading: versions, newest first", "updating: *"],
        cwd=checkout.top, env=os.environ | {KEY_VARIABLE: server.key}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    processes.until(lambda: server.requests.entries(methods=["PATCH"]))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 130, err
    assert report()["is_interrupted"] is True
    assert report()["left"] == []
    assert strangers() == ["revenue", "plan"]
