"""Each command with each failure: exit code and every format agree, and nothing corrupt ever exits 0.

The expected exit codes are data in `failures.yaml`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from endpoints_gitops.cli.registry import REPORTING
from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.codecs.lock import read_lock
from tests.reports.shapes import SHAPES, passes

ROWS = YAML(typ="safe").load((Path(__file__).parent / "failures.yaml").read_text("utf-8"))["commands"]
QUERY = "SELECT event, count() AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 10"
CHANGED = QUERY.replace("count() AS n", "count() AS n, uniq(person_id) AS people")


def yaml(name: str, sql: str, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, "query": sql, **keys}.items())


class Failures:
    """What can be broken for a command. Each method breaks one thing; `undo` mends it."""

    def __init__(self, checkout: Any, clone: Path) -> None:
        self.checkout, self.clone = checkout, clone
        self.undo()

    def undo(self) -> None:
        """Mend the checkout as git has it, and forget the variables."""
        self.env: dict[str, str] = {}
        self.base, self.top = "main", self.checkout.top
        self.checkout.git("checkout", "--quiet", "--", ".")
        self.checkout.git("clean", "--quiet", "--force")

    def no_key(self) -> None:
        self.env["ENDPOINTS_TEST_KEY"] = ""

    def wrong_key(self) -> None:
        self.env["ENDPOINTS_TEST_KEY"] = "phx_wrong"

    def no_network(self) -> None:
        self.env["ENDPOINTS_GITOPS_HOST"] = "http://127.0.0.1:9"

    def bad_ref(self) -> None:
        self.base = "nowhere"

    def corrupt_lock(self) -> None:
        self._cut("endpoints.lock")

    def corrupt_registry(self) -> None:
        self._cut("consumers.json")

    def corrupt_evidence(self) -> None:
        self._cut("endpoints-evidence.json")

    def bad_yaml(self) -> None:
        self._cut("endpoints/other.yaml")

    def shallow_clone(self) -> None:
        if not self.clone.exists():
            url = self.checkout.top.as_uri()
            self.checkout.git("clone", "--quiet", "--depth", "1", "--no-single-branch", url, str(self.clone))
        self.base, self.top = "origin/main", self.clone
        evidence = self.checkout.top / "endpoints-evidence.json"
        (self.clone / evidence.name).write_bytes(evidence.read_bytes())

    def clean(self) -> None:
        """Break nothing; last, as it writes."""

    def _cut(self, name: str) -> None:
        path = self.checkout.top / name
        path.write_text(path.read_text()[:-8])


FAILURES = [name for name in vars(Failures) if not name.startswith("_") and name != "undo"]


@pytest.fixture
def project(cli: Any, checkout: Any) -> None:
    """A branch that adds a column to a pinned endpoint, and a pin that is not released yet."""
    checkout.commit({"counts.yaml": yaml("counts", QUERY), "other.yaml": yaml("other", "SELECT 1 AS one", tags=["a"])})
    assert cli("push", "--yes").code == 0
    checkout.git("checkout", "--quiet", "-b", "mine")
    with (checkout.top / "endpoints.toml").open("a") as configuration:
        configuration.write('[uses]\ncounts = "*"\n')
    assert cli("lock").code == 0
    assert cli("consumers", "collect", ".").code == 0
    checkout.commit({"counts.yaml": yaml("counts", CHANGED)})
    assert cli("plan", "-o", "plan.json").code == 0
    checkout.commit()


def write_evidence_of_head(checkout: Any) -> None:
    """The evidence that the plugin writes where a test of each pin passed at this commit."""
    lock = read_lock((checkout.top / "endpoints.lock").read_bytes(), "endpoints.lock")
    tests = [ExercisedTest(test="test_app.py::test", outcome="passed")]
    pins = tuple(ExercisedPin.of(pin, tests) for pin in lock.pins)
    commit, tree = checkout.git("rev-parse", "HEAD", "HEAD^{tree}").split()
    evidence = Evidence(
        commit=commit,
        tree=tree,
        is_dirty=False,
        mode="live",
        contract="strict",
        outcome="passed",
        partial=None,
        pins=pins,
    )
    (checkout.top / "endpoints-evidence.json").write_bytes(write_evidence(evidence))


@pytest.mark.parametrize("row", ROWS, ids=[row["words"] for row in ROWS])
@pytest.mark.usefixtures("project")
def test_exit_code_and_formats_agree(row: Mapping[str, Any], make_cli: Any, checkout: Any, tmp_path: Path) -> None:
    configuration = (checkout.top / "endpoints.toml").read_bytes()
    failures = Failures(checkout, tmp_path / "clone")
    reports = tmp_path / "reports"
    reports.mkdir()
    expected, actual = {}, {}
    for name in FAILURES:
        failures.undo()
        query = CHANGED.replace("LIMIT 10", f"LIMIT {20 + len(actual)}")  # so that a push has a change
        checkout.commit({"counts.yaml": yaml("counts", query)})
        write_evidence_of_head(checkout)
        getattr(failures, name)()
        command, *words = [failures.base if word == "main" else word for word in row["words"].split()]
        cli = make_cli(failures.top)
        (failures.top / "endpoints.toml").write_bytes(configuration)
        files = {report: reports / f"{name}.{report}" for report in SHAPES} if command in REPORTING else {}
        words += [f"--report={report}={path}" for report, path in files.items()]
        ran = cli(command, *words, "--max-wait", "1", "--format", "json", env=failures.env)
        expected[name], actual[name] = row.get(name, row["clean"]), ran.code
        assert ran.json["ok"] == (ran.code == 0)
        assert ran.code == 0 or ran.json["errors"] or ran.json["items"], f"{name} says nothing"
        texts = {report: path.read_text() for report, path in files.items()}
        for report, text in texts.items():
            SHAPES[report](text)
        answers = {report: passes(report, text) for report, text in texts.items()}
        assert answers == dict.fromkeys(texts, ran.code == 0), name
    assert actual == expected
