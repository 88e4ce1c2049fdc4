"""The cache of `check`: a run that finds results there says what a run without it says."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import endpoints_gitops
from endpoints_gitops.workspace import plugins
from endpoints_gitops.workspace.check_cache import _KEPT_DAYS, CheckCache

LIMITED = "name: {name}\nquery: |\n  SELECT event\n  FROM events\n  LIMIT 3\n"
KEPT = "these words are from the cache"


@pytest.fixture
def cache(tmp_path, checkout, monkeypatch):
    """The cache folder, and a checkout with one file that has a finding."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ENDPOINTS_GITOPS_CACHE", str(folder))
    checkout.write({"limited.yaml": LIMITED.format(name="limited")})
    return folder


def written(cache: Path) -> list[Path]:
    return sorted(cache.glob("check/*/??.json"))


def write(path: Path, body: bytes) -> None:
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + body)


def mark(cache: Path) -> None:
    """Make what is kept recognizable: each finding's message is KEPT."""
    for path in written(cache):
        entries = json.loads(path.read_bytes()[64:])
        for _, (_, _, _, findings, *_) in entries.values():
            for finding in findings:
                finding[11] = KEPT
        write(path, json.dumps(entries).encode())


def results(ran) -> tuple[object, ...]:
    return ran.code, ran.json["items"], ran.json["summary"]


@pytest.fixture
def same(cli):
    """Run `check`, and again without the cache: both say the same, which is returned."""

    def run(*words: str):
        ran = cli("check", *words, "--format", "json")
        assert results(ran) == results(cli("check", *words, "--no-cache", "--format", "json"))
        return ran

    return run


def test_the_second_run_uses_cached_results(cli, cache, checkout):
    before = sorted(checkout.top.rglob("*"))
    assert "G110 LIMIT 3 without ORDER BY" in cli("check").out
    mark(cache)
    assert f"endpoints/limited.yaml:5:9: G110 {KEPT} [warn]" in cli("check").out
    assert KEPT in cli("check", "endpoints/limited.yaml").out
    assert KEPT in cli("check", "limited").out
    assert KEPT not in cli("check", "--no-cache").out
    assert sorted(checkout.top.rglob("*")) == before, "nothing is written into the checkout"


def test_no_cache_writes_nothing(cli, cache):
    assert "G110" in cli("check", "--no-cache").out
    assert not cache.exists()


def test_the_user_cache_folder_is_the_default(cli, cache, monkeypatch, tmp_path):
    monkeypatch.delenv("ENDPOINTS_GITOPS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cli("check")
    assert len(list(tmp_path.glob("xdg/endpoints-gitops/check/*/??.json"))) == 1 or sys.platform != "linux"
    assert not cache.exists()


QUERIES = (
    "SELECT event FROM events LIMIT 3",
    "SELECT 1 AS n",
    "SELECT now() AS t",
    "SELEKT",
    "SELECT {variables.v} AS v",
)


def edits(chance: random.Random) -> dict[str, str | None]:
    """Files of one random edit; None removes one."""
    name, number = chance.choice("abc"), chance.randrange(6)
    query = json.dumps(chance.choice(QUERIES))
    variables = f"variables: [{{name: v, type: {chance.choice(['String', 'Number'])}}}]\n"
    return chance.choice(
        [
            {f"{name}.yaml": f"name: {chance.choice('abc')}\nquery: {query}\n"},
            {f"{name}.yaml": f"name: {name}\nquery: {query}\n{variables}"},
            {f"{name}.yaml": f"name: {name}\nquery_file: q{number % 2}.sql\n"},
            {f"q{number % 2}.sql": f"{chance.choice(QUERIES)}\n"},
            {f"q{number % 2}.sql": None},
            {f"{name}.yaml": None},
            {f"{name}.yaml": f"name: {name}\nquery: {query}\nenvironments: {{test: {{active: false}}}}\n"},
        ]
    )


@pytest.mark.parametrize("seed", range(4))
def test_cached_results_equal_uncached_ones_after_any_edit(same, cache, checkout, seed):
    """The law of the cache, over random edits of definitions and of what they are made of."""
    chance = random.Random(seed)
    checkout.write({"q0.sql": "SELECT 1 AS n\n", "q1.sql": "SELECT event FROM events LIMIT 3\n"})
    codes = set()
    for _ in range(20):
        files = {name: text for name, text in edits(chance).items() if text or (checkout.folder / name).exists()}
        checkout.write(files)
        words = chance.choice([(), (), ("--env", "test"), ("endpoints/limited.yaml",)])
        codes |= {item["code"] for item in same(*words).json["items"]}
    assert len(codes) > 3, codes
    assert written(cache)


@pytest.mark.usefixtures("cache")
def test_a_changed_sql_file_invalidates_the_result(same, checkout):
    checkout.write(
        {
            "limited.yaml": "name: limited\nquery_file: limited.sql\n",
            "limited.sql": "SELECT event FROM events LIMIT 3\n",
        }
    )
    assert [item["code"] for item in same().json["items"]] == ["G110"]
    checkout.write({"limited.sql": "SELECT 1 AS n\n"})
    assert same().json["items"] == []
    checkout.write({"limited.sql": None})
    assert same().code == 1
    checkout.write({"limited.sql": "SELECT event FROM events LIMIT 3\n"})
    assert [item["code"] for item in same().json["items"]] == ["G110"]


@pytest.mark.parametrize(
    "change",
    [
        lambda patch, _: patch.setattr(endpoints_gitops, "__version__", "99.0"),
        lambda patch, _: patch.setattr(sys, "version", "4.0.0"),
        lambda patch, _: patch.setattr(plugins, "_is_any_installed", lambda: True),
        lambda _, checkout: (checkout.folder / "limited.yaml").rename(checkout.folder / "other.yaml"),
    ],
    ids=["another version", "another Python", "a plugin", "another path"],
)
def test_other_inputs_invalidate_the_result(cli, cache, checkout, monkeypatch, change):
    cli("check")
    mark(cache)
    change(monkeypatch, checkout)
    plugins.installed.cache_clear()
    try:
        if plugins._is_any_installed():
            monkeypatch.setattr(plugins.Plugins, "__bool__", lambda _: True)
        out = cli("check").out
    finally:
        plugins.installed.cache_clear()
    assert "G110" in out
    assert KEPT not in out


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(KEPT.encode(), KEPT.upper().encode()))


def replace(path: Path, make) -> None:
    path.unlink()
    make(path)


def reshape(change):
    def damage(path: Path) -> None:
        entries = json.loads(path.read_bytes()[64:])
        write(path, json.dumps({key: change(entry) for key, entry in entries.items()}).encode())

    return damage


def age(days: int):
    return reshape(lambda entry: [entry[0] - days, entry[1]])


DAMAGE = {
    "cut short": truncate,
    "another letter": flip,
    "empty": lambda path: path.write_bytes(b""),
    "no JSON": lambda path: write(path, b"{"),
    "no object": lambda path: write(path, b"[1, 2]"),
    "deep": lambda path: write(path, b"[" * 100_000),
    "entries of another shape": reshape(lambda _: 7),
    "values of another shape": reshape(lambda entry: [entry[0], {"name": "limited"}]),
    "findings of another shape": reshape(lambda entry: [entry[0], ["limited", [], [["G110"]], []]]),
    "an unknown severity": reshape(lambda entry: json.loads(json.dumps(entry).replace('"warn"', '"fatal"'))),
    "a folder": lambda path: replace(path, Path.mkdir),
    "a pipe": lambda path: replace(path, os.mkfifo),
    "too old": age(_KEPT_DAYS + 1),
    "from the future": age(-2),
    "writable by others": lambda path: path.chmod(0o666),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_is_ignored(cli, same, cache, kind):
    cli("check")
    mark(cache)
    for path in written(cache):
        DAMAGE[kind](path)
    assert [item["code"] for item in same().json["items"]] == ["G110"]
    assert KEPT not in cli("check").out


@pytest.mark.parametrize("what", ["", "check", "check/*"])
@pytest.mark.parametrize("how", ["owner", "mode"])
def test_a_foreign_cache_is_ignored(cli, same, cache, what, how):
    cli("check")
    mark(cache)
    (folder,) = cache.glob(what) if what else [cache]
    if how == "mode":
        folder.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(folder, 777, -1)
    else:
        pytest.skip("only root can give a folder away")
    before = [path.read_bytes() for path in written(cache)]
    same()
    ran = cli("check", "--verbose")
    assert KEPT not in ran.out
    assert f"other users can write to the cache {cache}, so it is not used" in ran.err
    assert [path.read_bytes() for path in written(cache)] == before


def test_an_unwritable_cache_changes_no_result(cli, cache):
    cache.write_text("a file is in its place")
    ran = cli("check")
    assert ran.code == 0
    assert "G110" in ran.out


def test_unused_entries_are_removed(cli, cache, monkeypatch):
    cli("check")
    (folder,) = cache.glob("check/*")
    left = folder / ".ab.0123456789ab"
    left.write_text("")
    for path in (left, folder):
        os.utime(path, (1, 1))
    monkeypatch.setattr(endpoints_gitops, "__version__", "99.0")
    cli("check")
    assert [path for path in cache.glob("check/*") if path == folder] == []
    assert len(written(cache)) == 1


def test_a_timeout_is_not_cached(cli, cache, checkout, parse_within):
    ands = " AND ".join(f"event != 'x{number}'" for number in range(1600))
    checkout.write({"limited.yaml": f"name: limited\nquery: SELECT event FROM events WHERE {ands}\n"})
    parse_within(0.2)
    assert "definition.unparsed" in cli("check").out
    assert written(cache) == []


def test_only_changed_files_of_many_are_checked_again(cache, checkout):
    files = {f"e{number}.yaml": LIMITED.format(name=f"e{number}") for number in range(230)}
    checkout.write({"limited.yaml": None, **files})

    def check(*words: str) -> dict[str, object]:
        program = "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "check", "--format", "json", *words]
        ran = subprocess.run(command, cwd=checkout.top, capture_output=True, text=True, check=False)
        assert ran.stderr == ""
        return json.loads(ran.stdout)

    first = check()
    assert len(first["items"]) == 230
    mark(cache)
    checkout.write({"e7.yaml": "name: e7\nquery: SELECT 1 AS n\n"})
    second = check()
    assert [item["message"] for item in second["items"]] == [KEPT] * 229
    assert check("--no-cache")["items"] == [item for item in first["items"] if item["endpoint"] != "e7"]


def test_a_second_cache_object_finds_the_entries_of_the_first(tmp_path):
    first = CheckCache(tmp_path / "cache")
    first.put("ab" * 32, ["value"])
    first.save()
    second = CheckCache(tmp_path / "cache")
    assert (second.get("ab" * 32), second.get("cd" * 32)) == (["value"], None)
