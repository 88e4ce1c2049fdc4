"""The lock in git: branches that touch different pins merge, and the way out of a conflict leads out."""

from __future__ import annotations

import subprocess

import pytest

NEWEST = '"*"'


@pytest.fixture
def base(cli, uses, create, edit, checkout):
    """Four pins in version 1, and a version 2 of each."""
    names = ("alpha", "beta", "gamma", "omega")
    for name in names:
        create(name)
    uses(**dict.fromkeys(names, NEWEST))
    assert cli("lock").code == 0
    checkout.commit()
    for name in names:
        edit(name, "SELECT 1 AS one, 2 AS two")


def branch(checkout, name, do):
    checkout.git("switch", "--quiet", "--create", name, "main")
    do()
    checkout.commit()


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(("mine", "other"), [("beta", "gamma"), ("gamma", "beta"), ("alpha", "omega")])
def test_git_merges_moves_of_different_pins(cli, checkout, pins, mine, other):
    branch(checkout, "mine", lambda: cli("upgrade", mine))
    branch(checkout, "other", lambda: cli("upgrade", other))
    checkout.git("merge", "--quiet", "--no-edit", "mine")
    assert {name for name, pin in pins().items() if pin.version == 2} == {mine, other}
    before = (checkout.top / "endpoints.lock").read_bytes()
    assert (cli("lock", "--check").code, cli("lock").code) == (0, 0)
    assert (checkout.top / "endpoints.lock").read_bytes() == before, "a merged lock is as one that was written"


@pytest.mark.usefixtures("base")
def test_git_merges_added_moved_and_dropped_pins(cli, uses, create, checkout, pins):
    create("able")
    create("zeta")
    every = ("able", "alpha", "beta", "gamma", "omega", "zeta")

    def locking(*names):
        uses(**{name: NEWEST for name in every if name in names})
        assert cli("lock").code == 0

    branch(checkout, "adds", lambda: locking(*every[:5]))
    branch(checkout, "moves", lambda: cli("upgrade", "beta"))
    branch(checkout, "drops", lambda: locking(*every[1:4]))
    for name in ("adds", "moves"):
        checkout.git("merge", "--quiet", "--no-edit", name)
    assert {name: pin.version for name, pin in pins().items()} == {"able": 1, "alpha": 1, "beta": 2, "gamma": 1}
    assert cli("lock", "--check").code == 0


@pytest.mark.usefixtures("base")
def test_the_advice_for_a_merge_conflict_works(cli, uses, create, checkout, pins):
    create("psi")
    create("rho")
    every = ("alpha", "beta", "gamma", "omega")

    def adding(name):
        uses(**dict.fromkeys((*every, name), NEWEST))
        assert cli("lock").code == 0

    branch(checkout, "psi", lambda: adding("psi"))
    branch(checkout, "rho", lambda: adding("rho"))
    with pytest.raises(subprocess.CalledProcessError):
        checkout.git("merge", "--quiet", "--no-edit", "psi")
    uses(**dict.fromkeys((*every, "psi", "rho"), NEWEST))
    ran = cli("lock", "--check", "--format", "json")
    (error,) = ran.json["errors"]
    assert (ran.code, error["code"]) == (2, "lock.conflict")
    for command in error["fix"].split(" && "):
        program, *words = command.split()
        if program == "git":
            checkout.git(*words)
        else:
            assert cli(*words).code == 0
    assert {*pins()} == {*every, "psi", "rho"}
    checkout.commit()
    assert cli("lock", "--check").code == 0
