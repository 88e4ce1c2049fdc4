"""Code of other programs from pins: one module for each target, and the header of every generated file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, cast

from endpoints_gitops.codegen.interface import EndpointInterface
from endpoints_gitops.model.target import NATIVE, STUB, GeneratedFile, GenerationTarget

_MODULES: Final[Mapping[tuple[str, str], str]] = {
    ("python", NATIVE): "python",
    ("python", STUB): "python_stub",
    ("typescript", NATIVE): "typescript",
    ("go", NATIVE): "go",
}
"""The module of each language and generator."""


class CodeTarget(Protocol):
    """The interface of the module of each target."""

    def files(self, interfaces: Sequence[EndpointInterface], target: GenerationTarget) -> tuple[GeneratedFile, ...]:
        """The files of a target, which depend on the arguments alone. Each path occurs once."""


def generated_files(
    interfaces: Sequence[EndpointInterface], target: GenerationTarget
) -> tuple[GeneratedFile, ...] | None:
    """The files that this package writes for a target; None if it does not know its language and generator."""
    name = _MODULES.get((target.lang, target.generator))
    if name is None:
        return None
    module = cast("CodeTarget", importlib.import_module(f"{__name__}.{name}"))
    return module.files(sorted(interfaces, key=lambda interface: interface.pin.name), target)
