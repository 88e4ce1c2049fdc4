"""PostHog's parser has no build for Windows: locking does without, and says what cannot be decided there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules["hogql_parser_rs"] = None
from endpoints_gitops import extras
extras.IS_WINDOWS = True
from endpoints_gitops.cli.entry import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture
def without(checkout, server):
    """Runs a command in a process of its own, in which the parser cannot be imported."""

    def run(*words):
        env = os.environ | {"ENDPOINTS_TEST_KEY": server.key}
        command = [sys.executable, "-c", PROGRAM, *words]
        return subprocess.run(command, cwd=checkout.top, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def endpoint(create, uses):
    create("revenue", "SELECT 1 AS mrr, {variables.month} AS month", variables={"month": ("String", "2026-07")})
    uses(revenue='"*"')


@pytest.mark.usefixtures("endpoint")
def test_a_lock_from_elsewhere_is_verified(cli, without):
    assert cli("lock").code == 0
    for words in (["lock"], ["lock", "--check"], ["lock", "--verify"], ["outdated"], ["upgrade"]):
        ran = without(*words)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.usefixtures("endpoint")
def test_a_lock_from_there_is_verified_elsewhere(cli, without, pins):
    assert without("lock").returncode == 0
    pin = pins()["revenue"]
    assert ([one.name for one in pin.columns], [one.name for one in pin.variables]) == (["mrr", "month"], ["month"])
    ran = cli("lock", "--verify")
    assert ran.code == 0, ran.out


@pytest.mark.usefixtures("endpoint")
def test_what_a_move_changes_is_undecided_there(cli, without, edit, pins):
    assert cli("lock").code == 0
    edit("revenue", "SELECT 1 AS mrr, {variables.month} AS month WHERE 1 = 1")
    ran = without("upgrade")
    assert (ran.returncode, "M107" in ran.stdout, "--allow-unknown" in ran.stdout) == (1, True, True), ran.stdout
    assert without("upgrade", "--allow-unknown").returncode == 0
    assert pins()["revenue"].version == 2
