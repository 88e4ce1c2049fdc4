"""Commands in advice, made such that they can be pasted: they mean the environment and the folder of the command line
that prints them.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from endpoints_gitops.cli.registry import COMMANDS
from endpoints_gitops.model.json import Json

type Options = Mapping[str, str]

_NAMES: Final = "|".join(("auth status", "auth trust", "auth reset-budget", *COMMANDS))


def options_to_repeat(arguments: argparse.Namespace) -> Options:
    """The options of a command line without which another command would work on something else."""
    said = {"--config": arguments.config, "--env": arguments.env, "--dir": arguments.dir}
    return {option: value for option, value in said.items() if value is not None}


def with_options(text: str, options: Options) -> str:
    """The text with these options behind every command, except those that a command has already."""
    for option, value in options.items():
        command = re.compile(rf"\bendpoints-gitops (?:{_NAMES})\b(?! [^;,]*{option}\b)")
        quoted = shlex.quote(value).replace("\\", r"\\")
        text = command.sub(rf"\g<0> {option} {quoted}", text)
    return text


def fixes_with_options(value: Json, options: Options) -> Json:
    """The same for whatever is called `fix` in a document."""
    if isinstance(value, Mapping):
        return {
            key: with_options(item, options)
            if key == "fix" and isinstance(item, str)
            else fixes_with_options(item, options)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [fixes_with_options(item, options) for item in value]
    return value
