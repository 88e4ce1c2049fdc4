"""How HogQL spells identifiers, and which words mean something else when they stand bare."""

from __future__ import annotations

import string
from typing import Final

_FIRST: Final = frozenset(string.ascii_letters + "_$")
_LATER: Final = _FIRST | frozenset(string.digits)

_KEYWORDS: Final = """
all and any anti array as asc asof between by case cast catch columns cross cube desc distinct else end except
exclude exists false fill filter final finally fn following for from full fun global group grouping having if ilike
in inf infinity inner intersect interval into is join lambda left let like limit materialized nan not null offset on
or order outer over partition pivot preceding prewhere qualify range recursive replace right rollup rows sample
select semi settings team_id then throw ties top totals trim true try try_cast unbounded union unpivot using values
when where while window with within
"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())
"""Put in backticks as names of columns, tables and aliases. More than the parser asks for: that does no harm."""

_NOT_CALLED: Final = """
cast catch columns distinct except finally fn fun inf infinity intersect let materialized nan null throw try
try_cast while within
"""
NOT_CALLED: Final = frozenset(_NOT_CALLED.split())
"""Put in backticks as names of functions; `not(x)`, `if(x, y, z)` and `exists(…)` are calls as they are."""

NOT_AFTER_DOT: Final = NOT_CALLED | {"true", "false"}
"""Put in backticks also where a dot stands before."""


def is_plain(word: str) -> bool:
    """Whether the word can stand without backticks as far as its letters go: ASCII letters, digits, `_` and `$`."""
    return bool(word) and word[0] in _FIRST and _LATER.issuperset(word)
