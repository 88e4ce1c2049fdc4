"""Long lines of a unified diff, cut to what changed in them: `[-before-]` and `{+after+}` mark it, as git does."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import groupby, zip_longest
from typing import Final

LONG: Final = 160
"""Lines of a diff that are not longer are printed as they are."""
_CONTEXT: Final = 40
_MOST: Final = 2_000
_SEPARATORS: Final = " \t,()"


def shortened(diff: Iterable[str]) -> Iterator[str]:
    """The lines of a diff's hunks. A removed and an added line in the same place are compared with each other."""
    for kind, group in groupby(diff, key=lambda line: line[:1] in "+-"):
        lines = list(group)
        if not kind:
            yield from map(_cut, lines)
            continue
        removed = [line for line in lines if line.startswith("-")]
        added = [line for line in lines if line.startswith("+")]
        pairs = [_marked(old, new) for old, new in zip_longest(removed, added)]
        yield from (old for old, _ in pairs if old is not None)
        yield from (new for _, new in pairs if new is not None)


def _marked(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    if old is None or new is None:
        return (old and _cut(old, _MOST), new and _cut(new, _MOST))
    if max(len(old), len(new)) <= LONG:
        return old, new
    before, after = _words(old[1:]), _words(new[1:])
    steps = difflib.SequenceMatcher(None, before, after).get_opcodes()
    parts: tuple[list[str], list[str]] = ([], [])
    for place, (kind, low, high, start, end) in enumerate(steps):
        texts = "".join(before[low:high]), "".join(after[start:end])
        for side, text, marks in zip(parts, texts, ("[--]", "{++}"), strict=True):
            if kind == "equal":
                side.append(_context(text, is_first=place == 0, is_last=place == len(steps) - 1))
            elif text:
                side.append(f"{marks[:2]}{_cut(text, _MOST)}{marks[2:]}")
    return f"-{''.join(parts[0])}", f"+{''.join(parts[1])}"


def _words(text: str) -> list[str]:
    """The text in pieces: what stands between separators, and each separator."""
    found, start = [], 0
    for place, character in enumerate(text):
        if character in _SEPARATORS:
            found += [text[start:place], character] if place > start else [character]
            start = place + 1
    return [*found, text[start:]] if start < len(text) else found


def _context(text: str, *, is_first: bool, is_last: bool) -> str:
    """What did not change, as far as it is near a change."""
    head = "" if is_first else text[:_CONTEXT]
    tail = "" if is_last else text[-_CONTEXT:]
    return text if len(text) <= len(head) + len(tail) + 1 else f"{head}…{tail}"


def _cut(text: str, most: int = LONG) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
