"""The parser's refusals in words that say what to do."""

from __future__ import annotations

import re
from typing import Any, Final

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from endpoints_gitops.codecs.text import line_and_column
from endpoints_gitops.errors import Problem

_TAB_INDENT: Final = re.compile(r"[ ]*\t")

# The parser's words, what they mean to the person, what helps.
_MEANINGS: Final = (
    ("mapping values are not allowed", "a `: ` is not expected here", "quote the value, or check the indentation"),
    (
        "could not find expected ':'",
        "this line is no `key: value`",
        "indent it if it belongs to the value above, or end the key with a colon",
    ),
    (
        "did not find expected key",
        "a key is expected here",
        "check quotes and indentation of this line and the one above",
    ),
    (
        "did not find expected '-' indicator",
        "a list item `- …` is expected here",
        "indent all items alike, or start the next key further left",
    ),
    (
        "did not find expected ',' or",
        "the list or mapping in brackets is not closed, or a comma is missing",
        "check the brackets; quote values with special characters",
    ),
    ("block sequence entries are not allowed", "a list cannot start on this line", "start `- …` on a line of its own"),
    ("did not find expected node content", "a value is expected here", "quote the value"),
    ("unknown escape character", "there is no such escape in double quotes", "write `\\\\` for a backslash"),
    ("invalid Unicode character escape code", "this escape is no character", "write the character itself"),
    ("unexpected end of stream", "the quoted text that starts here is never closed", "add the closing quote"),
    ("unexpected document indicator", "the quoted text that starts here is never closed", "add the closing quote"),
    ("undefined tag handle", "this tag is not known", "quote the text if it is to start with an exclamation mark"),
)


def explain(path: str, text: str, error: YAMLError) -> Problem:
    """The problem that stands for what ruamel.yaml raised about this text."""
    if isinstance(error, ReaderError):
        return _forbidden_character(path, text, error)
    if not isinstance(error, MarkedYAMLError):
        return Problem(path=path, message=f"this is not YAML: {error}", code="definition.yaml")
    mark = _telling_mark(error)
    line, column = mark.line + 1, mark.column + 1
    tab = _tab_problem(path, text, line)
    if tab is not None:
        return tab
    message, fix = _meaning(text, mark, str(error.problem or error.context))
    return Problem(path=path, line=line, column=column, message=message, code="definition.yaml", fix=fix)


def is_misread_flow(error: YAMLError) -> bool:
    """Whether this may be a flow collection that YAML 1.2 allows and the C parser, which knows 1.1, does not."""
    problem = str(getattr(error, "problem", ""))
    return problem.startswith(("found unexpected ':'", "did not find expected ',' or"))


def _telling_mark(error: Any) -> Any:  # noqa: ANN401 - ruamel.yaml has no types for its marks
    """Where the mistake is: an unclosed quote is noticed at the end of the file and made where the text starts."""
    unclosed = "unexpected end of stream" in str(error.problem) or "document indicator" in str(error.problem)
    started = unclosed or "could not find expected ':'" in str(error.problem)
    return (error.context_mark if started else error.problem_mark) or error.context_mark or error.problem_mark


def _tab_problem(path: str, text: str, line: int) -> Problem | None:
    lines = text.split("\n")
    for number in (line, line + 1):
        if number <= len(lines) and (found := _TAB_INDENT.match(lines[number - 1])):
            return Problem(
                path=path,
                line=number,
                column=found.end(),
                message="this line is indented with a tab; YAML indents with spaces",
                code="definition.tab",
                fix="replace the tab with spaces",
            )
    return None


def _meaning(text: str, mark: Any, problem: str) -> tuple[str, str | None]:  # noqa: ANN401 - as above
    character = text[mark.index : mark.index + 1]
    if "cannot start any token" in problem and character == "\t":
        return "a tab cannot stand here; YAML separates with spaces", "replace the tab with spaces"
    if "cannot start any token" in problem:
        return f"a value cannot start with `{character}`", "quote the value"
    for words, meaning, fix in _MEANINGS:
        if words in problem:
            return f"this is not YAML: {meaning}", fix
    return f"this is not YAML: {problem}", None


def _forbidden_character(path: str, text: str, error: ReaderError) -> Problem:
    before = text.encode()[: error.position].decode("utf-8", "ignore")
    line, column = line_and_column(before, len(before))
    character = error.character if isinstance(error.character, int) else ord(error.character)
    return Problem(
        path=path,
        line=line,
        column=column,
        message=f"the character U+{character:04X} cannot stand in a YAML file",
        code="definition.yaml",
        fix="remove it, or write it as an escape in a double-quoted text",
    )
