"""What a suite says about its calls, by overriding the fixture `endpoints_config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.model.redaction import Redaction


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsConfig:
    """What holds for every call of the tests that see the fixture.

    `environment`: whose pins are called; None leaves it to option and configuration. `redact`: by name, a constant or a
    function of the value. It covers columns, keys inside of values, and variables wherever they are written down, and
    is applied before an answer is stored and before a test sees it. `variables`: defaults for the calls of versions
    that declare them. `client`: arguments of `Endpoints.from_lock` for the clients that the fixtures give, such as
    `{"max_wait": 2, "cache": 30}`. `tables`: for mode `local`, a file for each table (see `serve --data`), or none for
    the sample product.
    """

    environment: str | None = None
    redact: Redaction = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()


DEFAULT: Final = EndpointsConfig()
