"""Write JSON values as YAML text that readers of YAML 1.1 and 1.2 read as the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.model.json import Json

_SHORT: Final = 80
"""The longest list of simple values on one line, in characters."""

# Words that a reader can read as null, a boolean, a merge or a default, in upper or lower case.
_WORDS: Final = frozenset(("", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", "=", "<<"))
_NUMBER_OR_DATE: Final = re.compile(r"[-+.]*[0-9][-+0-9a-fxob_.:, \tTZz]*|[-+]?\.(inf|nan)", re.IGNORECASE)
_PLAIN_START: Final = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`=<~]")
_BREAKS_PLAIN: Final = re.compile(r":\s|\s#|:$|^---|^\.\.\.|\s$")
_BREAKS_PLAIN_IN_FLOW: Final = re.compile(r"[,\[\]{}:#?'\"&*!|>%@`]")
# Every other character needs an escape; so do the line breaks of YAML 1.1.
_PRINTABLE: Final = r"\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
_ONE_LINE: Final = re.compile(f"[{_PRINTABLE}]*")
_LINES: Final = re.compile(f"[{_PRINTABLE}\t\n]*")
_ESCAPED: Final = re.compile(rf'[^{_PRINTABLE}]|["\\]')
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
_LARGEST_INDICATOR: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The layout of a file: its line break, the spaces of a level, and those between a key and its list's dashes."""

    newline: str = "\n"
    step: int = 2
    dash: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenValue:
    """A value in block context: `head` follows the colon or dash, `body` are the lines below, indented."""

    head: str
    body: tuple[str, ...] = ()


def is_plain(text: str, *, flow: bool = False) -> bool:
    """Whether every reader reads the text without quotes as this text."""
    if text.lower() in _WORDS or _NUMBER_OR_DATE.fullmatch(text) or not _PLAIN_START.match(text):
        return False
    if flow and _BREAKS_PLAIN_IN_FLOW.search(text):
        return False
    return _ONE_LINE.fullmatch(text) is not None and not _BREAKS_PLAIN.search(text)


def inline(value: Json, *, style: str = "", flow: bool = False) -> str:
    """The value on one line. `style` is the quote that text should keep; `flow` is for a value in brackets."""
    if isinstance(value, str):
        return _quoted(value, style, flow=flow)
    if isinstance(value, Mapping):
        pairs = (f"{inline(key, flow=True)}: {inline(item, flow=True)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item, flow=True) for item in value)}]"
    return _simple(value)


def block(value: Json, *, parent: int, layout: Layout, style: str = "", width: int = 0) -> WrittenValue:
    """The value of a key or item at the column `parent`.

    `style` is the style that the value had before, if any; `width` is the indentation that its block text had.
    """
    if isinstance(value, str):
        return _text(value, parent, style, width or layout.step)
    if isinstance(value, Mapping) and value:
        return WrittenValue(head="", body=tuple(mapping_lines(value, column=parent + layout.step, layout=layout)))
    if isinstance(value, list | tuple) and value and not _is_short(value):
        return WrittenValue(head="", body=tuple(list_lines(value, column=parent + layout.dash, layout=layout)))
    return WrittenValue(head=inline(value))


def mapping_lines(value: Mapping[str, Json], *, column: int, layout: Layout, style: str = "") -> list[str]:
    """The lines of a mapping, with its keys at this column; `style` is for values that are text."""
    lines: list[str] = []
    for key, item in value.items():
        written = block(item, parent=column, layout=layout, style=style)
        lines += [f"{' ' * column}{inline(key)}:{written.head and ' ' + written.head}", *written.body]
    return lines


def list_lines(value: Json, *, column: int, layout: Layout) -> list[str]:
    """The lines of a list, with its dashes at this column."""
    lines: list[str] = []
    for item in value if isinstance(value, list | tuple) else ():
        written = listed(item, column=column, layout=layout)
        lines += [f"{' ' * column}- {written.head}", *written.body]
    return lines


def listed(value: Json, *, column: int, layout: Layout, style: str = "", width: int = 0) -> WrittenValue:
    """An item with its dash at this column; a collection begins on the line of the dash."""
    inner = column + 2
    if isinstance(value, Mapping) and value:
        lines = mapping_lines(value, column=inner, layout=layout)
    elif isinstance(value, list | tuple) and value and not _is_short(value):
        lines = list_lines(value, column=inner, layout=layout)
    else:
        return block(value, parent=column, layout=layout, style=style, width=width)
    return WrittenValue(head=lines[0][inner:], body=tuple(lines[1:]))


def _is_short(value: Json) -> bool:
    """Whether a list is readable on one line: few simple values."""
    items = value if isinstance(value, list | tuple) else ()
    simple = not any(
        isinstance(item, Mapping | list | tuple) or (isinstance(item, str) and "\n" in item) for item in items
    )
    return simple and len(inline(value)) <= _SHORT


def _simple(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML 1.1 requires the point


def _quoted(text: str, style: str, *, flow: bool) -> str:
    if style == "" and is_plain(text, flow=flow):
        return text
    single = style == "'" or (style == "" and '"' in text and "'" not in text)
    if single and _ONE_LINE.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _text(text: str, parent: int, style: str, width: int) -> WrittenValue:
    wants_block = "\n" in text or style in ("|", ">")
    body = text.rstrip("\n")
    if not wants_block or not body or not _LINES.fullmatch(text):
        return WrittenValue(head=inline(text, style=style if style in ("'", '"') else ""))
    return _literal(body, len(text) - len(body), parent, style, width)


def _literal(body: str, breaks: int, parent: int, style: str, width: int) -> WrittenValue:
    """A literal block. A folded block stays folded only if it has nothing to fold."""
    lines = body.split("\n")
    first = next(line for line in lines if line)
    indicated = first[0] in " \t" or lines[0] == ""
    if indicated and width > _LARGEST_INDICATOR:
        width = 2
    chomping = ("-", "")[breaks] if breaks < 2 else "+"
    style = ">" if style == ">" and len(lines) == 1 and first[0] not in " \t" else "|"
    pad = " " * (parent + width)
    written = [pad + line if line else "" for line in lines] + [""] * (breaks - 1)
    return WrittenValue(head=f"{style}{width if indicated else ''}{chomping}", body=tuple(written))
