"""The manifest: its uses, and a rewritten version in an otherwise unchanged file."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.pin import PinnedExample, Use
from endpoints_gitops.workspace.configuration import choose_environment, load_configuration
from endpoints_gitops.workspace.manifest import move_use, use_locations, uses_of


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def loaded(text: str, name: str = "endpoints.toml"):
        (tmp_path / name).write_bytes(text.encode())
        return load_configuration(tmp_path, {})

    return loaded


def test_uses_are_values_in_the_order_of_their_names(load):
    configuration = load(
        '[uses]\nb = "*"\na = { version = 3, reads = "position", columns = ["x"], '
        "examples = [{ at = 2026-07-01T12:00:00Z, day = 2026-07-01, many = [1, { deep = 12:30:00 }] }] }\n"
        'c = { version = "*" }\n'
    )
    variables = {"at": "2026-07-01T12:00:00+00:00", "day": "2026-07-01", "many": [1, {"deep": "12:30:00"}]}
    example = PinnedExample(variables=variables)
    assert uses_of(choose_environment(configuration, None)) == (
        Use(name="a", version=3, reads="position", columns=("x",), examples=(example,)),
        Use(name="b"),
        Use(name="c"),
    )


def test_an_example_that_json_cannot_hold_is_an_error(load):
    configuration = load("[uses]\na = { examples = [{ x = inf }] }\n")
    with pytest.raises(UsageError, match="an example of a: x is inf"):
        uses_of(choose_environment(configuration, None))


ENVIRONMENT = '[environments.e]\nhost = "https://us.posthog.com"\n'
SPELLINGS = {
    "inline": "[uses]\na = {version=3,reads='name'}   # why\nb = { version = 3 }\n",
    "dotted": "uses.a.version   =   3 # three\nuses.b.version = 3\n",
    "a table": '# head\n[uses.a]\ncolumns = [ "x",\n  "3" ]\nversion = 3\n\n[uses.b]\nversion = 3\n',
    "dotted in a table": "[uses]\na.reads = 'call'\na.version = 3\nb.version = 3\n",
    "quoted": '[uses]\n"a" = { "version" = 3 }\n',
    "windows": "[uses]\r\na = { version = 3 }\r\nb = { version = 3 }\r\n",
    "with a mark in front": "\ufeff[uses]\na = { version = 3 }\n",
    "no last line break": "[uses]\na = { version = 3 }",
    "under the environment": ENVIRONMENT + "[environments.e.uses]\na = { version = 3 } # here\n",
    "all in one line": "environments = { e = { uses = { a = { version = 3 }, b = { version = 3 } } } }\n",
    "letters of all kinds": "# für ☃\ndir = 'é'\n[uses]\na = { version = 3 } # ☃\n",
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("version", [4, 12345])
@pytest.mark.parametrize("name", ["endpoints.toml", "pyproject.toml"])
def test_one_number_is_rewritten(load, tmp_path, text, version, name):
    if name == "pyproject.toml":
        text = _in_pyproject(text)
    configuration = load(text, name)
    environment = choose_environment(configuration, None).name
    move_use(configuration, environment, "a", version)
    after = (tmp_path / name).read_bytes().decode()
    at = _place_of_number(text)
    assert after == f"{text[:at]}{version}{text[at + 1 :]}"
    moved = load_configuration(tmp_path, {})
    uses = {use.name: use.version for use in uses_of(choose_environment(moved, None))}
    assert uses.pop("a") == version
    assert set(uses.values()) <= {3}


def _in_pyproject(text: str) -> str:
    mark, rest = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    prefixed = rest.replace("[uses", "[tool.endpoints-gitops.uses").replace("[env", "[tool.endpoints-gitops.env")
    head = "" if prefixed.startswith("[") else "[tool.endpoints-gitops]\n"
    return f"{mark}{head}{prefixed}"


def _place_of_number(text: str) -> int:
    """Where the number of `a` stands: the first 3 behind a `version`."""
    at = text.index("version")
    return text.index("3", at)


def test_a_number_that_is_spelled_otherwise_is_left_to_its_writer(load, tmp_path):
    configuration = load("[uses]\na = { version = 0x3 }\n")
    with pytest.raises(UsageError) as caught:
        move_use(configuration, "default", "a", 4)
    assert caught.value.fix == "set version = 4 there by hand"
    assert (tmp_path / "endpoints.toml").read_text() == "[uses]\na = { version = 0x3 }\n"


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("[uses]\nb = '*'\na = '*'\n", "a", "endpoints.toml:3"),
        ("[uses]\nb = '*'\n", "a", "endpoints.toml:1"),
        (ENVIRONMENT + "uses = { a = '*' }\n", "a", "endpoints.toml:3"),
        ("[uses]\na = '*'\n" + ENVIRONMENT, "a", "endpoints.toml:2"),
        (ENVIRONMENT, "a", "endpoints.toml:1"),
    ],
)
def test_the_place_of_a_use(load, text, name, place):
    assert use_locations(load(text), "e")(name) == place
