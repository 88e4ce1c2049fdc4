"""What PostHog does, as data: the folder `conformance` holds requests and the answers that they get."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

type Ask = Callable[..., httpx.Response]

FOLDER = Path(__file__).parent / "conformance"


def read(name: str) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(FOLDER / f"{name}.yaml"))


MANAGING = {
    f"{group}: {name}": case
    for group in ("creating", "updating", "materialising", "reading")
    for name, case in read(group).items()
}
RUNNING = read("running")


@pytest.mark.parametrize("case", MANAGING.values(), ids=MANAGING.keys())
def test_managing(case: dict[str, Any], ask: Ask) -> None:
    ids: dict[str, str] = {}
    for request in case.get("given", ()):
        made = ask(*_filled(request, ids))
        if request[1] == "insight_variables/":
            ids[f"<{made.json()['code_name']}>"] = made.json()["id"]
    answer = ask(*_filled(case["when"], ids))
    assert answer.status_code == case["status"], answer.text
    if "then" in case:
        _compare(answer.json(), _filled(case["then"], ids), "answer")
    for path in case.get("absent", ()):
        assert not _has(answer.json(), _filled(path, ids).split(".")), path


@pytest.mark.parametrize("case", RUNNING["cases"].values(), ids=RUNNING["cases"].keys())
def test_running(case: dict[str, Any], ask: Ask) -> None:
    name, _, query = case["run"].partition("?")
    for variable in RUNNING["variables"]:
        assert ask("POST", "insight_variables/", variable).status_code == 201
    if name in RUNNING["endpoints"]:
        made = ask("POST", "endpoints/", _filled({"name": name, **RUNNING["endpoints"][name]}, {}))
        assert made.status_code == 201, made.text
    answer = ask("POST", f"endpoints/{name}/run?{query}", case.get("with"))
    assert answer.status_code == case["status"], answer.text
    _compare(answer.json(), case.get("then", {}), "answer")
    if case["status"] == 200:
        assert next(iter(answer.json())) == "results"


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    """With the ids of variables in their places, and query nodes for texts of SQL."""
    if isinstance(value, str):
        return next((value.replace(mark, real) for mark, real in ids.items() if mark in value), value)
    if isinstance(value, Mapping):
        full = {_filled(key, ids): _filled(item, ids) for key, item in value.items() if key != "sql"}
        return full | ({"query": {"kind": "HogQLQuery", "query": value["sql"]}} if "sql" in value else {})
    return [_filled(item, ids) for item in value] if isinstance(value, list) else value


def _compare(got: Any, wanted: Any, where: str) -> None:
    """Mappings may have more keys; lists are of one length."""
    if isinstance(wanted, str) and wanted.startswith("~"):
        assert isinstance(got, str), (where, got)
        assert re.search(wanted[1:], got), (where, got)
    elif isinstance(wanted, Mapping):
        assert isinstance(got, Mapping), (where, got)
        for key, item in wanted.items():
            assert key in got, (where, key)
            _compare(got[key], item, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), (where, got)
        for index, item in enumerate(wanted):
            _compare(got[index], item, f"{where}.{index}")
    else:
        assert got == wanted, where


def _has(value: Any, path: list[str]) -> bool:
    return not path or (isinstance(value, Mapping) and path[0] in value and _has(value[path[0]], path[1:]))
