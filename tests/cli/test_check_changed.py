"""`check` of some files: what other files contradict is found without reading them, and never missed."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path

import pytest

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.operations.check import folder_index
from endpoints_gitops.plan.variables import statements
from endpoints_gitops.workspace.check_cache import CheckCache
from endpoints_gitops.workspace.definitions import read_file
from tests.cli.test_check import STAR, good
from tests.cli.test_check_cache import edits

BROKEN = "bogus: 1\n"


@pytest.fixture
def settled(monkeypatch) -> None:
    """Trust the times of files at once; a test that edits files then gives each a time of its own."""
    monkeypatch.setattr(folder_index, "_SETTLED", -(10**18))


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The names of the files that are read for the index."""
    names: list[str] = []
    read = folder_index._statements

    def record(path: Path, folder: Path) -> folder_index.Statements:
        names.append(path.name)
        return read(path, folder)

    monkeypatch.setattr(folder_index, "_statements", record)
    return names


def checked(ran) -> int:
    return ran.json["summary"]["definitions"]


def test_only_definitions_that_the_change_concerns_are_checked(cli, checkout):
    checkout.write(
        {
            "one.yaml": good("one"),
            "broken.yaml": good("broken") + BROKEN,
            "sub/two.yaml": "name: two\nquery_file: ../two.sql\n",
            "three.yaml": "name: three\nquery_file: two.sql\n",
            "two.sql": "SELECT *\nFROM events\n",
            "../other.yaml": BROKEN,
            "../other.sql": "SELECT\n",
        }
    )

    def run(*paths: str):
        return cli("check", "--changed-files", *paths, "--format", "json")

    assert (run().code, checked(run())) == (0, 0)
    assert (run("endpoints/one.yaml").code, checked(run("endpoints/one.yaml"))) == (0, 1)
    ran = run("endpoints/two.sql", "other.yaml", "other.sql", "endpoints.toml", "endpoints/gone.yaml")
    assert (ran.code, checked(ran), {item["endpoint"] for item in ran.json["items"]}) == (0, 2, {"two", "three"})
    ran = run("endpoints/broken.yaml", "endpoints/one.yaml")
    assert (ran.code, checked(ran)) == (1, 2)
    (checkout.folder / "two.sql").unlink()
    ran = run()
    assert (ran.code, checked(ran)) == (1, 2)
    assert {item["where"] for item in ran.json["items"]} == {"endpoints/sub/two.yaml:2:13", "endpoints/three.yaml:2:13"}


def test_a_query_file_without_a_definition_is_a_note_in_a_change_and_an_error_by_itself(cli, checkout):
    checkout.write({"one.yaml": good("one"), "lonely.sql": "SELECT\n"})
    ran = cli("check", "--changed-files", "endpoints/lonely.sql")
    assert (ran.code, ran.err) == (0, "no definition uses endpoints/lonely.sql\n")
    ran = cli("check", "endpoints/lonely.sql", "--format", "json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (2, ["usage.selector"])
    assert cli("check", "endpoints/one.yaml").code == 0


def test_a_link_to_a_definition_defines_its_name_again(cli, checkout):
    """The link alone is checked, and the file that it leads to counts as another one."""
    checkout.commit({"one.yaml": "name: one\nquery: SELECT 1 AS x\n"})
    (checkout.folder / "link.yaml").symlink_to("one.yaml")
    for words in ((), ("endpoints/link.yaml",), ("--changed-files", "endpoints/link.yaml")):
        ran = cli("check", *words)
        assert (ran.code, "G107" in ran.out) == (1, True), words
    ran = cli("review", "--against", "HEAD", "--offline")
    assert (ran.code, "G107" in ran.out) == (1, True)
    assert cli("check", "./endpoints/../endpoints/one.yaml", "endpoints/one.yaml").out.count("G107") == 1


def test_a_query_file_behind_a_link_is_found(cli, checkout):
    checkout.write({"one.yaml": "name: one\nquery_file: link.sql\n", "real.sql": "SELECT *\nFROM events\n"})
    (checkout.folder / "link.sql").symlink_to("real.sql")
    assert " C113 " in cli("check", "--changed-files", "endpoints/real.sql").out
    assert " C113 " in cli("check", "endpoints/link.sql").out


def test_a_definition_that_cannot_be_read_may_use_the_query_file(cli, checkout):
    checkout.write({"one.yaml": "name: one\nquery_file: one.sql\nbogus: [\n", "one.sql": "SELECT 1 AS n\n"})
    checkout.write({"two.yaml": good("two") + BROKEN})
    ran = cli("check", "--changed-files", "endpoints/one.sql", "--format", "json")
    assert (ran.code, checked(ran)) == (1, 1)


def test_what_cannot_be_listed_is_a_finding_of_every_change(cli, checkout):
    checkout.write({"one.yaml": good("one")})
    (checkout.folder / "folder").symlink_to("/etc")
    for words in (("--changed-files",), ("--changed-files", "endpoints/one.yaml")):
        assert cli("check", *words).code == 1


def test_no_definitions_folder_is_an_error(cli):
    ran = cli("check", "--changed-files", "--dir", "nowhere", "--format", "json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (2, ["definitions.folder"])


@pytest.mark.usefixtures("settled")
def test_unchanged_files_are_not_read_again(cli, checkout, reads):
    checkout.write({f"e{number}.yaml": good(f"e{number}") for number in range(30)})
    checkout.write({"v.yaml": "name: v\nquery: SELECT {variables.x} AS x\nvariables: [{name: x, type: String}]\n"})
    assert cli("check", "endpoints/e1.yaml").code == 0
    assert len(reads) == 31
    del reads[:]
    checkout.write({"e2.yaml": good("e2") + BROKEN})
    assert cli("check", "endpoints/e2.yaml").code == 1
    assert reads == ["e2.yaml"]
    checkout.write({"e3.yaml": good("e1")})
    assert "G107" in cli("check", "endpoints/e1.yaml").out
    disagreeing = "name: w\nquery: SELECT {variables.x} AS x\nvariables: [{name: x, type: Number}]\n"
    checkout.write({"w.yaml": disagreeing})
    assert "G117" in cli("check", "endpoints/w.yaml").out
    assert {*reads} == {"e2.yaml", "e3.yaml", "w.yaml"}


def test_a_file_that_changed_a_moment_ago_is_read_again(cli, checkout, reads):
    checkout.write({"one.yaml": good("one"), "two.yaml": good("two")})
    for _ in range(2):
        assert cli("check", "endpoints/one.yaml").code == 0
    assert reads == ["one.yaml", "two.yaml"] * 2


@pytest.mark.usefixtures("settled")
def test_an_edit_that_keeps_size_and_time_is_seen(cli, checkout):
    """The time of the last change of the inode cannot be set back."""
    checkout.write({"one.yaml": good("one"), "two.yaml": good("two")})
    path = checkout.folder / "two.yaml"
    assert cli("check", "endpoints/one.yaml").code == 0
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_text(good("one"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert "G107" in cli("check", "endpoints/one.yaml").out


SHARED = "name: {}\nquery: SELECT {{variables.v}} AS v\nvariables: [{{name: v, type: {}}}]\n"
CLASHES = [
    {"a.yaml": SHARED.format("a", "String")},
    {name: SHARED.format(name[0], type_) for name, type_ in (("b.yaml", "String"), ("c.yaml", "Number"))},
    {f"{name}.yaml": good("a") for name in "ab"},
    {"c.yaml": good("a"), "a.yaml": good("a")},
    {f"{name}.yaml": SHARED.format(name, "String") for name in "abc"},
    {"a.yaml": SHARED.format("a", "Number"), "b.yaml": SHARED.format("c", "String")},
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("settled")
def test_the_kept_index_gives_what_a_new_one_gives(cli, checkout, seed):
    """The law of the index, over random edits."""
    chance, times = random.Random(seed), itertools.count(1)
    checkout.write({f"f{number}.yaml": good(f"f{number}") for number in range(25)})
    checkout.write({"q0.sql": "SELECT 1 AS n\n", "q1.sql": "SELECT event FROM events LIMIT 3\n"})
    codes = set()
    for number in range(30):
        some = edits(chance) if number % 5 else CLASHES[number // 5]
        files = {name: text for name, text in some.items() if text or (checkout.folder / name).exists()}
        checkout.write(files)
        for name, text in files.items():
            if text is not None:
                os.utime(checkout.folder / name, (next(times),) * 2)
        names = chance.sample(["a.yaml", "b.yaml", "c.yaml", "q0.sql", "q1.sql"], 2)
        words = ("check", "--changed-files", *(f"endpoints/{name}" for name in names), "--format", "json")
        kept, new = cli(*words), cli(*words, "--no-cache")
        assert (kept.code, kept.json) == (new.code, new.json)
        codes |= {item["code"] for item in kept.json["items"]}
    assert {"G107", "G117"} <= codes, codes


CONTENTS = [
    good("one"),
    "# comment\n\n  # another\nname: one  \nquery: SELECT 1\n",
    "name: one # comment\nquery: SELECT 1\n",
    'name: "one"\nquery: SELECT 1\n',
    "'name': one\nquery: SELECT 1\n",
    '"n\\x61me": one\nquery: SELECT 1\n',
    '"name": "\\u006fne"\nquery: SELECT 1\n',
    "{name: one, query: SELECT 1}\n",
    '{"name":"one","query":"SELECT 1"}\n',
    "query: SELECT 1\nname: one\n",
    "query: |\n  SELECT 1\n  -- name: two\nname: one\n",
    'description: "a\n\n  name: two\n\n  b"\nname: one\nquery: SELECT 1\n',
    "---\nname: one\nquery: SELECT 1\n",
    "name: one\nquery: SELECT 1\n---\nname: two\n",
    "name:\n  one\nquery: SELECT 1\n",
    "name: one\n  two\nquery: SELECT 1\n",
    "name: one\nname: two\nquery: SELECT 1\n",
    "name: true\nquery: SELECT 1\n",
    "name: one\r\nquery: SELECT 1\r\n",
    "\ufeffname: one\nquery: SELECT 1\n",
    " name: one\n query: SELECT 1\n",
    "? name\n: one\n? query\n: SELECT 1\n",
    "name: &x one\ndescription: *x\nquery: SELECT 1\n",
    "name: one\nquery_file: q.sql\n",
    "name: one\nquery_file: missing.sql\n",
    'name: one\n"query\\x5ffile": q.sql\n',
    "name: one\nquery: SELECT {variables.v}\nvariables: [{name: v, type: String}]\n",
    'name: one\nquery: SELECT {variables.v}\n"v\\x61riables": [{name: v, type: String}]\n',
    "name: one\nquery: SELECT {variables.v}\n",
    STAR,
    "name: [\n",
    "",
]


@pytest.mark.parametrize("content", CONTENTS)
def test_the_index_has_what_the_file_states(tmp_path, content):
    path = tmp_path / "file.yaml"
    path.write_bytes(content.encode())
    (tmp_path / "q.sql").write_text("SELECT 1\n")
    states = folder_index._statements(path, tmp_path)
    try:
        loaded = read_file(path, tmp_path, is_parsed=False)
    except InvalidInput:
        return  # such a file contradicts no other one, whatever the index says
    assert states == (loaded.name, loaded.definition.query_file, statements(loaded))


def test_what_is_damaged_in_the_cache_is_not_used(cli, checkout, settled, monkeypatch):  # noqa: ARG001 - a fixture
    checkout.write({"one.yaml": good("one"), "two.yaml": good("one")})
    for value in ({"one.yaml": 1}, [1], {"one.yaml": [[1, 2, 3, 4], ["x", "y", [], 5]]}, json.loads("null")):
        with monkeypatch.context() as patch:
            patch.setattr(CheckCache, "get", lambda *_, value=value: value)
            assert "G107" in cli("check", "endpoints/one.yaml").out
