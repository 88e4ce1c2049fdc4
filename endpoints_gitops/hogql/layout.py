"""HogQL in lines, for people who compare two queries: the same query always gets the same lines.

Each column of a SELECT, each condition that AND joins and each clause has a line of its own, so that a diff shows what
changed and no change of formatting.
"""

from __future__ import annotations

from typing import Any, Final

from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.printer import (
    AND,
    ITEM,
    LAMBDA,
    NOT,
    QUERY,
    Piece,
    Unprintable,
    operand,
    piece_of,
    select_clauses,
)
from endpoints_gitops.hogql.syntax_tree import fold

_INDENT: Final = "  "
_IN, _OUT, _BREAK, _SPACE = _MARKS = "\ue000\ue001\ue002\ue003"
"""Marks in printed text: one level deeper, one less deep, a new line, and a space that may become a new line."""


def laid_out(sql: str) -> str:
    """The query in lines; the text as it is where it cannot be parsed or printed."""
    if any(mark in sql for mark in _MARKS):
        return sql
    try:
        piece = fold(parse(sql), _piece)
    except (ParseFailure, Unprintable):
        return sql
    return _rendered(piece.text)


def _piece(node: dict[str, Any]) -> Any:  # noqa: ANN401 - a Piece; dicts that are not nodes stay unchanged
    kind = node.get("node")
    if kind == "SelectQuery":
        return _select(node)
    if kind == "SelectSetQuery":
        return _set(node)
    if kind == "And":
        return Piece(f"{_SPACE}AND ".join(operand(part, NOT) for part in node["exprs"]), AND)
    piece = piece_of(node)
    if not isinstance(piece, Piece):
        return piece
    is_joined = kind == "JoinExpr" and node.get("join_type")
    return Piece(f"{_BREAK if is_joined else ''}{_on_one_line(piece.text)}", piece.binds)


def _select(node: dict[str, Any]) -> Piece:
    columns = f",{_BREAK}".join(
        _on_one_line(operand(piece, ITEM if index else LAMBDA)) for index, piece in enumerate(node["select"])
    )
    clauses = select_clauses(node, f"{_BREAK}{columns}")
    lines = (f"{_IN}{clause.replace(_SPACE, _BREAK)}{_OUT}" for clause in clauses)
    return Piece(f"{_IN}{_BREAK}{_BREAK.join(lines)}{_OUT}{_BREAK}", QUERY)


def _set(node: dict[str, Any]) -> Piece:
    arms = [Piece(f"{_BREAK}{arm.text}", arm.binds) for arm in node["subsequent_select_queries"]]
    piece = piece_of({**node, "subsequent_select_queries": arms})
    return Piece(f"{_IN}{_BREAK}{piece.text}{_OUT}{_BREAK}", QUERY)


def _on_one_line(text: str) -> str:
    return text.replace(_SPACE, " ")


def _rendered(text: str) -> str:
    """The text with its marks followed."""
    lines, depth = [""], 0
    for character in text:
        if character == _BREAK:
            lines.append(_INDENT * (depth - 1))
        elif character in (_IN, _OUT):
            depth += 1 if character == _IN else -1
        else:
            lines[-1] += character
    return "\n".join(line.rstrip() for line in lines if line.strip())
