"""Columns as frames of pandas and polars, with types that lose nothing. The only user of both, which are extras."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.contract.clickhouse import bits, type_word, unwrapped
from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

type Column = tuple[str, str, list[Any]]
"""Name, type as the answer writes it, values."""

_PANDAS: Final = {"float": "float64", "boolean": "boolean", "decimal": "object", "date": "object"}


def pandas_frame(columns: Sequence[Column]) -> pd.DataFrame:
    """Raises UsageError without pandas."""
    try:
        import pandas as pd
    except ImportError:
        raise _lacking("pandas") from None
    series = [pd.Series(values, dtype=_pandas_type(written, values)) for _, written, values in columns]
    frame = pd.DataFrame(dict(enumerate(series)))
    frame.columns = pd.Index([name for name, _, _ in columns], dtype="object")
    return frame


def polars_frame(columns: Sequence[Column]) -> pl.DataFrame:
    """Raises UsageError without polars."""
    try:
        import polars as pl
    except ImportError:
        raise _lacking("polars") from None
    return pl.DataFrame([pl.Series(name, values, dtype=_polars_type(pl, written)) for name, written, values in columns])


def _pandas_type(written: str, values: list[Any]) -> Any:  # noqa: ANN401 - what pandas takes as a type
    word = _word(written)
    if word == "integer":
        width = bits(written) or 64
        return "object" if width > 64 else "UInt64" if unwrapped(written).startswith("U") else "Int64"
    if word == "datetime":
        zones = {value.tzinfo for value in values if isinstance(value, datetime)}
        return None if len(zones) == 1 else "object"
    return _PANDAS.get(word, "object")


def _polars_type(pl: Any, written: str) -> Any:  # noqa: ANN401 - the module, imported late; what it takes as a type
    word = _word(written)
    if word == "integer":
        width = bits(written) or 64
        return pl.Object if width > 64 else pl.UInt64 if unwrapped(written).startswith("U") else pl.Int64
    plain = {"float": pl.Float64, "boolean": pl.Boolean, "date": pl.Date, "string": pl.String}
    return plain.get(word)


def _word(written: str) -> str:
    """The server's word, whether it is written so or as ClickHouse's type."""
    return type_word(written) if written[:1].isupper() else written


def _lacking(package: str) -> UsageError:
    fix = f"pip install 'endpoints-gitops[{package}]'"
    return UsageError(f"to_{package}() needs the package {package}", fix=fix, code="usage.extra")
