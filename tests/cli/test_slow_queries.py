"""A query that the parser cannot finish costs its time once, and only the commands that are about it."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from endpoints_gitops.hogql import parser, parser_processes

ANDS = " AND ".join(f"event != 'x{number}'" for number in range(1600))
SLOW = f"name: slow\nquery: SELECT count() AS c FROM events WHERE {ANDS}\n"
SMALL = "name: small\nquery: SELECT 1 AS a\n"
UNPARSED = "the query could not be parsed within 0.3 seconds"


@pytest.fixture
def parsed(monkeypatch, parse_within):
    """The queries that went to a parser process; each command finds the caches of this process empty."""
    asked = []
    real = parser_processes.POOL.parse

    def parse(query, *words):
        asked.append(query)
        return real(query, *words)

    parse_within(0.3)
    monkeypatch.setattr(parser_processes, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(parser_processes.POOL, "parse", parse)
    monkeypatch.setattr(parser, "_SURROUNDINGS", parser._Surroundings())
    return asked


@pytest.fixture
def run(cli, checkout, parsed, parse_within):
    checkout.commit({"slow.yaml": SLOW, "small.yaml": SMALL})

    def once(*words):
        parse_within(parser.SECONDS)
        parsed.clear()
        return cli(*words)

    return once


@pytest.mark.parametrize(
    "words",
    [
        ("diff", "small"),
        ("plan", "small"),
        ("push", "--yes", "small"),
        ("pull", "small", "--yes"),
        ("diff", "sm*"),
        ("diff", "endpoints/small.yaml"),
        ("check", "small"),
        ("check", "endpoints/small.yaml"),
        ("adopt", "small"),
    ],
    ids=" ".join,
)
def test_only_selected_definitions_are_parsed(run, parsed, words):
    ran = run(*words)
    assert not any("x1599" in query for query in parsed)
    assert UNPARSED not in ran.out + ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("breaking", "--against", "HEAD", "small"),
        ("breaking", "--against", "HEAD~1..HEAD", "sm*"),
        ("diff", "--against", "base", "small"),
        ("diff", "--against", "base", "endpoints/small.yaml"),
        ("diff", "--against", "HEAD", "tag:fast"),
        ("diff", "--against", "./before", "small"),
    ],
    ids=" ".join,
)
def test_only_selected_definitions_of_the_base_are_parsed(run, parsed, checkout, words):
    checkout.commit({"small.yaml": SMALL + "tags: [fast]\n"})
    checkout.git("tag", "base")
    shutil.copytree(checkout.folder, checkout.top / "before")
    changed = SMALL.replace("AS a", "AS b") + "tags: [fast]\n"
    checkout.write({"slow.yaml": "name: slow\nquery: SELECT 2 AS a\n", "small.yaml": changed})
    ran = run(*words)
    assert ran.code == 1
    assert not any("x1599" in query for query in parsed)
    assert re.search("C10[12] .*small|small.*C10[12] ", ran.out, re.DOTALL)
    assert UNPARSED not in ran.out + ran.err


def test_a_mistake_in_the_base_counts_if_selected(run, checkout):
    checkout.commit({"slow.yaml": "name: slow\nquery: SELEKT\n", "small.yaml": SMALL})
    checkout.write({"slow.yaml": "name: slow\nquery: SELECT 2 AS a\n"})
    for command in ("breaking", "diff"):
        assert run(command, "--against", "HEAD", "small").code == 0
        for words in ((), ("slow",), ("s*",)):
            ran = run(command, "--against", "HEAD", *words)
            assert ran.code == 4
            assert "HEAD:endpoints/slow.yaml:2:8" in ran.out + ran.err


def test_old_versions_are_not_parsed(run, parsed, checkout):
    checkout.commit({"small.yaml": SLOW.replace("slow", "small")})
    checkout.commit({"small.yaml": SMALL, "slow.yaml": None})
    for words in (("plan",), ("diff", "small"), ("push", "--yes", "--prune")):
        run(*words)
        assert parsed == [], words


def test_slow_queries_are_remembered_and_reported(run, parsed, tmp_path):
    first = run("plan")
    assert len(parsed) == 1
    assert first.code == 1
    assert re.search(rf"slow is not sent: .*{UNPARSED}\n", first.out)
    assert "still parsing, for 0.3 s at most: SELECT count() AS c FROM events WHERE event != 'x0'" in first.err
    (kept,) = (tmp_path / "state" / "unfinished").iterdir()
    for words in (("plan",), ("push", "--yes"), ("check",), ("diff", "slow")):
        ran = run(*words)
        assert parsed == []
        assert "still parsing" not in ran.err
        if words[0] != "diff":
            assert ran.code == 1
            assert "slow" in ran.out + ran.err
            assert f"{UNPARSED} (result of an earlier command; remove {kept} to try again)" in ran.out + ran.err
    kept.unlink()
    run("check")
    assert len(parsed) == 1


def test_a_slow_query_is_tried_again_after_an_edit_or_with_more_time(run, parsed, checkout, monkeypatch):
    run("check", "slow")
    checkout.write({"slow.yaml": SLOW.replace("x0'", "y0'")})
    run("check", "slow")
    assert len(parsed) == 1
    run("check", "slow")
    assert parsed == []
    monkeypatch.setattr(parser, "SECONDS", 0.4)
    run("check", "slow")
    assert len(parsed) == 1


@pytest.mark.parametrize("days", [8, -1])
def test_old_and_future_memories_are_ignored(run, parsed, tmp_path, days):
    run("check", "slow")
    (kept,) = (tmp_path / "state" / "unfinished").iterdir()
    moment = kept.stat().st_mtime - days * 86400
    os.utime(kept, (moment, moment))
    run("check", "slow")
    assert len(parsed) == 1


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_a_damaged_memory_is_ignored(run, parsed, tmp_path, make):
    run("check", "slow")
    (kept,) = (tmp_path / "state" / "unfinished").iterdir()
    kept.unlink()
    make(kept)
    ran = run("check", "slow")
    assert (ran.code, len(parsed)) == (1, 1)
    assert UNPARSED in ran.out


def test_a_mistake_in_an_unselected_definition_is_ignored(run, checkout):
    checkout.write({"slow.yaml": "name: slow\nquery: SELEKT\n"})
    small = run("diff", "small")
    assert (small.code, "slow.yaml" in small.out + small.err) == (1, False)
    for words in ([], ["slow"]):
        ran = run("diff", *words)
        assert ran.code == 2
        assert "slow.yaml:2" in ran.err
