"""A repository of several apps: each test has the nearest lock above its file, in every part of a run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from endpoints_gitops.codecs.evidence import read_evidence
from endpoints_gitops.codecs.recording import Recording, file_of, write_recording
from endpoints_gitops.model.pin import Lock, PinnedColumn
from endpoints_gitops.workspace.manifest import write_lock_file
from tests.plugin.conftest import KEY, PIN
from tests.plugin.ways import NO_XDIST, WAYS

HOSTS = {"billing": "billing.quill.example", "growth": "growth.quill.example"}
PROJECTS = {"billing": 11, "growth": 22}
BILLING = replace(PIN, endpoint_id="billing")
GROWTH = replace(
    PIN,
    endpoint_id="growth",
    query={"kind": "HogQLQuery", "query": "SELECT plan, users FROM t ORDER BY plan LIMIT 10"},
    columns=(PinnedColumn(name="plan", type="string"), PinnedColumn(name="users", type="integer")),
)
TESTS = {
    "billing": """
import pytest
def test_fixture(endpoints):
    assert endpoints("revenue", month="2026-07").as_dicts() == [{"plan": "pro", "mrr": 120, "month": "2026-07"}]
""",
    "growth": """
import pytest
def test_fixture(endpoints):
    assert endpoints("revenue", month="2026-07").as_dicts() == [{"plan": "team", "users": 7}]
""",
}
CALLS = """
import json, os, urllib.request

def ask():
    host, project = os.environ["POSTHOG_HOST"], os.environ["POSTHOG_PROJECT_ID"]
    url = f"{host}/api/projects/{project}/endpoints/revenue/run?version=1"
    headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
    body = b'{"variables": {"month": "2026-07"}}'
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return json.load(answer)["columns"]

def test_env(endpoints_env, endpoints_server):
    assert os.environ["POSTHOG_PROJECT_ID"] == str(endpoints_server.project_id) == "@project"
    assert ask() == @columns

def test_client(endpoints_client):
    assert list(endpoints_client.run("revenue", month="2026-07").columns) == @columns

def test_stub(endpoints):
    endpoints.stub("revenue", rows=[@row])
    assert list(endpoints("revenue").columns) == @columns

def test_case(endpoint_case):
    assert endpoint_case.pin.endpoint_id == "@app"
"""


class Monorepo:
    """Two apps with a lock of their own, below a rootdir without one."""

    def __init__(self, pytester, server, way):
        self.pytester, self.server, self.way = pytester, server, way
        self.folder = pytester.path
        pytester.makeini("[pytest]\npythonpath = .\n")
        for name, pin in (("billing", BILLING), ("growth", GROWTH)):
            self.add(name, pin)

    def add(self, name, pin, *, folder=None):
        """An app with a lock, a recording and tests."""
        folder = self.folder / (folder or f"services/{name}")
        (folder / "tests").mkdir(parents=True)
        (folder / "endpoints.toml").write_text(
            f'[environments.test]\nhost = "https://{HOSTS[name]}"\nproject_id = {PROJECTS[name]}\nkey = "env:{KEY}"\n'
        )
        write_lock_file(folder / "endpoints.lock", Lock(pins=(pin,)))
        self.record(folder, pin, "2026-07")
        columns = [column.name for column in pin.columns]
        values = {"@project": str(PROJECTS[name]), "@app": name, "@columns": repr(columns)}
        values["@row"] = repr(["x", 1, "y"][: len(columns)])
        more = re.sub("@[a-z]+", lambda match: values[match.group()], CALLS)
        self.write(folder / "tests" / f"test_{name}.py", TESTS[name] + more)

    def record(self, folder, pin, month):
        row = ["pro", 120, "2026-07"] if len(pin.columns) == 3 else ["team", 7]
        types = {"string": "String", "integer": "Int64"}
        recording = Recording(
            endpoint=pin.name,
            version=pin.version,
            version_id=pin.version_id,
            variables={"month": month},
            recorded_on=PIN.created_at.date(),
            query_hash=pin.query_hash,
            columns=tuple(column.name for column in pin.columns),
            types=tuple((column.name, types[column.type]) for column in pin.columns),
            rows=(row,),
        )
        path = folder / "recordings" / file_of(pin.name, pin.version, {"month": month})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write_recording(recording))
        return path

    def write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def pytest(self, *words, **env):
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("CI", raising=False)
            for name, value in env.items():
                patch.setenv(name, value)
            return self.pytester.runpytest_inprocess("-p", "no:randomly", "--import-mode=importlib", *self.way, *words)


@pytest.fixture(params=WAYS)
def repository(pytester, server, nobodys_settings, request):  # noqa: ARG001 - a fixture that works by being there
    return Monorepo(pytester, server, request.param)


@pytest.fixture
def repository_once(pytester, server, nobodys_settings):  # noqa: ARG001 - a fixture that works by being there
    return Monorepo(pytester, server, NO_XDIST)


def evidence_of(repository, name):
    return read_evidence((repository.folder / name).read_bytes(), name)


def summary(result):
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if line.startswith("---") and " endpoints " in line)
    return lines[start + 1 : -1]


def test_each_test_has_the_lock_above_its_file(repository):
    result = repository.pytest("--endpoints-report=report.json")
    result.assert_outcomes(passed=10)
    report = json.loads((repository.folder / "report.json").read_text())
    assert {(Path(call["test"]).parts[1], call["lock"], call["environment"]) for call in report["calls"]} == {
        ("billing", "services/billing/endpoints.lock", "test"),
        ("growth", "services/growth/endpoints.lock", "test"),
    }


def test_the_summary_names_each_lock(repository):
    for name in ("billing", "growth"):
        repository.write(repository.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    result = repository.pytest()
    result.assert_outcomes(passed=2)
    assert summary(result) == [
        f"services/{name}/endpoints.lock: 1 call of 1 pinned version in 1 test, nothing asked of the server"
        for name in ("billing", "growth")
    ]
    if repository.way[0] != "-n2":
        assert [line for line in result.outlines if line.startswith("endpoints: services")] == [
            f"endpoints: services/{name}/endpoints.lock, 1 test" for name in ("billing", "growth")
        ]


def test_live_calls_are_those_of_all_locks(repository):
    """The run counts them, so that the line of a lock whose calls were stubbed does not have them."""
    for name in ("billing", "growth"):
        path = repository.folder / f"services/{name}/endpoints.toml"
        path.write_text(path.read_text().replace(f"https://{HOSTS[name]}", repository.server.url))
    stubbed = "def test_stub(endpoints):\n    endpoints.stub('revenue', rows=[])\n    endpoints('revenue')\n"
    repository.write(repository.folder / "services/billing/tests/test_billing.py", TESTS["billing"])
    repository.write(repository.folder / "services/growth/tests/test_growth.py", stubbed)
    result = repository.pytest("--endpoints=live", **{KEY: repository.server.key})
    result.assert_outcomes(passed=1, failed=1)  # the server has no such endpoint
    assert summary(result)[:3] == [
        "services/billing/endpoints.lock: 1 call of 1 pinned version in 1 test; failed: 1 call refused",
        "services/growth/endpoints.lock: 1 call of 1 pinned version in 1 test, 1 stubbed",
        "1 live call for all locks",
    ]


def test_unneeded_recordings_are_judged_for_each_lock(repository):
    """Only those of a lock whose tests were all collected: a third app has none, and stays as it is."""
    unused = [
        repository.record(repository.folder / f"services/{name}", pin, "2020-01")
        for name, pin in (("billing", BILLING), ("growth", GROWTH))
    ]
    other = repository.record(repository.folder / "services/other", BILLING, "2020-01")
    write_lock_file(repository.folder / "services/other/endpoints.lock", Lock(pins=(BILLING,)))
    for name in ("billing", "growth"):
        repository.write(repository.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    result = repository.pytest("--endpoints-prune")
    result.assert_outcomes(passed=2)
    assert [path.exists() for path in unused] == [False, False]
    assert other.exists()
    assert all(
        (repository.folder / f"services/{name}/recordings/revenue/v1").is_dir() for name in ("billing", "growth")
    )
    assert summary(result)[0].endswith("nothing asked of the server; 1 recording deleted")


def test_without_the_option_they_are_named(repository_once):
    repository_once.record(repository_once.folder / "services/growth", GROWTH, "2020-01")
    for name in ("billing", "growth"):
        repository_once.write(repository_once.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    lines = summary(repository_once.pytest())
    assert lines[1] == (
        "services/growth/endpoints.lock: 1 call of 1 pinned version in 1 test, nothing asked of the server; "
        "1 recording unused"
    )
    assert lines[2].startswith("  unused     services/growth/recordings/revenue/v1/month-2020-01-")
    assert lines[3] == "  next       pytest --endpoints-prune"


def test_a_partial_run_deletes_nothing(repository):
    unused = repository.record(repository.folder / "services/growth", GROWTH, "2020-01")
    repository.write(repository.folder / "conftest.py", "collect_ignore = ['services/billing/tests/test_billing.py']\n")
    repository.write(repository.folder / "services/growth/tests/test_growth.py", TESTS["growth"])
    result = repository.pytest("--endpoints-prune")
    result.assert_outcomes(passed=1)
    assert unused.exists()
    assert any(
        "no recording deleted: services/billing/tests/test_billing.py was ignored" in line for line in result.outlines
    )


def test_evidence_is_a_file_for_each_lock(repository):
    for name in ("billing", "growth"):
        repository.write(repository.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    result = repository.pytest("--endpoints-evidence=out/evidence-{lock}.json")
    assert result.ret == 0
    for name, pin in (("billing", BILLING), ("growth", GROWTH)):
        evidence = evidence_of(repository, f"out/evidence-services-{name}.json")
        (exercised,) = evidence.pins
        assert (exercised.endpoint_id, exercised.query_hash) == (name, pin.query_hash)
        assert [test.test for test in exercised.tests] == [f"services/{name}/tests/test_{name}.py::test_fixture"]
        assert not evidence.is_dirty
    result = repository.pytest("--endpoints-evidence=evidence.json")
    assert result.ret == 1
    assert not (repository.folder / "evidence.json").exists()
    result.stdout.fnmatch_lines(
        ["evidence or report was not written: the tests used 2 locks (services/billing/endpoints.lock, *"]
    )


def test_one_lock_of_several_needs_no_name_of_its_own(repository_once):
    repository_once.write(
        repository_once.folder / "services/billing/tests/test_billing.py", "def test_it():\n    pass\n"
    )
    repository_once.write(repository_once.folder / "services/growth/tests/test_growth.py", TESTS["growth"])
    assert repository_once.pytest("--endpoints-evidence=evidence.json").ret == 0
    evidence = evidence_of(repository_once, "evidence.json")
    assert [pin.endpoint_id for pin in evidence.pins] == ["growth"]


def test_a_lock_at_the_root_is_for_the_tests_without_a_nearer_one(repository_once):
    repository = repository_once
    repository.add("billing", BILLING, folder="root")
    (repository.folder / "root").rename(repository.folder / "moved")
    for name in ("endpoints.toml", "endpoints.lock", "recordings"):
        (repository.folder / "moved" / name).rename(repository.folder / name)
    for name in ("billing", "growth"):
        repository.write(repository.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    repository.write(repository.folder / "moved/tests/test_billing.py", TESTS["billing"])
    result = repository.pytest("--endpoints-evidence=evidence-{lock}.json")
    result.assert_outcomes(passed=3)
    assert [line.partition(": ")[0] for line in summary(result)] == [
        "endpoints.lock",
        "services/billing/endpoints.lock",
        "services/growth/endpoints.lock",
    ]
    written = sorted(path.name for path in repository.folder.glob("evidence-*.json"))
    assert written == ["evidence-root.json", "evidence-services-billing.json", "evidence-services-growth.json"]


def test_a_given_lock_is_for_all_tests(repository_once):
    repository_once.write(repository_once.folder / "services/growth/tests/test_growth.py", TESTS["billing"])
    repository_once.write(repository_once.folder / "services/billing/tests/test_billing.py", TESTS["billing"])
    result = repository_once.pytest("--endpoints-lock=services/billing/endpoints.lock")
    result.assert_outcomes(passed=2)
    assert summary(result) == ["2 calls of 1 pinned version in 2 tests, nothing asked of the server"]


def test_a_failure_names_its_own_lock_and_a_command_that_finds_it(repository_once):
    repository_once.write(
        repository_once.folder / "services/growth/tests/test_growth.py",
        "def test_it(endpoints):\n    endpoints('revenu')\n",
    )
    result = repository_once.pytest("services/growth")
    lines = result.outlines
    start = lines.index("revenu: not pinned in environment test; did you mean 'revenue'?")
    assert lines[start + 1 : start + 5] == [
        "  expected   a pin in services/growth/endpoints.lock",
        "  received   revenue@1",
        "  fix        add it to `uses`, then",
        "  next       cd services/growth && endpoints-gitops lock --env test",
    ]


def test_the_hosts_of_all_locks_are_guarded(repository_once):
    ask = "import socket\n\ndef test_it(endpoints):\n    socket.getaddrinfo('{}', 443)\n"
    repository_once.write(repository_once.folder / "services/growth/tests/test_growth.py", ask.format(HOSTS["growth"]))
    repository_once.write(
        repository_once.folder / "services/billing/tests/test_billing.py", ask.format(HOSTS["growth"])
    )
    result = repository_once.pytest()
    result.assert_outcomes(failed=2)
    assert result.outlines.count("growth.quill.example: the network was used while replaying") >= 2


def test_what_lives_as_long_as_the_session_is_refused_by_name(repository_once):
    """The lock itself, and data of a fixture that tests of several locks share."""
    repository_once.write(
        repository_once.folder / "conftest.py",
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def rows(endpoints_session):\n"
        "    return endpoints_session('revenue', month='2026-07')\n",
    )
    shared = "def test_data(rows):\n    assert len(rows) == 1\n"
    repository_once.write(
        repository_once.folder / "services/billing/tests/test_billing.py",
        f"{shared}def test_lock(endpoints_lock):\n    assert endpoints_lock.pins\n",
    )
    repository_once.write(repository_once.folder / "services/growth/tests/test_growth.py", shared)
    result = repository_once.pytest()
    result.assert_outcomes(passed=2, errors=2)
    assert "endpoints_lock: the tests of this run have 2 locks" in result.outlines
    lines = result.outlines
    start = lines.index("fixture rows: its data is of another lock than the test's")
    assert lines[start + 1 : start + 4] == [
        "  expected   services/growth/endpoints.lock",
        "  received   revenue@1 of services/billing/endpoints.lock",
        "  by         services/growth/tests/test_growth.py::test_data",
    ]


def test_data_of_a_fixture_in_the_folder_of_the_app(repository_once):
    for name in ("billing", "growth"):
        repository_once.write(
            repository_once.folder / f"services/{name}/conftest.py",
            "import pytest\n"
            "@pytest.fixture(scope='session')\n"
            "def rows(endpoints_session):\n"
            "    return endpoints_session('revenue', month='2026-07')\n",
        )
        columns = [column.name for column in {"billing": BILLING, "growth": GROWTH}[name].columns]
        repository_once.write(
            repository_once.folder / f"services/{name}/tests/test_{name}.py",
            f"def test_data(rows):\n    assert list(rows.columns) == {columns}\n",
        )
    repository_once.pytest().assert_outcomes(passed=2)


def test_each_folder_may_have_a_configuration_of_its_own(repository_once):
    """`endpoints_server` is one for the process, and still calls with the variables of the test's own folder."""
    repository_once.record(repository_once.folder / "services/growth", GROWTH, "2020-01")
    for name, month, plan in (("billing", "2026-07", "pro"), ("growth", "2020-01", "team")):
        repository_once.write(
            repository_once.folder / f"services/{name}/conftest.py",
            "import pytest\n"
            "from pytest_endpoints_gitops import EndpointsConfig\n"
            "@pytest.fixture(scope='session')\n"
            "def endpoints_config():\n"
            f"    return EndpointsConfig(variables={{'month': '{month}'}})\n",
        )
        repository_once.write(
            repository_once.folder / f"services/{name}/tests/test_{name}.py",
            f"def test_client(endpoints_client):\n    assert endpoints_client.run('revenue')[0].plan == '{plan}'\n",
        )
    result = repository_once.pytest("--endpoints-report=report.json")
    result.assert_outcomes(passed=2)
    report = json.loads((repository_once.folder / "report.json").read_text())
    assert [call["variables"]["month"] for call in report["calls"]] == ["2026-07", "2020-01"]


def test_recordings_that_two_locks_would_share_are_refused(repository_once):
    for name in ("billing", "growth"):
        repository_once.write(repository_once.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    result = repository_once.pytest(f"--endpoints-recordings={repository_once.folder / 'shared'}")
    result.assert_outcomes(failed=2)
    verdict = "services/growth/endpoints.lock: its recordings would lie outside of its folder,…"
    assert verdict in result.outlines


def test_readers_of_another_lock_are_not_named(repository_once):
    for name in ("billing", "growth"):
        repository_once.write(repository_once.folder / f"services/{name}/tests/test_{name}.py", TESTS[name])
    repository_once.pytest().assert_outcomes(passed=2)
    gone = replace(GROWTH, columns=(*GROWTH.columns, PinnedColumn(name="mrr", type="integer")))
    write_lock_file(repository_once.folder / "services/growth/endpoints.lock", Lock(pins=(gone,)))
    result = repository_once.pytest()
    result.assert_outcomes(passed=1, failed=1)
    assert "  read by    services/growth/tests/test_growth.py::test_fixture" in result.outlines


CANARY = """\
name: revenue
query: |
  SELECT 'pro' AS plan, 120 AS {column}, {{variables.month}} AS month ORDER BY plan LIMIT 10
variables:
  - {{name: month, type: String, default: 2026-07}}
"""


def test_the_canary_of_each_lock_is_its_own(repository_once):
    """Billing's definition is what it pinned; growth's lost a column."""
    repository = repository_once
    for name, column in (("billing", "mrr"), ("growth", "people")):
        folder = repository.folder / f"services/{name}"
        repository.write(folder / "endpoints/revenue.yaml", CANARY.format(column=column))
        (folder / "endpoints.toml").write_text(f'dir = "endpoints"\n{(folder / "endpoints.toml").read_text()}')
        repository.write(folder / "tests" / f"test_{name}.py", TESTS[name])
    result = repository.pytest("--endpoints-canary=worktree", "--endpoints-report=report.json")
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    report = json.loads((repository.folder / "report.json").read_text())
    errors = {(item["lock"], item["code"]) for item in report["items"] if item["severity"] == "error"}
    assert {lock for lock, _ in errors} == {"services/growth/endpoints.lock"}
    assert {code for _, code in errors} & {"C101", "C102"}
    assert any("services/growth/endpoints.lock: revenue@1 → " in line for line in result.outlines)
