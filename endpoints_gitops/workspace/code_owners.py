"""The owners of a file by CODEOWNERS, as GitHub and GitLab read it.

Patterns are those of .gitignore, except that `docs/*` means the files of that folder alone, and that `!` and ranges in
brackets do not exist: such lines are skipped. The last pattern that matches decides; in a file with GitLab's sections,
the last one of each section, and lines without owners have those of their section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.workspace.files import read_regular_file

_PLACES: Final = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
_SECTION: Final = re.compile(r"\^?\[([^\]]+)\](?:\[\d+\])?(?P<owners>.*)")
_WORD: Final = re.compile(r"(?:\\.|\S)+")
_GLOBS: Final = re.compile(
    r"(?P<folders>(?<=/)\*\*/|^\*\*/)|(?P<all>/\*\*$)|\*+|(?P<one>\?)|\\(?P<escaped>.)|(?P<text>.)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedPattern:
    """A line of CODEOWNERS: a pattern, its owners, and the section that it is in; empty without sections."""

    pattern: re.Pattern[str]
    owners: tuple[str, ...]
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOwners:
    """The lines of a CODEOWNERS file, in order."""

    lines: tuple[OwnedPattern, ...] = ()

    @classmethod
    def of(cls, text: str) -> CodeOwners:
        """The lines of a text; what is not a pattern is skipped."""
        return cls(lines=tuple(_lines(text)))

    @classmethod
    def in_checkout(cls, top: Path) -> CodeOwners:
        """The first CODEOWNERS of the places where GitHub and GitLab look; empty without a readable one."""
        for place in _PLACES:
            try:
                return cls.of(read_regular_file(top / place).decode("utf-8-sig", "replace"))
            except OSError:
                continue
        return cls()

    def owners(self, path: str) -> tuple[str, ...]:
        """The owners of a path, which is relative to the top of the repository, with slashes."""
        last = {line.section: line.owners for line in self.lines if line.pattern.fullmatch(path)}
        return tuple(dict.fromkeys(owner for owners in last.values() for owner in owners))


def _lines(text: str) -> Iterator[OwnedPattern]:
    section = ""
    defaults: tuple[str, ...] = ()
    for line in text.splitlines():
        if match := _SECTION.fullmatch(line.strip()):
            section, defaults = match[1].strip().lower(), _owners(match["owners"].split())
            continue
        words = _WORD.findall(line)
        if words and not words[0].startswith(("#", "!")) and "[" not in words[0]:
            yield OwnedPattern(pattern=_pattern(words[0]), owners=_owners(words[1:]) or defaults, section=section)


def _owners(words: list[str]) -> tuple[str, ...]:
    """The owners among the words before a comment."""
    end = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
    return tuple(word for word in words[:end] if "@" in word)


def _pattern(text: str) -> re.Pattern[str]:
    is_anchored = "/" in text.rstrip("/")
    body = text.strip("/")
    globs = "".join(map(_expression, _GLOBS.finditer(body)))
    start = "" if is_anchored else "(?:.*/)?"
    below = "/.*" if text.endswith("/") else "" if body.endswith("/*") else "(?:/.*)?"
    return re.compile(f"{start}{globs}{below}", re.DOTALL)


def _expression(glob: re.Match[str]) -> str:
    if glob["folders"]:
        return "(?:.*/)?"
    if glob["all"]:
        return "/.*"
    if glob["one"]:
        return "[^/]"
    literal = glob["escaped"] or glob["text"]
    return re.escape(literal) if literal else "[^/]*"
