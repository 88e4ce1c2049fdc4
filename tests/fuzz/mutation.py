"""Damage to a file: bytes that parsers stumble over, put anywhere."""

from __future__ import annotations

import random

EXIT_CODES = frozenset({0, 1, 2, 3, 4, 5, 6})
DIGITS = "9" * 5_000
PIECES = (
    *(b"\0", b"\xff", b"\n", b"\r", b"\t", b"\x1b[2J", b"\xe2\x80\xae", b'"', b"'", b"\\", b": ", b"- ", b"#", b"/"),
    *(b"[" * 3_000, b"{" * 3_000, b"{a=" * 1_000, b"a." * 2_000, b'"a":' * 1_000, b"(" * 20, b"CAST(" * 9),
    *(b"null", b"true", b"nan", b".inf", b"0", b"-1", b"1e999999", b"1_0", b"2026-13-45", b"[]", b"{}", b'""'),
    *(DIGITS.encode(), b"-" + DIGITS.encode(), b"0x" + b"f" * 4_000, b'"\\u0000"', b'"\\ud800"', b"*a", b"&a", b"<<: "),
)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Replace up to 20 bytes at a random position with a piece, a byte, nothing, or twice themselves."""
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((0, 1, 2, 5, 20)))
    piece = chance.choice((*PIECES, b"", content[start:end] * 2, bytes([chance.randrange(256)])))
    return content[:start] + piece + content[end:]
