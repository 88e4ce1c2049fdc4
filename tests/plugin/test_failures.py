"""Each kind of failure as a developer reads it: the verdict first, a command that runs last."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
from dataclasses import replace

import pytest
from pytest_endpoints_gitops.call_log import RunningTest
from pytest_endpoints_gitops.calls import ALL_ROWS, PinnedCall
from pytest_endpoints_gitops.errors import failure_of
from pytest_endpoints_gitops.failures import KINDS, EndpointRef, NotSetUp, from_plain

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.errors import ApiError, EndpointNotFound, Throttled, VariablesRefused, VersionNotFound
from endpoints_gitops.model.pin import PinnedColumn, PinnedVariable
from endpoints_gitops.model.printable import one_line

ASK = "def test_total(endpoints):\n    endpoints('revenue', month='2026-07')\n"
FILE = "recordings/revenue/v1/month-2026-07-bf70f6defb4f.json"


def asked(call: str) -> str:
    return f"def test_total(endpoints):\n    {call}\n"


OFFLINE = {
    "not pinned": (
        asked("endpoints('revenu')"),
        """\
revenu: not pinned in environment test; did you mean 'revenue'?
  expected   a pin in endpoints.lock
  received   revenue@1
  fix        add it to `uses`, then
  next       endpoints-gitops lock --env test""",
    ),
    "undeclared variable": (
        asked("endpoints('revenue', mont='2026-07')"),
        """\
revenue@1: unknown variable 'mont'; did you mean 'month'?
  expected   month: String (optional)     endpoints.lock
  received   mont='2026-07'
  read by    test_app.py::test_total
  defined    endpoints.lock:5
  fix        change the call, then
  next       pytest test_app.py::test_total""",
    ),
    "wrong variable type": (
        asked("endpoints('revenue', month=7)"),
        """\
revenue@1: variable 'month' must be a string (String), not 7
  expected   month: String (optional)     endpoints.lock
  received   month=7
  read by    test_app.py::test_total
  defined    endpoints.lock:5
  fix        change the call, then
  next       pytest test_app.py::test_total""",
    ),
    "no recording": (
        asked("endpoints('revenue')"),
        f"""\
revenue@1: no recording of this call
  expected   {{}}     recordings/revenue/v1/no-variables-44136fa355b3.json
  received   {{"month":"2026-07"}}     {FILE}
  next       pytest --endpoints=record test_app.py::test_total""",
    ),
    "unknown column": (
        asked("endpoints('revenue', month='2026-07').column('mr')"),
        f"""\
revenue@1: column "mr" is not in the answer
  expected   "mr"; did you mean 'mrr'?
  received   plan, mrr, month     {FILE}, TODAY
  read by    test_app.py::test_total
  defined    endpoints.lock:5
  next       endpoints-gitops get revenue --version 1""",
    ),
}


def test_failures_that_need_no_server(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    for number, (suite, _) in enumerate(OFFLINE.values()):
        app.suite(suite, f"test_{number}.py")
    output = app.output(app.pytest())
    for number, (_, message) in enumerate(OFFLINE.values()):
        assert message.replace("test_app.py", f"test_{number}.py") in output


def pin_with(app, *columns):
    return replace(app.PIN, columns=tuple(PinnedColumn(name=name, type=kind) for name, kind in columns))


def test_a_renamed_column_is_reported_with_both_names_and_its_readers(app):
    app.locks(app.PIN)
    app.suite(
        asked("assert endpoints('revenue', month='2026-07').column('mrr')") + "def test_b(endpoints):\n    pass\n"
    )
    app.has_recorded(app.PIN, month="2026-07")
    app.pytest()
    renamed = pin_with(app, ("plan", "string"), ("arr", "integer"), ("month", "string"))
    app.has_recorded(replace(renamed, query=app.PIN.query), month="2026-07")
    app.suite(ASK.replace("test_total", "test_another"), "test_other.py")
    output = app.failure(app.pytest("test_other.py"))
    assert (
        output
        == f"""\
revenue@1: column "mrr" is gone
  expected   plan: string · mrr: integer · month: string     endpoints.lock
  received   plan: string · arr: integer · month: string     {FILE}, TODAY
             - mrr: integer
             + arr: integer       same type, same place: renamed?
  read by    test_other.py::test_another, test_app.py::test_total
  defined    endpoints.lock:5
  next       pytest --endpoints=refresh test_other.py::test_another"""
    )


def test_a_retyped_column(app_once):
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(
        pin_with(app, ("plan", "string"), ("mrr", "string"), ("month", "string")), ["pro", "1", ""], month="2026-07"
    )
    app.suite(ASK)
    assert (
        app.failure(app.pytest())
        == f"""\
revenue@1: column "mrr" was integer, and is String
  expected   plan: string · mrr: integer · month: string     endpoints.lock
  received   plan: string · mrr: string · month: string     {FILE}, TODAY
             - mrr: integer
             + mrr: string
  read by    test_app.py::test_total
  defined    endpoints.lock:5
  next       pytest --endpoints=refresh test_app.py::test_total"""
    )


@pytest.mark.parametrize(
    ("words", "passed", "warned"),
    [(["--endpoints-contract=warn", "-W", "always"], 1, 1), (["--endpoints-contract=off"], 1, 0)],
)
def test_a_broken_contract_can_be_a_warning_or_ignored(app, words, passed, warned):
    app.locks(app.PIN)
    app.has_recorded(pin_with(app, ("plan", "string"), ("arr", "integer"), ("month", "string")), month="2026-07")
    app.suite(ASK)
    app.pytest(*words).assert_outcomes(passed=passed, warnings=warned)


def test_a_column_that_another_recorded_version_has_is_gone(app_once):
    app = app_once
    app.has_recorded(app.PIN, month="2026-07")
    moved = replace(pin_with(app, ("plan", "string")), version=2, query={"kind": "HogQLQuery", "query": "SELECT 1"})
    app.locks(moved)
    app.has_recorded(moved, ["pro"], month="2026-07")
    app.suite(asked("endpoints('revenue', month='2026-07')[0].mrr"))
    assert (
        app.failure(app.pytest())
        == f"""\
revenue@2: column "mrr" is gone
  expected   "mrr", which revenue@1 has
  received   plan     {FILE.replace("v1", "v2")}, TODAY
  read by    test_app.py::test_total
  defined    endpoints.lock:5
  next       endpoints-gitops breaking --against revenue@1 revenue"""
    )


@pytest.mark.parametrize("tb", ["auto", "long", "short", "native", "line"])
def test_a_failure_has_no_traceback_and_always_shows_its_command(app_once, tb):
    app_once.locks(app_once.PIN)
    app_once.suite(ASK)
    output = app_once.output(app_once.pytest(f"--tb={tb}"))
    assert "  next       pytest --endpoints=record test_app.py::test_total" in output
    assert "FAILED test_app.py::test_total - revenue@1: no recording of this call" in output
    assert "Traceback" not in output
    assert "raise " not in output


def test_the_command_of_a_failure_runs(app_once):
    app_once.pinned()
    app_once.suite(
        "import pytest\n@pytest.mark.parametrize('x', ['a b$(c)'])\n"
        + asked("endpoints('revenue')").replace("endpoints)", "endpoints, x)")
    )
    output = app_once.failure(app_once.pytest())
    command = output.rpartition("next")[2].strip()
    done = subprocess.run(
        f"python -m {command} -p no:randomly",
        shell=True,
        cwd=app_once.folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            **__import__("os").environ,
            "APP_KEY": app_once.server.key,
            "CI": "",
            "PATH": f"{__import__('sys').prefix}/bin:/usr/bin:/bin",
        },
    )
    assert done.returncode == 0, done.stdout
    assert len(app_once.recordings()) == 1


def test_failures_can_be_expected_by_kind_and_apps_cannot_swallow_them(app):
    app.locks(app.PIN)
    app.suite(
        "import pytest\n"
        "from pytest_endpoints_gitops import NoRecording, ContractViolated, NotPinned\n"
        "def test_expected(endpoints):\n"
        "    with pytest.raises(NoRecording, match='no recording'):\n"
        "        endpoints('revenue')\n"
        "def test_swallowed(endpoints):\n"
        "    try:\n"
        "        endpoints('revenue')\n"
        "    except Exception:\n"
        "        pass\n"
    )
    app.pytest().assert_outcomes(passed=1, failed=1)


SERVER = {
    "inactive endpoint": (
        ["deactivate", "revenue"],
        "revenue@1: no active endpoint of this name",
        "endpoints-gitops get revenue --env test",
    ),
    "inactive version": (
        ["deactivate", "revenue", "--version", "1"],
        "revenue@1: version 1 is inactive",
        "endpoints-gitops upgrade revenue --env test",
    ),
}


@pytest.mark.parametrize(("command", "verdict", "then"), SERVER.values(), ids=SERVER)
def test_errors_of_the_server(app_once, command, verdict, then):
    app = app_once
    app.pinned()
    app.command(*command, "--yes", "--quiet")
    app.suite(ASK)
    output = app.failure(app.pytest("--endpoints=live", key=app.server.key)).splitlines()
    assert output[0] == verdict
    assert output[-1] == f"  next       {then}"


def test_a_recreated_endpoint(app):
    pin = app.pinned()
    app.locks(replace(pin, created_at=app.PIN.created_at))
    app.suite(ASK)
    output = app.failure(app.pytest("--endpoints=record", key=app.server.key)).splitlines()
    assert output[0] == "revenue@1: the endpoint was recreated; this is not the pinned version"
    assert output[-1] == "  next       endpoints-gitops upgrade revenue@1 --env test"
    assert not app.recordings()


def test_a_variable_that_materialising_made_required(app_once):
    app = app_once
    pin = app.pinned(
        app.REVENUE.replace("120 AS mrr, {variables.month} AS month", "count() AS mrr").replace(
            "ORDER BY plan LIMIT 10", "FROM events WHERE event = {variables.month}"
        )
    )
    app.write(
        "endpoints/revenue.yaml",
        (app.folder / "endpoints/revenue.yaml").read_text()
        + "materialization:\n  enabled: true\ndata_freshness: 24hour\n",
    )
    app.command("push", "--yes", "--quiet", "--wait")
    app.suite(asked("endpoints('revenue')"))
    assert pin.variables[0].required is False
    output = app.failure(app.pytest("--endpoints=live", key=app.server.key)).splitlines()
    assert output[0] == "revenue@1: the server requires a variable that was not sent"
    assert output[-1] == "  next       endpoints-gitops lock --verify --env test"


def test_an_answer_cut_by_a_page_limit(app_once):
    app = app_once
    app.pinned("name: revenue\nquery: SELECT event AS plan FROM events\n")
    app.suite(asked("endpoints('revenue')"))
    output = app.failure(app.pytest("--endpoints=record", key=app.server.key)).splitlines()
    assert output[0] == "revenue@1: the answer is cut after 100 rows"
    assert output[-1] == "  next       endpoints-gitops run revenue --version 1 --all"
    assert not app.recordings()


def test_a_missing_key_or_lock_is_reported_with_a_fix(app_once):
    app = app_once
    app.suite(ASK)
    assert app.failure(app.pytest(), "endpoints.lock").endswith("next       endpoints-gitops lock")
    app.locks(app.PIN)
    assert (
        app.failure(app.pytest("--endpoints=live"), "environment test")
        == """\
environment test: no way to call the server
  received   environment 'test' reads its key from the environment variable APP_KEY, which is not set
  defined    endpoints.toml:2
  fix        export APP_KEY=phx_…, then
  next       endpoints-gitops auth status"""
    )


@pytest.mark.parametrize(
    "options",
    [["--endpoints=live"], ["--endpoints=record"], ["--endpoints=refresh"], ["--endpoints-canary=latest"]],
    ids=" ".join,
)
def test_a_key_is_not_sent_to_a_host_that_only_the_checkout_names(app_once, monkeypatch, options):
    """The other name resolves to the server, so a request would arrive."""
    app = app_once
    original, port = socket.getaddrinfo, app.server.url.rpartition(":")[2]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: original("127.0.0.1" if host in ("ph.test", b"ph.test") else host, *more, **named),
    )
    app.server.deployment.host_names.add("ph.test")
    pin = app.pinned()
    if "canary" in options[0]:
        app.has_recorded(pin, month="2026-07")
    app.server.requests.clear()
    configuration = (app.folder / "endpoints.toml").read_text()
    app.write("endpoints.toml", configuration.replace("127.0.0.1", "ph.test"))
    app.suite(ASK)
    result = app.pytest(*options, key=app.server.key)
    assert result.ret == 1
    output = app.output(result)
    if "canary" in options[0]:
        assert "could not be compared: environment test: no way to call the server" in output
    else:
        assert "only the configuration of this checkout names this host" in output
        assert f"endpoints-gitops auth trust http://ph.test:{port} env:APP_KEY" in output
    assert app.server.requests.entries() == ()


def test_advice_in_words_is_not_shown_as_a_command(app_once):
    app = app_once
    app.pinned()
    app.suite(ASK)
    output = app.failure(app.pytest("--endpoints=live", key="phx_nobodys")).splitlines()
    assert output[0].startswith("revenue@1: 401 ")
    assert output[-2].startswith("  fix        ")
    assert output[-2].endswith(", then")
    assert output[-1] == "  next       pytest --endpoints=live test_app.py::test_total"


def test_a_variable_that_is_required_by_the_lock(app_once):
    app = app_once
    app.locks(replace(app.PIN, variables=(PinnedVariable(name="month", type="String", required=True),)))
    app.suite(asked("endpoints('revenue')"))
    assert app.failure(app.pytest()).startswith("revenue@1: variable 'month' is missing: it has no default")


HOSTILE = "a\x1b[2J\u202e\x9b\u2028\n::stop-commands::t\r\n##[add-matcher]x"


def test_control_characters_from_the_server_are_escaped_in_every_failure(app_once):
    """Terminal, short summary, JUnit and report all show the message of a failure."""
    pin = app_once.PIN
    call = PinnedCall.of(pin, {}, {}, query_hash=pin.query_hash, page=ALL_ROWS, folder="")
    test = RunningTest("test_app.py::test_total", "test_app.py::test_total")
    kinds = (ApiError, EndpointNotFound, VersionNotFound, VariablesRefused, Throttled)
    failed = [failure_of(call, test, kind(HOSTILE, request="GET /x", detail=HOSTILE, fix=HOSTILE)) for kind in kinds]
    failed.append(NotSetUp(HOSTILE, HOSTILE, ("received", one_line(HOSTILE)), advice=HOSTILE, command=(HOSTILE,)))
    for failure in failed:
        for text in (str(failure), failure.verdict, str(from_plain(failure.as_plain()))):
            assert not {"\x1b", "\u202e", "\x9b", "\u2028", "\r"} & set(text)
            assert not [line for line in text.split("\n") if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("subject", [EndpointRef("revenue", 1), EndpointRef("revenue"), "endpoints.lock"], ids=str)
def test_a_failure_is_data_that_passes_between_processes(kind, subject):
    failure = kind(subject, "no recording", ("expected", "a\nb"), advice="look", command=("pytest", "a b.py"))
    for copy in (failure, from_plain(json.loads(json.dumps(failure.as_plain()))), pickle.loads(pickle.dumps(failure))):
        assert type(copy) is kind
        assert copy.endpoint == (subject if isinstance(subject, EndpointRef) else None)
        assert (copy.kind, copy.command, copy.advice) == (kind.__name__, ("pytest", "a b.py"), "look")
        assert str(copy) == (
            f"{subject}: no recording\n  expected   a\n             b\n  fix        look, then\n"
            "  next       pytest 'a b.py'"
        )


def test_a_failure_with_advice_of_the_library_passes_between_workers():
    """execnet sends exact types alone: one Advice ended the whole run with an internal error of xdist."""
    execnet = pytest.importorskip("execnet")
    advice = Advice(Command("lock"), " writes it")
    failure = NotSetUp(advice, advice, ("received", advice), advice=advice, command=("a", advice))
    plain = execnet.loads(execnet.dumps(failure.as_plain()))
    assert str(from_plain(plain)) == str(failure)
    assert plain["advice"] == "endpoints-gitops lock writes it"


def test_failures_keep_their_names_of_the_first_release():
    import pytest_endpoints_gitops

    with pytest.warns(DeprecationWarning, match="ContractBroken is called ContractViolated now"):
        assert pytest_endpoints_gitops.ContractBroken is KINDS["ContractViolated"]
    with pytest.raises(AttributeError, match="NoSuchFailure"):
        pytest_endpoints_gitops.NoSuchFailure  # noqa: B018 - reading it is the test
