"""No traceback: whatever a file or an argument holds, a command ends with a sentence and an exit code of the table."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_gitops.local.faults import Effect, Fault
from tests.conftest import KEY_VARIABLE
from tests.fuzz.mutation import DIGITS, EXIT_CODES, mutate

ONE = "name: one\nquery: SELECT count() AS n FROM events WHERE event = {variables.v}\n"
FILES = {
    "endpoints/one.yaml": f"{ONE}variables: [{{name: v, type: String, default: a}}]\ntags: [a]\n",
    "endpoints/two.yaml": "name: two\nquery_file: two.sql\ndata_freshness: 1hour\n",
    "endpoints/two.sql": "SELECT 1 AS n\n",
}


def is_told(ran) -> bool:
    return ran.code in EXIT_CODES and not any(
        word in ran.err for word in ("Traceback", "a defect of this tool", "\x1b")
    )


@pytest.fixture
def project(cli, checkout) -> Callable[[], dict[str, bytes]]:
    """Pushes and locks what FILES define, and gives the content of every file that a command reads."""

    def make() -> dict[str, bytes]:
        checkout.write({name.removeprefix("endpoints/"): content for name, content in FILES.items()})
        manifest = checkout.top / "endpoints.toml"
        manifest.write_text(manifest.read_text() + '[environments.test.uses]\none = "*"\ntwo = { version = 1 }\n')
        assert cli("push", "--yes").code == 0
        assert cli("lock").code == 0
        assert cli("consumers", "collect", ".").code == 0
        checkout.write({"two.sql": "SELECT 2 AS n\n"})
        assert cli("plan", "-o", "plan.json").code == 0
        names = (*FILES, "endpoints.toml", "endpoints.lock", "plan.json", "consumers.json")
        return {name: (checkout.top / name).read_bytes() for name in names}

    return make


COMMANDS = {
    "endpoints.toml": [("check",), ("lock", "--check"), ("diff",)],
    "endpoints.lock": [("lock", "--check"), ("breaking", "--against", "lock"), ("lock",)],
    "consumers.json": [("consumers", "who"), ("consumers", "collect", "."), ("breaking", "--against", "lock")],
    "plan.json": [("push", "--plan", "plan.json", "--yes")],
}


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_a_file_with_anything_in_it(cli, checkout, project, seed):
    files = _made(project, checkout.top)
    chance = random.Random(seed)
    name = chance.choice(sorted(files))
    content = mutate(files[name], chance)
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


class KeptOutside:
    """Makes the files that a command reads beside definitions, configuration, lock and plan, as pushes, logins and
    trust leave them.
    """

    def __init__(self, cli, checkout, server, state: Path, home: Path) -> None:
        self.cli, self.checkout, self.server, self.state, self.home = cli, checkout, server, state, home

    def record(self) -> Path:
        self.checkout.write({"one.yaml": "name: one\nquery: SELECT 1 AS n\n"})
        assert self.cli("push", "--yes").code == 0
        return self._in_state("record.json")

    def journal(self) -> Path:
        self.record()
        self.checkout.write({"one.yaml": "name: one\nquery: SELECT 2 AS n\n"})
        self.server.faults.add(Fault(effect=Effect.DROP, method="PATCH"))
        assert self.cli("push", "--yes", "--max-wait", "1").code in {4, 5}
        self.server.faults.clear()
        return self._in_state("journal.jsonl")

    def trust(self) -> Path:
        assert self.cli("auth", "trust", "https://posthog.example.com", f"env:{KEY_VARIABLE}").code == 0
        return self._in_state("trust.json")

    def credentials(self) -> Path:
        self._take_key_from("posthog-cli")
        path = self.home / ".posthog" / "credentials.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        login = {"host": self.server.url, "token": self.server.key, "env_id": str(self.server.project_id)}
        path.write_text(json.dumps(login))
        return path

    def dotenv(self) -> Path:
        self._take_key_from("dotenv:.env:KEY")
        path = self.checkout.top / ".env"
        path.write_text(f"# the key\nKEY='{self.server.key}'\nOTHER=\"a\"\n")
        return path

    def _in_state(self, name: str) -> Path:
        [path] = self.state.rglob(name)
        return path

    def _take_key_from(self, source: str) -> None:
        path = self.checkout.top / "endpoints.toml"
        path.write_text(path.read_text().replace(f"env:{KEY_VARIABLE}", source))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "commands", "codes"),
    [
        ("record", [("diff",)], {0, 4}),
        ("journal", [("resume", "--yes")], {0, 2, 4, 5, 6}),
        ("trust", [("auth", "trust", "--list")], {0, 2}),
        ("credentials", [("auth", "status")], {0, 2, 3, 4}),
        ("dotenv", [("auth", "status")], {0, 2, 3, 4}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_a_file_outside_the_project_with_anything_in_it(cli, checkout, server, tmp_path, name, commands, codes, seed):
    path, content = _made_once(
        (checkout.top, name), getattr(KeptOutside(cli, checkout, server, tmp_path / "state", tmp_path / "home"), name)
    )
    damaged = mutate(content, random.Random(seed))
    path.write_bytes(damaged)
    for command in commands:
        ran = cli(*command, "--max-wait", "1")
        assert is_told(ran), (command, damaged, ran.err)
        assert ran.code in codes, (command, damaged, ran.err)
        has_errors = any(line.startswith("error: ") for line in ran.err.splitlines())
        assert has_errors == (ran.code in {2, 3, 4, 5}), (command, damaged, ran.err)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


_paths: dict[tuple[Path, str], tuple[Path, bytes]] = {}


def _made_once(key: tuple[Path, str], make: Callable[[], Path]) -> tuple[Path, bytes]:
    """The path and content that the first example of a test made."""
    if key not in _paths:
        path = make()
        _paths[key] = path, path.read_bytes()
    return _paths[key]


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
def test_an_impossible_argument_is_a_usage_error(cli, words):
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
        ("", f'[environments.x]\nproject_id = "{DIGITS}"\n', "project_id must be a whole number"),
    ],
    ids=["digits", "hex", "version", "example", "nesting", "project"],
)
def test_a_hostile_toml_configuration_is_refused(cli, checkout, command, before, behind, message):
    path = checkout.top / "endpoints.toml"
    path.write_text(before + path.read_text() + behind)
    ran = cli(*command)
    assert (ran.code, is_told(ran)) == (2, True), ran.err
    assert message in ran.err


@pytest.mark.parametrize("text", [DIGITS, "1" * 17, "1e5", "٣"])
def test_a_project_must_be_a_number(cli, text):
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
def test_a_hostile_query_is_refused(cli, checkout, kind):
    checkout.write({"one.yaml": f"name: one\nquery: {QUERIES[kind]}\n"})
    for command in (("check",), ("diff",), ("push", "--yes"), ("run", "--file", "endpoints/one.yaml")):
        ran = cli(*command, "--max-wait", "5")
        assert is_told(ran), (command, ran.err)
