"""The laws of rewriting, for files in every style of YAML."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.codecs.rewriting import REMOVED, CannotRewrite, new_file, rewrite
from endpoints_gitops.codecs.yaml.composer import compose, compose_purely
from endpoints_gitops.codecs.yaml.loader import ValueReader
from endpoints_gitops.codecs.yaml.splicing import YamlSource, spot, start_of
from endpoints_gitops.errors import InvalidInput

KEYS = ["name", "query", "tags", "variables", "default", "materialization", "yes", "a b", "$browser", "x-1", "é", "n"]
PLAIN = {*string.ascii_letters, *string.digits, *" _-.,:'#"}
SQL = st.lists(st.text("ab 1:#'\"\\\t-|>{}[],&*!%@`é😀=", max_size=12) | st.just(""), min_size=2, max_size=4).map(
    "\n".join
)
TEXTS = (
    st.sampled_from(
        ["yes", "on", "1_000", "0x1f", "~", "2026-01-01", "12:30:00", "null", ".5", "- a", "a: b", "a #b", ""]
    )
    | st.text(max_size=8)
    | SQL
)
SIMPLE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SIMPLE | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=3),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=5)


@dataclass(slots=True)
class Writer:
    """Writes a value as a person might: each choice is drawn."""

    draw: Any
    shares: bool
    comments: int = 0
    names: int = 0
    is_open: bool = False  # whether some block keeps the line breaks at its end, so that blank lines count
    anchors: list[tuple[str, Any]] = field(default_factory=list)

    def any_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def comment(self) -> str:
        self.comments += 1
        return f"# c{self.comments}."

    def tail(self) -> str:
        return self.any_of("", "", f"  {self.comment()}")

    def above(self, column: int) -> list[str]:
        return self.any_of([], [], [] if self.is_open else [""], [" " * column + self.comment()])

    def flow(self, value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self.scalar(key)}: {self.flow(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[ " + ", ".join(map(self.flow, value)) + " ]"
        return self.scalar(value)

    def scalar(self, value: Any) -> str:
        if value is None:
            return self.any_of("null", "~")
        if not isinstance(value, str):
            return json.dumps(value)
        quoted = '"' + "".join(char if char in PLAIN else f"\\U{ord(char):08x}" for char in value) + '"'
        choices = [quoted]
        if value.isascii() and value.isprintable():
            choices.append("'" + value.replace("'", "''") + "'")
        if value.isalpha() and set(value) <= PLAIN and value.lower() not in ("null", "true", "false"):
            choices.append(value)
        return self.any_of(*choices)

    def entry(self, value: Any, column: int, indents: tuple[int, ...]) -> tuple[str, list[str]]:
        """What follows a colon or dash, and the lines below. An anchor can be used once its value is over."""
        name = self._shared(value)
        if name:
            return f" *{name}{self.tail()}", []
        self.names += 1
        anchor = self.any_of("", "", f" &k{self.names}") if self.shares else ""
        written = self._entry(value, anchor, column, indents)
        if anchor:
            self.anchors.append((anchor[2:], value))
        return written

    def _entry(self, value: Any, anchor: str, column: int, indents: tuple[int, ...]) -> tuple[str, list[str]]:
        if isinstance(value, dict) and value and self.any_of(True, True, False):
            return anchor + self.tail(), self.mapping(value, column + self.any_of(2, 3, 4))
        if isinstance(value, list) and value and self.any_of(True, False):
            return anchor + self.tail(), self.items(value, column + self.any_of(*indents))
        if isinstance(value, str) and self._fits_block(value):
            return self._block(value, anchor, column + self.any_of(1, 2, 5))
        return f"{anchor} {self.flow(value)}{self.tail()}", []

    def _block(self, value: str, anchor: str, column: int) -> tuple[str, list[str]]:
        body = value.rstrip("\n")
        breaks = len(value) - len(body)
        self.is_open = self.is_open or breaks > 0
        style = self.any_of("|", ">") if "\n" not in body else "|"
        lines = [" " * column + line if line else "" for line in body.split("\n")]
        return f"{anchor} {style}{'-' if breaks == 0 else '+' if breaks > 1 else ''}{self.tail()}", lines + [""] * (
            breaks - 1
        )

    def _fits_block(self, value: str) -> bool:
        lines = value.rstrip("\n").split("\n")
        readable = value.replace("\n", "").isprintable() and all(line.strip() or not line for line in lines)
        return bool(readable and lines[0].strip() and lines[0][0] != " " and self.any_of(True, True, False))

    def _shared(self, value: Any) -> str | None:
        names = [name for name, known in self.anchors if json.dumps(known) == json.dumps(value)]
        return self.any_of(*names, None) if names else None

    def mapping(self, value: dict[str, Any], column: int) -> list[str]:
        lines: list[str] = []
        for key, item in value.items():
            head, body = self.entry(item, column, (0, 2, 4))
            lines += [*self.above(column), f"{' ' * column}{self.scalar(key)}:{head}", *body]
        return lines

    def items(self, value: list[Any], column: int) -> list[str]:
        lines: list[str] = []
        for item in value:
            if isinstance(item, dict) and item and self.any_of(True, False):
                first, *rest = self.mapping(item, column + 2)
                while not first.strip() or first.strip().startswith("# "):
                    first, *rest = rest
                lines += [f"{' ' * column}- {first.lstrip()}", *rest]
                continue
            head, body = self.entry(item, column, (2, 3))
            lines += [*self.above(column), f"{' ' * column}-{head}", *body]
        return lines


@st.composite
def files(draw: Any, *, shares: bool = False) -> tuple[bytes, dict[str, Any]]:
    value = draw(MAPPINGS)
    if shares:
        value |= {"twin": draw(st.sampled_from(list(value.values())))}
    writer = Writer(draw, shares)
    lines = [*writer.any_of([], ["---"], [writer.comment(), ""]), *writer.mapping(value, 0)]
    newline = writer.any_of("\n", "\r\n")
    endings = [newline] if writer.is_open else ["", newline, f"{newline}{newline}# end.{newline}"]
    text = newline.join(lines) + writer.any_of(*endings)
    return (writer.any_of("", "\ufeff") + text).encode(), value


def read(content: bytes) -> Any:
    text = content.decode()
    values = []
    for reader in (compose, compose_purely):
        reading = ValueReader(path="x.yaml")
        values.append(reading.value(reader("x.yaml", text)))
        assert reading.problems == ()
    assert json.dumps(values[0]) == json.dumps(values[1])
    return values[0]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, item in pairs for one in ((*path, key), *paths(item, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


def cut(value: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if path[1:]:
        copy[path[0]] = cut(copy[path[0]], path[1:])
    else:
        del copy[path[0]]
    return copy


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


LAW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@LAW
@given(files(shares=True))
def test_rewriting_nothing_changes_nothing(file):
    content, value = file
    assert same(read(content), value)
    assert rewrite(content, {path: value[path[0]] for path in paths(value) if len(path) == 1}, path="x.yaml") == content


@LAW
@given(files(shares=True), VALUES, st.data())
def test_a_change_gives_the_wanted_value_and_once_is_enough(file, new, data):
    content, value = file
    path = data.draw(st.sampled_from(paths(value)))
    once = rewrite(content, {path: new}, path="x.yaml")
    assert same(read(once), put(value, path, new))
    assert rewrite(once, {path: new}, path="x.yaml") == once


@LAW
@given(files(shares=True), st.sampled_from(KEYS), VALUES)
def test_a_key_that_was_not_there(file, key, new):
    content, value = file
    assume(key not in value)
    assert same(read(rewrite(content, {(key,): new}, path="x.yaml")), {**value, key: new})


@LAW
@given(files(shares=True), st.data())
def test_what_is_removed_is_gone_and_nothing_else(file, data):
    content, value = file
    path = data.draw(st.sampled_from(paths(value)))
    assume(path[1:] or len(value) > 1)
    assert same(read(rewrite(content, {path: REMOVED}, path="x.yaml")), cut(value, path))


@LAW
@given(files(), VALUES, st.data())
def test_only_lines_of_the_changed_node_change(file, new, data):
    content, value = file
    path = data.draw(st.sampled_from(paths(value)))
    text = content.decode().removeprefix("\ufeff")
    place = spot(YamlSource.of("x.yaml", text), path)
    first = text.count("\n", 0, start_of(text, place.container, place.index)) + 1
    last = text.count("\n", 0, place.end) + 1
    before = text.split("\n")
    after = rewrite(content, {path: new}, path="x.yaml").decode().removeprefix("\ufeff").split("\n")
    assert after[: first - 1] == before[: first - 1]
    below = before[last:] if text.endswith("\n") else []
    assert after[len(after) - len(below) :] == below


@LAW
@given(MAPPINGS)
def test_a_new_file_reads_as_it_was_meant(value):
    assert same(read(new_file(value)), value)


@LAW
@given(MAPPINGS, st.sampled_from([(1, 1), (1, 2)]))
def test_readers_of_every_yaml_take_a_new_file_for_the_same(value, version):
    reader = YAML(typ="safe", pure=True)
    reader.version = version
    assert same(reader.load(new_file(value)), value)


@settings(deadline=None, max_examples=300)
@given(st.text(" \n:-[]{}#'\"|>&*!?,ab1~\t\r\x85\u2028<=", max_size=60), VALUES, st.data())
def test_any_file_is_rewritten_rightly_or_not_at_all(text, new, data):
    content = f"a: {text}".encode()
    try:
        before = read(content)
    except (InvalidInput, AssertionError):
        return
    path = data.draw(st.sampled_from([*paths(before), ("b",)]))
    wanted = {**before, "b": new} if path == ("b",) else put(before, path, new)
    try:
        after = rewrite(content, {path: new}, path="x.yaml")
    except CannotRewrite:
        return
    assert same(read(after), wanted)
