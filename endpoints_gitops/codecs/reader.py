"""One typed reader for JSON and TOML files: it reports every mistake in a file at once, each with its position.

The type hints of a frozen dataclass define the content of a file. The reader refuses unknown keys, missing keys and
values of a wrong type. It reads

- `str`, `int` (a boolean is not a number), `float`, `bool`, `datetime` (TOML's own), `date` (ISO text) and `None`;
- `list[X]`, `tuple[X, ...]`, a tuple of fixed length, and `Mapping[str, X]`;
- `Literal[…]`, a `StrEnum`, unions, dataclasses, and `Json` or `object` for a value of any shape;
- `Annotated[X, Check(…)]` for a bound or a rule.

pydantic reads definitions; these files are read at every start of a consumer's app, and pydantic takes longer to import
than such an app takes to start.

    @dataclass(frozen=True, kw_only=True)
    class Point:
        x: Annotated[int, between(0, 100)]
        label: str | None = None

    Document.of_json(b'{"x": 200, "lable": "a"}', "point.json", code="lock.invalid").read(Point)
    # InvalidInput: point.json:1:2: x must be a whole number from 0 to 100; point.json:1:12: unknown key 'lable'; …
"""

from __future__ import annotations

import json
import re
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAliasType, Union, get_args, get_origin, get_type_hints

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.codecs.text import KeyPath
from endpoints_gitops.codecs.toml import NotToml, load_toml, toml_lines
from endpoints_gitops.errors import MOST_PROBLEMS, InvalidInput, Problem, first_problems
from endpoints_gitops.model.json import Json, fingerprint

_INVALID: Final = object()
_LONGEST_QUOTE: Final = 80
_PLURALS: Final = {
    "text": "texts",
    "a whole number": "whole numbers",
    "a number": "numbers",
    "a pair": "pairs",
    "a {table}": "{table}s",
}
_JSON_WORD: Final = r'(?s)"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+'


class Check:
    """A rule for a value that has the right type. `mistake` gets the name of the value and the value.

    It returns the mistake as a sentence, or None.
    """

    def __init__(self, mistake: Callable[[str, Any], str | None]) -> None:
        self.mistake = mistake


def between(lowest: int, highest: int | None = None) -> Check:
    """A check of a whole number with inclusive bounds."""
    bounds = f"from {lowest}" if highest is None else f"from {lowest} to {highest}"

    def mistake(name: str, value: int) -> str | None:
        is_right = lowest <= value and (highest is None or value <= highest)
        return None if is_right else f"{name} must be a whole number {bounds}"

    return Check(mistake)


def satisfies(holds: Callable[[Any], bool], description: str) -> Check:
    """A check of a value by a predicate; `description` completes the sentence "VALUE is not …"."""
    return Check(lambda _, value: None if holds(value) else f"{quoted(value)} is not {description}")


def quoted(value: object) -> str:
    """A value for a message: on one line, and short."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


class Document:
    """The value of one file, and the mistakes that were found in it.

    `path` names the file in messages. `code` and `fix` are the defaults for mistakes. A document that `is_complete`
    must have every key of its dataclasses, even those with a default.
    """

    def __init__(
        self,
        value: object,
        path: str,
        *,
        code: str,
        fix: str | None = None,
        locate: Callable[[], Mapping[KeyPath, tuple[int, int]]] = dict,
        table: str = "object",
        is_complete: bool = False,
    ) -> None:
        self.value = value
        self.path = path
        self.table = table
        self.is_complete = is_complete
        self._code = code
        self._fix = fix
        self._locate = locate
        self._prefix: KeyPath = ()
        self._mistakes: list[tuple[KeyPath, str, str, str | None]] = []

    @classmethod
    def of_json(
        cls,
        content: bytes,
        path: str,
        *,
        code: str,
        fix: str | None = None,
        is_complete: bool = False,
        first_line: int = 1,
    ) -> Document:
        """The document of a JSON text. `first_line` is where the text begins in its file.

        Raises InvalidInput for text that is not JSON, and for an object with the same key twice, as a merge can leave.
        """
        try:
            value = json.loads(content, object_pairs_hook=_unique)
        except _DoubledKey:
            key, line, column = _doubled_key(content, first_line)
            message = f"duplicate key {key!r}"
        except json.JSONDecodeError as error:
            line, column, message = error.lineno + first_line - 1, error.colno, f"not valid JSON: {error.msg}"
        except UnicodeDecodeError:
            line, column, message = first_line, 1, "not valid JSON: the text is not UTF-8"
        except (ValueError, RecursionError):
            line, column = first_line, 1
            message = "not valid JSON: a number is too large, or the nesting is too deep"
        else:
            return cls(
                value,
                path,
                code=code,
                fix=fix,
                locate=lambda: _json_positions(content, first_line),
                is_complete=is_complete,
            )
        problem = Problem(path=path, line=line, column=column, message=message, code=code, fix=fix)
        raise InvalidInput((problem,), fix=fix)

    @classmethod
    def of_toml(cls, text: str, path: str, *, code: str, fix: str | None = None) -> Document:
        """The document of a TOML text. Raises InvalidInput for text that is not TOML."""
        try:
            value = load_toml(text)
        except NotToml as error:
            message = f"not valid TOML: {error.message}"
            problem = Problem(path=path, line=error.line, column=error.column, message=message, code=code, fix=fix)
            raise InvalidInput((problem,), fix=fix) from error

        def locate() -> dict[KeyPath, tuple[int, int]]:
            return {location: (line, 1) for location, line in toml_lines(text).items()}

        return cls(value, path, code=code, fix=fix, locate=locate, table="table")

    def read[T](self, shape: type[T], *, message: str | None = None) -> T:
        """Parse the document as a value of this dataclass. Raises InvalidInput with its mistakes, headed by
        `message`."""
        value = self.part(shape, self.value, ())
        self.raise_mistakes(message)
        assert value is not None, "a part without a value has mistakes"
        return value

    def narrowed(self, *keys: str) -> Document | None:
        """The part of the document at these keys as a document; None if one of the keys is missing."""
        value = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return None
        part = Document(value, self.path, code=self._code, fix=self._fix, locate=self._locate, table=self.table)
        part._prefix = (*self._prefix, *keys)
        return part

    def take(self, key: str) -> object:
        """Remove a key from the top level of the document, and return its value, or None if it is missing."""
        return self.value.pop(key, None) if isinstance(self.value, dict) else None

    def fingerprint(self) -> str:
        """The digest of the document's value."""
        return fingerprint(self.value)  # type: ignore[arg-type]  # JSON and TOML hold JSON here

    def part[T](self, shape: type[T], value: object, location: KeyPath) -> T | None:
        """A part of the document as a value of this type; None if it has mistakes, which are added to those of the
        document."""
        parser: _ValueParser = _parser(shape)  # type: ignore[arg-type]  # every type is hashable
        parsed: Any = parser.read(self, value, location)
        return None if parsed is _INVALID else parsed

    def add(self, location: KeyPath, message: str, *, code: str | None = None, fix: str | None = None) -> None:
        """Add a mistake at a location, or at the nearest parent that the file has."""
        self._mistakes.append((location, message, code or self._code, fix or self._fix))

    def add_unknown(self, location: KeyPath, known: Iterable[str]) -> None:
        """Add a mistake for an unknown key, with the closest known one as a suggestion."""
        from endpoints_gitops.model.suggestions import did_you_mean

        key = str(location[-1])
        near = did_you_mean(key, known) if len(self._mistakes) <= MOST_PROBLEMS else ""
        self.add(location, f"unknown key {quoted(key)}{near}")

    def position(self, location: KeyPath) -> tuple[int, int]:
        """Line and column of a key or item, or of its nearest parent; (0, 0) without any."""
        positions = self._locate()
        whole = (*self._prefix, *location)
        around = (whole[:length] for length in range(len(whole), -1, -1))
        return next((positions[part] for part in around if part in positions), (0, 0))

    @property
    def name(self) -> str:
        """The name of the document in messages about all of it."""
        return ".".join(map(str, self._prefix)) or "the file"

    @property
    def table_word(self) -> str:
        """The format's name for a mapping, with its article."""
        return "an object" if self.table == "object" else f"a {self.table}"

    def refuse(
        self, message: str, *, location: KeyPath = (), code: str | None = None, fix: str | None = None
    ) -> NoReturn:
        """Raise InvalidInput for a mistake after which the rest of the file cannot be checked."""
        self._mistakes.clear()
        self.add(location, message, code=code, fix=fix)
        self.raise_mistakes()
        raise AssertionError("there is a mistake")

    def raise_mistakes(self, message: str | None = None) -> None:
        """Raise InvalidInput if there are mistakes, with the first ones in the order of the file and a count."""
        if not self._mistakes:
            return
        positions = self._locate()
        self._locate = lambda: positions
        problems = []
        for location, text, code, fix in self._mistakes:
            line, column = self.position(location)
            problems.append(Problem(path=self.path, line=line, column=column, message=text, code=code, fix=fix))
        raise InvalidInput(first_problems(problems), message=message, fix=self._fix)


def check_schema_version(document: Document, newest: int, *, oldest: int = 1, code: str | None = None) -> int:
    """The `schema_version` of a document.

    Raises InvalidInput for one that this release cannot read, with `code` if a later release wrote the file.
    """
    value = document.value
    if not isinstance(value, dict):
        document.refuse(f"the file must be {document.table_word}")
    version = value.get("schema_version")
    if type(version) is int and version > newest:
        message = f"schema_version is {quoted(version)}, but this release of endpoints-gitops reads up to {newest}"
        fix = Advice(OtherCommand("pip", "install", "--upgrade", "endpoints-gitops"))
        document.refuse(message, location=("schema_version",), code=code, fix=fix)
    if type(version) is not int or version < oldest:
        document.refuse(f"schema_version must be {newest}", location=("schema_version",))
    return version


def check_digest(document: Document, digest: object, actual: str) -> None:
    """Raise InvalidInput if the digest in a file does not match its content."""
    if digest != actual:
        document.refuse(
            "the digest does not match the content: the file is damaged or was edited", location=("digest",)
        )


class _ValueParser:
    """Reads values of one type. `words` describe the type; `fits` is whether a value has it, without its items.

    `{table}` in the words is replaced by the format's name for a mapping.
    """

    words = "a value"

    def fits(self, value: object) -> bool:
        raise NotImplementedError

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        """The value, or `_INVALID` after adding a mistake to the document."""
        raise NotImplementedError


class _AnythingParser(_ValueParser):
    def fits(self, value: object) -> bool:  # noqa: ARG002 - the same for every value
        return True

    def read(self, document: Document, value: object, location: KeyPath) -> object:  # noqa: ARG002 - likewise
        return value


class _SimpleParser(_ValueParser):
    """A value that needs no conversion."""

    def __init__(self, kind: type, words: str) -> None:
        self.kind = kind
        self.words = words

    def fits(self, value: object) -> bool:
        return isinstance(value, self.kind) and (self.kind is bool or not isinstance(value, bool))

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if type(value) is self.kind or self.fits(value):  # nearly all are of the type itself
            return value
        return _wrong(document, location, self.words)


class _DateParser(_SimpleParser):
    """A date as ISO text."""

    def __init__(self) -> None:
        super().__init__(str, "a date such as 2026-07-31")

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if not isinstance(value, str):
            return _wrong(document, location, self.words)
        try:
            return date.fromisoformat(value)
        except ValueError:
            return _wrong(document, location, self.words)


class _ChoiceParser(_ValueParser):
    """One of several values."""

    def __init__(self, options: Sequence[object]) -> None:
        self.options = options
        shown = [f'"{option}"' if isinstance(option, str) else str(option) for option in options]
        self.words = shown[0] if len(shown) == 1 else f"one of {', '.join(map(str, options))}"

    def fits(self, value: object) -> bool:
        return any(value == option and type(value) is type(option) for option in self.options)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if self.fits(value):
            return value
        from endpoints_gitops.model.suggestions import did_you_mean

        near = did_you_mean(value, map(str, self.options)) if isinstance(value, str) else ""
        return _wrong(document, location, self.words + near)


class _EnumParser(_ChoiceParser):
    """A member of a `StrEnum`, by its value."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__([member.value for member in kind])
        self.kind = kind

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        parsed = super().read(document, value, location)
        return parsed if parsed is _INVALID else self.kind(str(parsed))


class _ListParser(_ValueParser):
    """A list of equal items, as a list or tuple."""

    def __init__(self, item: _ValueParser, kind: type) -> None:
        self.item = item
        self.kind = kind
        self.words = "a list" if isinstance(item, _AnythingParser) else f"a list of {_PLURALS.get(item.words, 'items')}"

    def fits(self, value: object) -> bool:
        return isinstance(value, list)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if not isinstance(value, list):
            return _wrong(document, location, self.words)
        if isinstance(self.item, _AnythingParser):
            return self.kind(value)
        items = [self.item.read(document, item, (*location, index)) for index, item in enumerate(value)]
        return _INVALID if _INVALID in items else self.kind(items)


class _PairParser(_ValueParser):
    """A list of a fixed length, as a tuple."""

    def __init__(self, items: Sequence[_ValueParser]) -> None:
        self.items = items
        self.words = "a pair" if len(items) == 2 else f"a list of {len(items)} items"

    def fits(self, value: object) -> bool:
        return isinstance(value, list) and len(value) == len(self.items)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if not isinstance(value, list) or len(value) != len(self.items):
            return _wrong(document, location, self.words)
        pairs = enumerate(zip(self.items, value, strict=True))
        items = [parser.read(document, item, (*location, index)) for index, (parser, item) in pairs]
        return _INVALID if _INVALID in items else tuple(items)


class _TableParser(_ValueParser):
    """A mapping of any keys to values of one type."""

    words = "a {table}"

    def __init__(self, key: _ValueParser, value: _ValueParser) -> None:
        self.key = key
        self.value = value

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if not isinstance(value, dict):
            return _wrong(document, location, self.words)
        is_valid = True
        parsed = {}
        for key, item in value.items():
            is_valid &= self.key.read(document, key, (*location, key)) is not _INVALID
            parsed[key] = self.value.read(document, item, (*location, key))
            is_valid &= parsed[key] is not _INVALID
        return parsed if is_valid else _INVALID


class _RecordParser(_ValueParser):
    """An object with the keys of a dataclass."""

    words = "a {table}"

    def __init__(self, kind: type, hints: Mapping[str, _ValueParser], required: Sequence[str]) -> None:
        self.kind = kind
        self.hints = hints
        self.required = required

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        if not isinstance(value, dict):
            return _wrong(document, location, self.words)
        is_valid = True
        parsed = {}
        for key, item in value.items():
            parser = self.hints.get(key)
            if parser is None:
                document.add_unknown((*location, key), self.hints)
                is_valid = False
                continue
            parsed[key] = parser.read(document, item, (*location, key))
            is_valid &= parsed[key] is not _INVALID
        for key in self.hints if document.is_complete else self.required:
            if key not in value:
                document.add(location, f"missing key {key!r}")
                is_valid = False
        return self.kind(**parsed) if is_valid else _INVALID


class _UnionParser(_ValueParser):
    """A union: the first branch that the value fits reads it."""

    def __init__(self, branches: Sequence[_ValueParser]) -> None:
        self.branches = branches
        self.words = " or ".join(branch.words for branch in branches)

    def fits(self, value: object) -> bool:
        return any(branch.fits(value) for branch in self.branches)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        for branch in self.branches:
            if branch.fits(value):
                return branch.read(document, value, location)
        others = [branch for branch in self.branches if branch is not _NOTHING]
        if len(others) == 1:
            return others[0].read(document, value, location)
        return _wrong(document, location, " or ".join(branch.words for branch in others))


class _CheckedParser(_ValueParser):
    """A value with additional checks."""

    def __init__(self, parser: _ValueParser, checks: Sequence[Check]) -> None:
        self.parser = parser
        self.checks = checks
        self.words = parser.words

    def fits(self, value: object) -> bool:
        return self.parser.fits(value)

    def read(self, document: Document, value: object, location: KeyPath) -> object:
        parsed = self.parser.read(document, value, location)
        for check in self.checks if parsed is not _INVALID else ():
            mistake = check.mistake(_name(location), parsed)
            if mistake is not None:
                document.add(location, mistake)
                return _INVALID
        return parsed


_NOTHING: Final = _SimpleParser(types.NoneType, "null")
_SIMPLE: Final = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (datetime, "a time"),
)


@cache
def _parser(hint: Any) -> _ValueParser:  # noqa: ANN401 - a hint can be anything
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (object, Any, Json):
        return _AnythingParser()
    if isinstance(hint, TypeAliasType):
        return _parser(hint.__value__)
    if origin is Annotated:
        return _CheckedParser(_parser(arguments[0]), [check for check in arguments[1:] if isinstance(check, Check)])
    if origin is Literal:
        return _ChoiceParser(arguments)
    if origin in (Union, types.UnionType):
        return _UnionParser([_parser(argument) for argument in arguments])
    if hint is types.NoneType:
        return _NOTHING
    if origin in (list, tuple):
        return _list_parser(origin, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _TableParser(*map(_parser, arguments))
    return _record_parser(hint) if is_dataclass(hint) else _simple_parser(hint)


def _list_parser(origin: type, arguments: tuple[Any, ...]) -> _ValueParser:
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _PairParser([_parser(argument) for argument in arguments])
    return _ListParser(_parser(arguments[0]), origin)


def _record_parser(hint: Any) -> _RecordParser:  # noqa: ANN401 - as above
    hints = get_type_hints(hint, include_extras=True)
    read = [field for field in fields(hint) if field.init]
    required = [field.name for field in read if field.default is MISSING and field.default_factory is MISSING]
    return _RecordParser(hint, {field.name: _parser(hints[field.name]) for field in read}, required)


def _simple_parser(hint: type) -> _ValueParser:
    if issubclass(hint, StrEnum):
        return _EnumParser(hint)
    for kind, words in _SIMPLE:
        if issubclass(hint, kind):
            return _SimpleParser((int, float) if kind is float else kind, words)  # type: ignore[arg-type]  # for isinstance
    if issubclass(hint, date):
        return _DateParser()
    raise TypeError(f"unsupported type {hint}")


def _wrong(document: Document, location: KeyPath, words: str) -> object:
    described = words.replace("a {table}", document.table_word)
    name = _name(location) if location else document.name
    document.add(location, f"{name} must be {described.replace('{table}', document.table)}")
    return _INVALID


def _name(location: KeyPath) -> str:
    """A location for a message: the last key, with the indexes that follow it."""
    keys = [index for index, part in enumerate(location) if isinstance(part, str)]
    parts = [str(part) for part in location[keys[-1] if keys else 0 :]]
    name = ".".join(parts)
    return name if name.isprintable() else repr(name)


class _DoubledKey(Exception):
    """An object of a JSON text has the same key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _DoubledKey
    return value


def _doubled_key(content: bytes, first_line: int) -> tuple[str, int, int]:
    """The first key that its object has already, with its line and column."""
    text = _json_text(content)
    seen: Counter[KeyPath] = Counter()
    for location, offset in _json_offsets(text):
        seen[location] += 1
        if seen[location] == 3:  # a key and its value, and the key again
            line = text.count("\n", 0, offset) + first_line
            return str(location[-1]), line, offset - text.rfind("\n", 0, offset)
    raise AssertionError("the text has no key twice")


def _json_text(content: bytes) -> str:
    return content.decode(json.detect_encoding(content)).removeprefix("\ufeff")


def _json_positions(content: bytes, first_line: int) -> dict[KeyPath, tuple[int, int]]:
    """Line and column, counted from 1, of every key and item of a JSON text; computed only for mistakes."""
    text = _json_text(content)
    positions: dict[KeyPath, tuple[int, int]] = {}
    line, line_start, seen = first_line, 0, 0
    for location, offset in _json_offsets(text):
        line += text.count("\n", seen, offset)
        line_start = max(line_start, text.rfind("\n", seen, offset) + 1)
        positions.setdefault(location, (line, offset - line_start + 1))
        seen = offset
    return positions


def _json_offsets(text: str) -> Iterator[tuple[KeyPath, int]]:
    """The location and offset of each key of an object, item of a list, and of the document itself."""
    open_containers: list[list[str | int]] = []
    is_key = False
    for token in re.finditer(_JSON_WORD, text):
        word, offset = token[0], token.start()
        if word in "}]":
            open_containers.pop()
            is_key = False
        elif word == ",":
            is_key = isinstance(open_containers[-1][-1], str)
            if not is_key:
                open_containers[-1][-1] = int(open_containers[-1][-1]) + 1
        elif word == ":":
            is_key = False
        elif is_key:
            open_containers[-1][-1] = json.loads(word)
            yield tuple(part[-1] for part in open_containers), offset
        else:
            location = tuple(part[-1] for part in open_containers)
            yield location, offset
            if word in "{[":
                open_containers.append(["" if word == "{" else 0])
                is_key = word == "{"
