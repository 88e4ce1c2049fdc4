"""Read the ignore comments of a definition: in its YAML, and in its HogQL.

    # endpoints-gitops: ignore C112 reason="the table is generated" owner=@data until=2027-01-31
    -- endpoints-gitops: ignore C113 reason="frozen table" owner=@data until=2027-01-31

A comment in YAML applies to the key or item that begins on its line, with its whole value; if it stands alone, to what
begins on the next line. At `query_file` that is the whole file. A comment in HogQL applies to its line, or if it stands
alone, to the next one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.codecs.yaml.composer import MappingNode, Node, ScalarNode, SequenceNode, key_text
from endpoints_gitops.errors import Location
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.model.policy import LINTED, LOCATED, Ignore, LineRange, iso_date
from endpoints_gitops.model.suggestions import closest, did_you_mean

MARK: Final = "endpoints-gitops:"
_KEYS: Final = ("reason", "owner", "until")
_SYNTAX: Final = 'ignore CODE reason="…" owner=… until=YYYY-MM-DD'


def yaml_ignores(path: str, text: str, root: Node, query_file: LineRange | None = None) -> Iterator[Ignore]:
    """The ignores in the comments of a YAML text, whose tree is `root`; they have no endpoint yet.

    `query_file` are the lines of the file that it names under this key.
    """
    bodies = sorted(_bodies(text, root))
    lines = text.split("\n")
    comments: dict[int, str] = {}  # by the index of the line
    alone: set[int] = set()
    columns: dict[int, int] = {}
    start = 0
    for index, line in enumerate(lines):
        if MARK in line and (column := _comment_column(line, start, bodies)) is not None:
            content = line[column + 1 :].strip()
            if content.startswith(MARK):
                comments[index], columns[index] = content, column
        if line.lstrip().startswith("#") and not _is_inside(start + len(line) - len(line.lstrip()), bodies):
            alone.add(index)
        start += len(line) + 1
    entries = list(_entries(text, root)) if comments else []
    for index, content in comments.items():
        target = index
        while target in alone and target + 1 < len(lines):
            target += 1
        begun = [entry for entry in entries if entry.first == target + 1]
        around = {entry.key for entry in entries if entry.first <= target + 1 <= entry.last}
        last = max((entry.last for entry in begun), default=target + 1)
        covered = [LineRange(path, target + 1, last)]
        if query_file is not None and any(entry.key == "query_file" for entry in begun):
            covered.append(query_file)
        ignore = _ignore(content, Location(path, index + 1, columns[index] + 1), tuple(covered), around)
        if ignore is not None:
            yield ignore


def sql_ignores(sql: str, position: Callable[[int], Location]) -> Iterator[Ignore]:
    """The ignores in the comments of a HogQL text. `position` is the place of each of its characters."""
    start, alone = 0, {}
    comments: list[tuple[int, int, str]] = []  # start of the line, start of the comment, and its text
    for line in sql.split("\n"):
        mark = line.find(MARK)
        column = line.rfind("--", 0, mark) if mark >= 0 else -1
        if column >= 0 and not line[column + 2 : mark].strip() and _is_comment(sql, start + column, start + len(line)):
            comments.append((start, start + column, line[mark:].strip()))
        if line.lstrip().startswith("--"):
            alone[start] = start + len(line) + 1
        start += len(line) + 1
    for line_start, comment_start, content in comments:
        target = line_start
        while target in alone and alone[target] < len(sql):
            target = alone[target]
        place = position(comment_start)
        line_number = position(comment_start if target == line_start else target).line
        is_code = target not in alone and bool(sql[target:].partition("\n")[0].strip())
        covered = (LineRange(place.path, line_number, line_number),)
        ignore = _ignore(content, place, covered, {"query"} if is_code else ())
        if ignore is not None:
            yield ignore


def _ignore(content: str, where: Location, covered: tuple[LineRange, ...], keys: Collection[str]) -> Ignore | None:
    """The ignore of a comment that stands at these keys; one with a mistake if it cannot be read; None for a comment
    that only names this tool."""
    try:
        words = shlex.split(content.removeprefix(MARK))
    except ValueError as error:
        return Ignore(where=where, covered=covered, mistake=f"this ignore cannot be read: {error}".lower())
    first = words[0] if words else ""
    if first != "ignore":
        if closest(first, ("ignore",)) is None:
            return None
        return Ignore(where=where, covered=covered, mistake=f"unknown word {first!r}; did you mean ignore?")
    values: dict[str, str] = {}
    rules = []
    for word in words[1:]:
        key, is_key, value = word.partition("=")
        if not is_key:
            rules.append(word)
        elif key not in _KEYS:
            return Ignore(where=where, covered=covered, mistake=f"unknown key {key!r}{did_you_mean(key, _KEYS)}")
        else:
            values[key] = value.strip()
    if len(rules) != 1:
        return Ignore(where=where, covered=covered, mistake=f"an ignore names one rule: {_SYNTAX}")
    rule, mistake = _rule(rules[0])
    until = None
    if mistake is None and (written := values.get("until")):
        until = iso_date(written)
        mistake = None if until else f"until={written} is not a date such as 2027-01-31"
    return Ignore(
        where=where,
        covered=covered,
        is_misplaced=mistake is None and rule not in LINTED and LOCATED.get(rule[0], frozenset()).isdisjoint(keys),
        rule=rule,
        reason=values.get("reason", ""),
        owner=values.get("owner", ""),
        until=until,
        mistake=mistake,
    )


@dataclass(frozen=True, slots=True)
class _EntryLines:
    """The lines of a key with its value, or of an item. `key` is the key of the definition that it is part of."""

    key: str
    first: int
    last: int


def _entries(text: str, root: Node) -> Iterator[_EntryLines]:
    waiting: list[tuple[str, Node]] = [("", root)]
    while waiting:
        key, node = waiting.pop()
        if isinstance(node, SequenceNode):
            for item in node.items:
                yield _EntryLines(key, item.span.line, _last_line(text, item))
                waiting.append((key, item))
        elif isinstance(node, MappingNode):
            for name, value in node.pairs:
                of = key or key_text(name)
                yield _EntryLines(of, name.span.line, max(_last_line(text, name), _last_line(text, value)))
                waiting.append((of, value))


def _last_line(text: str, node: Node) -> int:
    """The last line of a node that has text; the parser counts blank lines and comments after a collection as its."""
    while isinstance(node, SequenceNode | MappingNode) and not node.flow:
        children = node.items if isinstance(node, SequenceNode) else [value for _, value in node.pairs]
        if not children:
            break
        node = children[-1]
    span = text[node.span.start : node.span.end].rstrip()
    return node.span.line + span.count("\n")


def _rule(word: str) -> tuple[str, str | None]:
    """The code of a rule by its code or slug, and the mistake if there is none or it cannot be ignored.

    The rules of plugins are not known here; the configuration can ignore them.
    """
    from endpoints_gitops.contract.rules import RULES, rule_of

    rule = rule_of(word)
    if rule is None:
        near = did_you_mean(word, [*RULES, *(rule.slug for rule in RULES.values())])
        return word, f"there is no rule {word!r}{near}"
    return rule.code, f"{rule.code} ({rule.slug}) cannot be ignored" if rule.is_fixed else None


def _comment_column(line: str, start: int, bodies: list[tuple[int, int]]) -> int | None:
    """The column of the `#` that begins the comment of a YAML line; None without one."""
    for column, character in enumerate(line):
        is_separate = column == 0 or line[column - 1] in " \t"
        if character == "#" and is_separate and not _is_inside(start + column, bodies):
            return column
    return None


def _bodies(text: str, node: Node) -> Iterator[tuple[int, int]]:
    """The ranges of the text that are values or keys, so that a `#` in them begins no comment."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, SequenceNode):
            waiting += node.items
        elif isinstance(node, MappingNode):
            waiting += [part for pair in node.pairs for part in pair]
        elif isinstance(node, ScalarNode):
            is_block = node.style in ("|", ">")
            header_end = text.find("\n", node.span.start) + 1 if is_block else 0
            yield header_end or node.span.start, node.span.end


def _is_inside(offset: int, bodies: list[tuple[int, int]]) -> bool:
    from bisect import bisect_right

    index = bisect_right(bodies, (offset, len(bodies) and bodies[-1][1] + 1)) - 1
    return index >= 0 and bodies[index][0] <= offset < bodies[index][1]


def _is_comment(sql: str, start: int, end: int) -> bool:
    """Whether a part of a HogQL text is a comment: without it, the query is the same."""
    try:
        tree = parse(sql)
    except ParseFailure:  # what cannot be parsed is reported where it is read
        return True
    try:
        return parse(f"{sql[:start]}{' ' * (end - start)}{sql[end:]}") == tree
    except ParseFailure:
        return False
