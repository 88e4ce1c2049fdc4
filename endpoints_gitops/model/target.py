"""What `generate` makes: a client in one language, in one folder, from the pins of one environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Pin

NATIVE: Final = "native"
"""The generator of clients that this package writes itself."""
STUB: Final = "stub"
"""The generator of types for `Endpoints.run`."""
NATIVE_LANGUAGES: Final = ("python", "typescript", "go")
"""The languages of native clients."""
PYTHON_PACKAGE: Final = "endpoints_client"
"""The module of a native client for Python, or the package with a module for each endpoint."""
_GO_PACKAGE: Final = re.compile(r"[a-z][a-z0-9_]*")
_GO_WORDS: Final = """
break case chan const continue default defer else fallthrough for func go goto if import interface map package range
return select struct switch type var
"""
_GO_KEYWORDS: Final = frozenset(_GO_WORDS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationTarget:
    """A target of `generate`: `generator` is `NATIVE`, `STUB`, or the name of a program with its `version`.

    `name` is that of the table in the configuration, None for a target of the command line. `out` is a folder;
    `environment` is None for the one that the command chooses. `package` is the name of a package of Go. `where` is the
    `path:line` of the table.
    """

    name: str | None = None
    lang: str
    generator: str
    version: str | None = None
    out: str
    environment: str | None = None
    per_endpoint: bool = False
    package: str | None = None
    where: str | None = None

    @property
    def label(self) -> str:
        """The language and the generator, as headers of files have them: `python native`."""
        return f"{self.lang} {self.generator}"

    @property
    def is_internal(self) -> bool:
        """Whether this package writes the files, without running another program."""
        return self.generator in (NATIVE, STUB)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedFile:
    """A file of a target: its path below the folder of the target, with slashes, and its text without a header.

    `pins` are those that the text depends on; the header lists them. `has_header` is False for a format without
    comments.
    """

    path: str
    text: str
    pins: tuple[Pin, ...]
    has_header: bool = True


def is_go_package(name: str) -> bool:
    """Whether a package of Go can have this name."""
    return _GO_PACKAGE.fullmatch(name) is not None and name not in _GO_KEYWORDS


def default_out(lang: str) -> str:
    """The folder of a target that names none."""
    return f"clients/{lang}"
