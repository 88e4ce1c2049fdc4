"""Clients that other programs generate."""

from __future__ import annotations

from collections.abc import Sequence

from endpoints_gitops.codegen.interface import EndpointInterface
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.target import GeneratedFile, GenerationTarget


def files_of_generator(
    interfaces: Sequence[EndpointInterface],  # noqa: ARG001 - what a generator needs
    target: GenerationTarget,
) -> tuple[GeneratedFile, ...]:
    """Run the generator of a target, and return its files. Raises UsageError for one that is not known."""
    message = f"there is no generator {target.generator!r} for {target.lang}"
    raise UsageError(message, where=target.where, fix="use native = true, or --native", code="generate.generator")
