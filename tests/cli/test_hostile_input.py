"""No traceback: whatever a file or an argument holds, a command ends with a sentence and an exit code of the table."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DIGITS = "9" * 5_000
PIECES = (
    *(b"\0", b"\xff", b"\n", b"\r", b"\t", b"\x1b[2J", b"\xe2\x80\xae", b'"', b"'", b"\\", b": ", b"- ", b"#", b"/"),
    *(b"[" * 3_000, b"{" * 3_000, b"{a=" * 1_000, b"a." * 2_000, b'"a":' * 1_000, b"(" * 20, b"CAST(" * 9),
    *(b"null", b"true", b"nan", b".inf", b"0", b"-1", b"1e999999", b"1_0", b"2026-13-45", b"[]", b"{}", b'""'),
    *(DIGITS.encode(), b"-" + DIGITS.encode(), b"0x" + b"f" * 4_000, b'"\\u0000"', b'"\\ud800"', b"*a", b"&a", b"<<: "),
)
ONE = "name: one\nquery: SELECT count() AS n FROM events WHERE event = {variables.v}\n"
FILES = {
    "endpoints/one.yaml": f"{ONE}variables: [{{name: v, type: String, default: a}}]\ntags: [a]\n",
    "endpoints/two.yaml": "name: two\nquery_file: two.sql\ndata_freshness: 1hour\n",
    "endpoints/two.sql": "SELECT 1 AS n\n",
}
CODES = {0, 1, 2, 3, 4, 5, 6}


def mutated(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((0, 1, 2, 5, 20)))
    piece = chance.choice((*PIECES, b"", content[start:end] * 2, bytes([chance.randrange(256)])))
    return content[:start] + piece + content[end:]


def is_told(ran) -> bool:
    return ran.code in CODES and not any(word in ran.err for word in ("Traceback", "a defect of this tool", "\x1b"))


@pytest.fixture
def project(cli, checkout) -> Callable[[], dict[str, bytes]]:
    """Pushes and locks what FILES define, and gives the content of every file that a command reads."""

    def make() -> dict[str, bytes]:
        checkout.write({name.removeprefix("endpoints/"): content for name, content in FILES.items()})
        manifest = checkout.top / "endpoints.toml"
        manifest.write_text(manifest.read_text() + '[environments.test.uses]\none = "*"\ntwo = { version = 1 }\n')
        assert cli("push", "--yes").code == 0
        assert cli("lock").code == 0
        checkout.write({"two.sql": "SELECT 2 AS n\n"})
        assert cli("plan", "-o", "plan.json").code == 0
        names = (*FILES, "endpoints.toml", "endpoints.lock", "plan.json")
        return {name: (checkout.top / name).read_bytes() for name in names}

    return make


COMMANDS = {
    "endpoints.toml": [("check",), ("lock", "--check"), ("diff",)],
    "endpoints.lock": [("lock", "--check"), ("breaking", "--against", "lock"), ("lock",)],
    "plan.json": [("push", "--plan", "plan.json", "--yes")],
}


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_a_file_with_anything_in_it(cli, checkout, project, seed):
    files = _made(project, checkout.top)
    chance = random.Random(seed)
    name = chance.choice(sorted(files))
    content = mutated(files[name], chance)
    (checkout.top / name).write_bytes(content)
    for command in COMMANDS.get(name, [("check",), ("diff",)]):
        ran = cli(*command, "--max-wait", "1")
        assert is_told(ran), (command, name, content, ran.err)
    (checkout.top / name).write_bytes(files[name])


_kept: dict[Path, dict[str, bytes]] = {}


def _made(project: Callable[[], dict[str, bytes]], top: Path) -> dict[str, bytes]:
    if top not in _kept:
        _kept[top] = project()
    return _kept[top]


@pytest.mark.parametrize(
    "words",
    [
        ("check", "a\0b"),
        ("check", "\ud800"),
        ("diff", "changed:\0"),
        ("get", "\0"),
        ("get", "one", "--version", DIGITS),
        ("run", "one", "--var", "v=\0"),
        ("run", "one", "--limit", DIGITS),
        ("run", "--file", "\0"),
        ("push", "--plan", "\0"),
        ("push", "--yes", f"--overwrite=one@{DIGITS}"),
        ("plan", "-o", "\0"),
        ("upgrade", f"one@{DIGITS}"),
        ("rollback", f"one@{DIGITS}"),
        ("serve", "--state", "\0"),
        ("serve", "--port", DIGITS),
        ("pull", "--dir", "a\0b", "--yes"),
    ],
    ids=lambda words: f"{words[0]} {words[1][:12]!r}",
)
def test_an_argument_that_cannot_be_is_a_usage_error(cli, words):
    ran = cli(*words)
    assert (ran.code, is_told(ran)) == (2, True), ran.err


@pytest.mark.parametrize("command", [("check",), ("lock", "--check"), ("lock",), ("diff",)], ids=" ".join)
@pytest.mark.parametrize(
    ("before", "behind", "message"),
    [
        (f"x = {DIGITS}\n", "", "a number is too large"),
        (f"x = 0x{'f' * 4_000}\n", "", "a number is too large"),
        ("", f"[uses]\none = {{version = {DIGITS}}}\n", "a number is too large"),
        ("", f"[uses]\none = {{examples = [{{v = 0x{'f' * 4_000}}}]}}\n", "a number is too large"),
        ("x = " + "[" * 5_000 + "\n", "", "nested too deeply"),
        ("", f'[environments.x]\nproject_id = "{DIGITS}"\n', "project_id is a number"),
    ],
    ids=["digits", "hex", "version", "example", "nesting", "project"],
)
def test_a_configuration_that_toml_readers_choke_on(cli, checkout, command, before, behind, message):
    path = checkout.top / "endpoints.toml"
    path.write_text(before + path.read_text() + behind)
    ran = cli(*command)
    assert (ran.code, is_told(ran)) == (2, True), ran.err
    assert message in ran.err


@pytest.mark.parametrize("text", [DIGITS, "1" * 17, "1e5", "٣"])
def test_a_project_that_is_no_number(cli, text):
    ran = cli("diff", env={"ENDPOINTS_GITOPS_PROJECT_ID": text})
    assert (ran.code, is_told(ran)) == (2, True), ran.err


QUERIES = {
    "digits": f"SELECT {DIGITS} AS n",
    "hex": f"SELECT 0x{'f' * 4_000} AS n",
    "exponent": f"SELECT 1e{DIGITS} AS n",
    "limit": f"SELECT 1 AS n LIMIT {DIGITS}",
    "decimal": f"SELECT toDecimal(1, {DIGITS}) AS n",
    "nul": "\"SELECT '\\0' AS n\"",
    "brackets": "'SELECT " + "[" * 3_000 + "'",
    "placeholder": "'SELECT {" + "a." * 3_000 + "b} AS n'",
}


@pytest.mark.parametrize("kind", QUERIES)
def test_a_query_that_parsers_choke_on(cli, checkout, kind):
    checkout.write({"one.yaml": f"name: one\nquery: {QUERIES[kind]}\n"})
    for command in (("check",), ("diff",), ("push", "--yes"), ("run", "--file", "endpoints/one.yaml")):
        ran = cli(*command, "--max-wait", "5")
        assert is_told(ran), (command, ran.err)
