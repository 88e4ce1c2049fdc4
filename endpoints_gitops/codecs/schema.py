"""The JSON Schema of a definition file, generated from the model, for editors and other validators.

It covers a single document. `endpoints-gitops check` also checks the syntax of the query, names that two files share,
and contradicting values of the freshness.
"""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from endpoints_gitops import __version__
from endpoints_gitops.model import definition
from endpoints_gitops.model.definition import QUERY_KEYS, Definition

SCHEMA_URL: Final = (
    f"https://raw.githubusercontent.com/endpoints-gitops/endpoints-gitops/v{__version__}/endpoints_gitops/codecs/"
    "definition.schema.json"
)
SCHEMA_FILE: Final = "endpoints.schema.json"
"""A copy of the schema next to the definitions (`schema --out`), for offline use."""
SHIPPED: Final = Path(__file__).with_name("definition.schema.json")

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, in JSON Schema 2020-12."""
    generated = _plain(_described(Definition.model_json_schema()))
    definitions = generated.pop("$defs")
    return {
        "$schema": _DIALECT,
        "$id": SCHEMA_URL,
        "title": "Endpoint definition",
        **generated,
        "oneOf": [_stated(key) for key in QUERY_KEYS],
        "$defs": definitions,
    }


def text() -> str:
    """The text of the shipped schema file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the docstring of each field of the model as its description."""
    texts = _texts()
    for name, model in {Definition.__name__: schema, **schema["$defs"]}.items():
        for key, field in model.get("properties", {}).items():
            if (text := texts[name].get(key)) is not None:
                model["properties"][key] = dict(sorted({**field, "description": text}.items()))
    return schema


def _texts() -> dict[str, dict[str, str]]:
    """The docstrings by class and field, from the source of the model."""
    texts: dict[str, dict[str, str]] = {}
    tree = ast.parse(inspect.getsource(definition))
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        texts[node.name] = {}
        for field, below in pairwise(node.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[node.name][key] = inspect.cleandoc(text)
    return texts


def _stated(key: str) -> dict[str, Any]:
    """The schema of an object that has a key with a value other than null."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _plain(schema: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """The schema without pydantic's additions: titles, defaults of null, unions of one type and null."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    named = {
        key: {name: _plain(item_schema) for name, item_schema in schema[key].items()}
        for key in ("properties", "$defs")
        if key in schema
    }
    rest = {key: _plain(item) for key, item in schema.items() if key not in named and not _is_noise(key, item)}
    return _or_null({**rest, **named})


def _is_noise(key: str, item: object) -> bool:
    return (key == "title" and isinstance(item, str)) or (key == "default" and item is None) or item is True


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`anyOf: [X, null]` simplified to X that can be null, if X has a type or a list of values."""
    branches = schema.get("anyOf", [])
    if len(branches) != 2 or branches[1] != {"type": "null"}:
        return schema
    branch = dict(branches[0])
    if "enum" in branch:
        branch["enum"] = [*branch["enum"], None]
    elif "const" in branch:
        branch = {"enum": [branch.pop("const"), None], **branch}
    if isinstance(branch.get("type"), str):
        branch["type"] = [branch["type"], "null"]
    if not {"type", "enum"} & branch.keys():
        return schema
    return {**branch, **{key: item for key, item in schema.items() if key != "anyOf"}}


if __name__ == "__main__":
    SHIPPED.write_text(text(), encoding="utf-8", newline="\n")
