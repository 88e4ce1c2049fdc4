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
        self._cut("evidence.json")

    def bad_yaml(self) -> None:
        self._cut("endpoints/other.yaml")

    def shallow_clone(self) -> None:
        if not self.clone.exists():
            url = self.checkout.top.as_uri()
            self.checkout.git("clone", "--quiet", "--depth", "1", "--no-single-branch", url, str(self.clone))
        self.base, self.top = "origin/main", self.clone

    def clean(self) -> None:
        """Break nothing; last, as it writes."""

    def _cut(self, name: str) -> None:
        path = self.checkout.top / name
        path.write_text(path.read_text()[:-8])


FAILURES = [name for name in vars(Failures) if not name.startswith("_") and name != "undo"]


@pytest.fixture
def project(cli: Any, checkout: Any) -> None:
    """A branch that adds a column to a pinned endpoint, which its lock and the server have as it was."""
    checkout.commit({"counts.yaml": yaml("counts", QUERY), "other.yaml": yaml("other", "SELECT 1 AS one", tags=["a"])})
    assert cli("push", "--yes").code == 0
    with (checkout.top / "endpoints.toml").open("a") as configuration:
        configuration.write('[uses]\ncounts = "*"\n')
    assert cli("lock").code == 0
    assert cli("consumers", "collect", ".").code == 0
    (checkout.top / "evidence.json").write_text("{}\n")
    checkout.commit()
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.commit({"counts.yaml": yaml("counts", CHANGED)})


@pytest.mark.parametrize("row", ROWS, ids=[row["words"] for row in ROWS])
@pytest.mark.usefixtures("project")
def test_exit_code_and_formats_agree(row: Mapping[str, Any], make_cli: Any, checkout: Any, tmp_path: Path) -> None:
    configuration = (checkout.top / "endpoints.toml").read_bytes()
    failures = Failures(checkout, tmp_path / "clone")
    expected, actual = {}, {}
    for name in FAILURES:
        failures.undo()
        query = CHANGED.replace("LIMIT 10", f"LIMIT {20 + len(actual)}")  # so that a push has a change
        checkout.commit({"counts.yaml": yaml("counts", query)})
        getattr(failures, name)()
        words = [failures.base if word == "main" else word for word in row["words"].split()]
        cli = make_cli(failures.top)
        (failures.top / "endpoints.toml").write_bytes(configuration)
        ran = cli(*words, "--max-wait", "1", "--format", "json", env=failures.env)
        expected[name], actual[name] = row.get(name, row["clean"]), ran.code
        assert ran.json["ok"] == (ran.code == 0)
        assert ran.code == 0 or ran.json["errors"] or ran.json["items"], f"{name} says nothing"
    assert actual == expected
