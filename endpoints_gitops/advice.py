"""Advice for a person as data: text, and commands of this program that can be pasted into a shell.

`Advice` is a text that keeps its parts, so that no code has to search a sentence for a command. The code that prints it
adds the options with which its commands apply to the same environment and checkout:
`advice.with_options({"--env": "staging"})`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

PROGRAM: Final = "endpoints-gitops"

type Options = Mapping[str, str]
"""`--env`, `--dir` and `--config`, as far as they were given, with their values."""


@dataclass(frozen=True, slots=True, init=False)
class Command:
    """A command line of this program, such as `Command("diff", name)`.

    The words NAME and NAME@N stand for an endpoint and its version until `about` fills them in.
    """

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def with_options(self, options: Options) -> Command:
        """The command with these options added, except those that it has already."""
        lacking = [option for option in options if not any(f"{word}=".startswith(f"{option}=") for word in self.words)]
        return Command(*self.words, *(word for option in lacking for word in (option, options[option])))

    def about(self, name: str, version: int | None = None) -> Command:
        """The command for an endpoint, and its version where one is given."""
        filled = {"NAME": name} | ({} if version is None else {"NAME@N": f"{name}@{version}"})
        return Command(*(filled.get(word, word) for word in self.words))

    def __str__(self) -> str:
        return " ".join((PROGRAM, *map(shlex.quote, self.words)))


@dataclass(frozen=True, slots=True, init=False)
class OtherCommand:
    """A command line of another program, such as `OtherCommand("pip", "install", "endpoints-gitops[local]")`."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def __str__(self) -> str:
        return shlex.join(self.words)


class Wording(NamedTuple):
    """The same advice to someone who runs a command, and to someone whose code calls the library."""

    command_line: str
    code: str


AGAIN: Final = Wording("run the command again", "call it again")
WAIT_LONGER: Final = Wording("--max-wait SECONDS", "max_wait=SECONDS")

AND: Final = " && "
"""Between two commands of which the second runs if the first succeeds."""

type Part = str | Command | OtherCommand | Wording


class Advice(str):
    """Text with its parts: `Advice(Command("diff", name), " shows it")`. As a `str` it is complete."""

    parts: tuple[Part, ...]

    def __new__(cls, *parts: Part) -> Advice:
        flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, Advice) else (part,)))
        advice = super().__new__(cls, "".join(map(_text, flat)))
        advice.parts = flat
        return advice

    @property
    def command_line(self) -> tuple[str, ...]:
        """The words of the command line that this advice is, with `&&` between commands; () where it has other text."""
        words: list[str] = []
        for part in self.parts:
            if isinstance(part, Command):
                words += (PROGRAM, *part.words)
            elif isinstance(part, OtherCommand):
                words += part.words
            elif part == AND:
                words.append(part.strip())
            else:
                return ()
        return tuple(words)

    def with_options(self, options: Options) -> Advice:
        """The advice with these options in each of its commands."""
        return self._each_command(lambda command: command.with_options(options))

    def about(self, name: str, version: int | None = None) -> Advice:
        """The advice for an endpoint, and its version where one is given."""
        return self._each_command(lambda command: command.about(name, version))

    def in_code(self) -> Advice:
        """The advice for someone whose code calls the library."""
        return Advice(*(part.code if isinstance(part, Wording) else part for part in self.parts))

    def _each_command(self, change: Callable[[Command], Command]) -> Advice:
        return Advice(*(change(part) if isinstance(part, Command) else part for part in self.parts))


def about(text: str, name: str, version: int | None = None) -> str:
    """The text as it is; for this endpoint where it is an Advice."""
    return text.about(name, version) if isinstance(text, Advice) else text


def with_options(text: str, options: Options) -> str:
    """The text as it is; with these options in its commands where it is an Advice."""
    return text.with_options(options) if isinstance(text, Advice) else text


def _text(part: Part) -> str:
    return part.command_line if isinstance(part, Wording) else str(part)
