"""Read the files of facts. `conformance/cases/creating.yaml` documents their format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from endpoints_gitops.model.fact import MARK, WAIT, Fact, Step


def read_facts(group: str, content: bytes) -> tuple[Fact, ...]:
    """The facts of one file, in its order. The files ship with the package, so their format is not checked."""
    from ruamel.yaml import YAML

    value = YAML(typ="safe", pure=True).load(content)  # the C parser refuses `:` inside flow collections
    return tuple(_running(value) if "cases" in value else (_fact(group, *item) for item in value.items()))


def _fact(group: str, name: str, value: Mapping[str, Any]) -> Fact:
    return Fact(
        id=f"{group}: {name}",
        about=value["about"],
        given=tuple(_step(*words) for words in value.get("given", ())),
        when=_step(*value["when"]),
        status=value["status"],
        then=value.get("then", {}),
        absent=tuple(value.get("absent", ())),
        only_ours=value.get("ours", False),
        needs=value.get("needs"),
    )


def _running(value: Mapping[str, Any]) -> Iterator[Fact]:
    """The facts about runs, with the shared variables and the endpoint of the file as preparation."""
    variables = [_step("POST", "insight_variables/", variable) for variable in value["variables"]]
    for name, case in value["cases"].items():
        endpoint, _, query = case["run"].partition("?")
        given = list(variables)
        if endpoint in value["endpoints"]:
            body = {"name": f"{MARK}{endpoint}"} | value["endpoints"][endpoint]
            given.append(_step("POST", "endpoints/", body))
        if case.get("table"):
            given.append(_step(WAIT, f"endpoints/{MARK}{endpoint}/materialization_status/"))
        address = f"endpoints/{MARK}{endpoint}/run{'?' if query else ''}{query}"
        yield Fact(
            id=f"running: {name}",
            about=case["about"],
            given=tuple(given),
            when=_step("POST", address, case.get("with")),
            status=case["status"],
            then=case.get("then", {}),
            first_key="results" if case["status"] == 200 else None,
            shares_endpoints=True,
            is_local=case.get("local", False),
        )


def _step(method: str, path: str, body: Any = None, status: int | None = None) -> Step:  # noqa: ANN401 - JSON
    return Step(method=method, path=path, body=body, status=status)
