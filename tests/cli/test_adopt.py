"""`adopt NAME…`: a conflict answered in the file, so that any clone can push the answer.

All clocks but git's run half an hour behind the last commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from endpoints_gitops.local.serve import RunningServer, running_server

FILE = "# ours\nname: signups   # counted\ndescription: {}\nquery: SELECT {} AS n\n"


@pytest.fixture
def clock(checkout) -> Callable[[], datetime]:
    return lambda: checkout.date(checkout.hours) + timedelta(minutes=30)


@pytest.fixture
def server(engine, clock) -> Iterator[RunningServer]:
    with running_server(engine=engine, clock=clock) as running:
        yield running


def hogql(number):
    return {"kind": "HogQLQuery", "query": f"SELECT {number} AS n"}


@pytest.fixture
def path(cli, checkout, client):
    """Edited on both sides: the server has version 2, the file something else."""
    checkout.commit({"signups.yaml": FILE.format("People", 1)})
    client.create_endpoint({"name": "signups", "description": "People", "query": hogql(1)})
    assert cli("pull").code == 0
    client.update_endpoint("signups", {"query": hogql(2)})
    checkout.write({"signups.yaml": FILE.format("People", 3)})
    return checkout.folder / "signups.yaml"


def test_adopt_shows_the_difference_and_push_writes_it(cli, client, path):
    assert cli("push", "--yes").code == 6
    ran = cli("adopt", "signups")
    assert (ran.code, path.read_text()) == (0, FILE.format("People", 3) + "supersedes: 2\n"), ran.err
    assert "-SELECT 2 AS n" in ran.out
    assert "+SELECT 3 AS n" in ran.out
    assert cli("push", "--yes").code == 0
    assert client.get_endpoint("signups").sql == "SELECT 3 AS n"


@pytest.mark.parametrize("depth", [[], ["--depth", "1"]])
@pytest.mark.usefixtures("path")
def test_any_clone_pushes_an_adopted_definition(cli, make_cli, checkout, client, tmp_path, depth):
    cli("adopt", "signups")
    checkout.commit()
    checkout.git("clone", "--quiet", *depth, checkout.top.as_uri(), str(tmp_path / "clone"))
    assert make_cli(tmp_path / "clone")("push", "--yes").code == 0
    assert client.get_endpoint("signups").sql == "SELECT 3 AS n"


def test_adopt_answers_one_version_only(cli, client, path):
    cli("adopt", "signups")
    client.update_endpoint("signups", {"query": hogql(4)})
    assert cli("push", "--yes").code == 6
    cli("adopt", "signups")
    assert path.read_text().endswith("supersedes: 3\n"), "and is given anew"


def test_an_adopted_setting_is_used_up_by_its_push(cli, make_cli, checkout, client, path, tmp_path):
    """Settings make no version, so the one that is superseded stays current: what comes later is not covered by it."""
    path.write_text(FILE.format("Ours", 2))
    client.update_endpoint("signups", {"description": "Theirs"})
    cli("adopt", "signups")
    checkout.commit()
    checkout.git("clone", "--quiet", checkout.top.as_uri(), str(tmp_path / "clone"))
    clone = make_cli(tmp_path / "clone")
    assert clone("push", "--yes").code == 0
    assert client.get_endpoint("signups").description == "Ours"
    checkout.hours += 1
    client.update_endpoint("signups", {"description": "Theirs again"})
    clone("push", "--yes")
    cli("push", "--yes")
    assert client.get_endpoint("signups").description == "Theirs again"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["signups", "--version", "1"], 6, "version 2 of signups is current"),
        (["signups", "theirs", "--version", "2"], 2, "--version works with one endpoint"),
        (["theirs"], 2, "no file defines theirs"),
        (["ours"], 2, "the server has no ours"),
        (["signup"], 2, "did you mean 'signups'"),
    ],
)
def test_adopt_refuses_wrong_names_and_versions(cli, create, checkout, path, words, code, said):
    create("theirs")
    checkout.write({"ours.yaml": "name: ours\nquery: SELECT 1\n"})
    ran = cli("adopt", *words)
    assert (ran.code, path.read_text()) == (code, FILE.format("People", 3))
    assert said in ran.err


def test_adopt_writes_nothing_where_file_and_server_agree(cli, client, path):
    client.update_endpoint("signups", {"query": hogql(3)})
    ran = cli("adopt", "signups", "--format", "json")
    assert (ran.code, ran.json["items"][0]["state"], path.read_text()) == (0, "unchanged", FILE.format("People", 3))
