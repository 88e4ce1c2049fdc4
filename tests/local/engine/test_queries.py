"""What HogQL means, as data: the folder `cases` holds queries with their columns, types and rows, or their refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused

VALUES = {
    "text": "v",
    "number": 5,
    "fraction": 1.5,
    "flag": True,
    "nothing": None,
    "list": ["view", "x"],
    "empty": [],
    "day": "2026-06-02",
    "quote": "it's \\ '; --",
    "object": {"a": 1},
    "half": "\ud800",
    "zero": "a\0b",
}


def _cases() -> Iterator[Any]:
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml")):
        for case in YAML(typ="safe").load(path):
            yield pytest.param(case, id=f"{path.stem}: {case['hogql']}")


CASES = list(_cases())
QUERIES = [str(case.values[0]["hogql"]) for case in CASES]


@pytest.mark.parametrize("case", CASES)
def test_query(small: Engine, case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(QueryRefused) as caught:
            small.run(case["hogql"], VALUES)
        assert _fits(caught.value.message, case["refused"])
        assert caught.value.code == case["code"]
        return
    answer = small.run(case["hogql"], VALUES)
    got = {
        "columns": list(answer.columns),
        "types": [written for _, written in answer.types],
        "rows": _in_order(answer.results, case["hogql"]),
    }
    wanted = {key: value for key, value in case.items() if key in got}
    if "rows" in wanted:
        wanted["rows"] = _in_order(wanted["rows"], case["hogql"])
    assert {key: got[key] for key in wanted} == wanted
    assert [name for name, _ in answer.types] == got["columns"]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_nonsense_is_refused(small: Engine, data: st.DataObject) -> None:
    """Queries with parts of others in them end in an answer or in a refusal that says something."""
    written = data.draw(st.sampled_from(QUERIES))
    for _ in range(data.draw(st.integers(1, 3))):
        place, other = data.draw(st.integers(0, len(written))), data.draw(st.sampled_from(QUERIES))
        start = data.draw(st.integers(0, len(other) - 1))
        stolen = other[start : start + data.draw(st.integers(0, 12))]
        written = f"{written[:place]} {stolen} {written[place + data.draw(st.integers(0, 8)) :]}"
    try:
        small.run(written, VALUES)
    except QueryRefused as refusal:
        assert refusal.message and refusal.code  # noqa: PT017, PT018 - an answer is right as well


def _fits(message: str, wanted: str) -> bool:
    """ClickHouse's messages quote the SQL at length: what is wanted of them ends in an ellipsis."""
    return message.startswith(wanted.removesuffix("…")) if wanted.endswith("…") else message == wanted


def _in_order(rows: Any, hogql: str) -> list[str]:
    """As JSON, where 1, 1.0 and true differ; without ORDER BY in any order."""
    written = [json.dumps(row, ensure_ascii=False) for row in rows]
    return written if "order by" in hogql else sorted(written)
