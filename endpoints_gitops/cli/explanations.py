"""Texts for `endpoints-gitops explain`: words, exit codes, rules and HTTP statuses.

Errors explain themselves in their docstrings.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from endpoints_gitops.api.errors import ApiError
    from endpoints_gitops.contract.rules import Rule

TOPICS: Final = {
    "0": "Done, or nothing to report.",
    "1": """Findings: differences that `diff` shows, mistakes that a check of the files found.
Nothing is broken by itself; a pipeline that wants to stop on them can.""",
    "2": """Usage or configuration: the command line, the configuration or a file that is needed is wrong.
Nothing was sent to the server. Every mistake is printed with its place; mend them and run the command again.""",
    "3": """Credentials: no key was found, the server refused it, or it lacks a scope.
`endpoints-gitops auth status` shows which key is used, where it comes from, and which scopes are missing for what.""",
    "4": """Could not find out: the network or the server failed and nothing was changed.
Run the command again; `--max-wait SECONDS` lets it retry for longer, `--verbose` shows each request.""",
    "5": """Partly applied: some writes landed and some did not, or one landed with a fault (materialization_error).
The journal says what is left; `endpoints-gitops resume` finishes it without doing anything twice.""",
    "6": """Conflict: the server moved, and nothing of it was overwritten; everything else was done.
Look at it with `endpoints-gitops diff NAME`, then take the server's (`pull --theirs NAME`), or keep yours: `push
--overwrite=NAME@VERSION` for now, or `adopt NAME` to have the answer reviewed and committed.""",
    "130": "Interrupted. A push that was interrupted leaves a journal: `endpoints-gitops resume` finishes it.",
    "ahead": """The file has something new, and what the server has is known to be older. A push writes it.""",
    "drifted": """The server moved and the file has nothing new. A push says so and leaves it alone (exit 0; with
--fail-on-drift: 6); `endpoints-gitops pull` brings it into the file.""",
    "idled": """The server switched the table of an endpoint off by itself, because no key has called it for 30 days.
That is neither drift nor conflict: exit code 0. `push --overwrite=NAME@VERSION NAME` switches the table on again;
`materialization: {enabled: false}` in the file gives it up.""",
    "withheld": """The file has something new, and a finding says that the server would refuse it or serve it
otherwise: a lint error, or S109. `plan` and `push` do not send that endpoint, send the rest, and exit with 1.
With --fail-on, findings about callers withhold an endpoint too.""",
    "conflict": """Both moved, or it cannot be told which of the two is newer. Left alone, with exit code 6.
Ways out: `pull --theirs NAME` takes the server's; `push --overwrite=NAME@VERSION` keeps yours while that version is
current; `adopt NAME` writes `supersedes: VERSION` into the definition: the answer is reviewed and committed.""",
    "cosmetic": """Two queries that differ only in formatting, comments, keyword case or redundant parentheses.
That is no difference: no command sends it unless `push --allow-cosmetic` says so, for every edit cuts a version.""",
    "precondition": """What a plan was computed against: the endpoint's id, its version, and the settings to be written.
`push --plan FILE` refuses, endpoint by endpoint, what has moved since; make a new plan to go on.""",
    "shallow": """A shallow clone lacks the history that tells whose change a difference is. In CI, check out with
`fetch-depth: 0`; on a machine, `git fetch --unshallow`. The record of an earlier push helps only where a commit of
the shallow clone holds what the server has.""",
    "check.refused": """The server refuses a query that is right as HogQL: a table or a field is not in this project,
or not for this key. `check --live` asks for every query with LIMIT 0; without it the first to say so is a push.""",
    "check.undecided": """`check --live` could not ask for a query, or the server stopped resolving it: whether its
tables and fields are there is not known, and exit code 4 says so.""",
    "shared variable": """A variable of the whole project; every endpoint that uses its code name shares it. A push
creates a missing one, and changes an existing one only with `--shared-variables`, after naming every endpoint that
uses it.""",
}

# What a code is about that no error class explains: by the word before its dot, or by itself.
FAMILIES: Final = {
    "usage": """The command line asks for something that cannot be done. `endpoints-gitops COMMAND --help` shows
what can. Nothing was sent that changes anything.""",
    "configuration": """The configuration is wrong: the table [tool.endpoints-gitops] of the nearest pyproject.toml,
the nearest endpoints.toml, or one of the variables ENDPOINTS_GITOPS_… that go over it. Every mistake is printed
with its line.""",
    "credentials": """No usable key: it is not where the configuration says, cannot be read, is not shaped like a key,
or may not go to the host: a key is sent to posthog.com, to this machine, to the host that it is stored for, and to
hosts that you trust (`endpoints-gitops auth trust`, or ENDPOINTS_GITOPS_ALLOWED_HOSTS in CI and containers).
`endpoints-gitops auth status` shows which key goes where and why. No message ever repeats a key.""",
    "definition": """A file in the definitions folder is wrong, at the place that is printed. Commands that write
need every definition right: none is skipped. `endpoints-gitops schema` prints the JSON Schema for your editor.""",
    "definitions": """The definitions folder, or the name of a file in it, is not what a command needs.
`endpoints-gitops init` makes the folder; --dir names another one.""",
    "files": """A file could not be written, or lies outside the folder that is written to, perhaps through a
symbolic link. What was there is still whole.""",
    "system": "The operating system refused something that every command needs, such as reading the current folder.",
    "state": """The state folder holds records, journals and budgets, outside of the checkout. It cannot be used, or
another command of the same checkout uses it just now. ENDPOINTS_GITOPS_STATE moves it.""",
    "journal": """The journal is what an interrupted push leaves behind, and what `resume` finishes. A new push
reads and replaces it, and never refuses because of it.""",
    "record": """The record is what the last pull or push of this checkout left. Without it, git's history is asked
instead.""",
    "git": """git could not answer: no repository, no such commit, a shallow clone. What depends on history is then
a conflict rather than a guess.""",
    "push": """A write did not end as its plan said: the server moved before it, moved between check and write, or
took it with a fault. `endpoints-gitops diff NAME` shows how things are.""",
    "lock": """The file endpoints.lock is missing, or cannot be used as it is, often after a merge; or the manifest asks
for what the server does not have. The message says which, and where.""",
    "evidence": "The evidence of a test run cannot be used, at the place that is printed; run the suite again.",
    "recording": "A recording cannot be used as it is, at the place that is printed; record the answer again.",
    "plan": """A saved plan cannot be used: it is damaged, of another project, or the server has moved since. Make a
new one.""",
    "prune": "What --prune may deactivate is read from git's history of the folder; without it nothing is pruned.",
    "pull": """A difference that `pull` left as it is, because both sides moved or nobody can tell which did, or
because no file could say what the server has so that reading it again gives the same. `pull --theirs NAME` takes the
server's, `pull --mine NAME` keeps the file's for the next push; `endpoints-gitops diff NAME` shows both.""",
    "adopt": """`adopt NAME` writes `supersedes: VERSION` into the definition: it needs a file that defines the name, an
endpoint on the server, and, with --version N, that N is still current. It never writes to the server.""",
    "rename": """A rename goes in two steps. `rename OLD NEW` creates NEW, renames in the file (`renamed_from: OLD`) and
keeps OLD for its callers; `rename OLD NEW --finish` deactivates OLD once NEW can take its calls. A name that is taken,
by a file or by another endpoint, is never overwritten, and what `protect` names stays active.""",
    "rollback": """`rollback NAME@N` sends the query of version N as the newest one and writes it into the file. It
stops where the file holds an edit that was never pushed (commit or undo it first; --yes writes over it), and where a
shared variable of version N is gone (a definition that declares it, once pushed, makes it again).""",
    "promote": """`promote --from ENV --to ENV` needs two environments with different projects, and overwrites nobody in
the second: what moved there is left alone, and said.""",
    "init": "`init` found something in its way, and overwrites nothing.",
    "run": """A run lacks a value or was asked for something that this query cannot do. Nothing was changed: runs
only read.""",
    "call": """A call of an app is not one that its pin takes. Nothing was sent. The message says what it takes.""",
    "contract": """An answer is not what the lock promised for this version. `endpoints-gitops lock --verify` tells what
has moved on the server; `endpoints-gitops outdated` which versions there are.""",
    "rows": "Rows were read in a way in which they cannot be read; the message says in which they can.",
    "defect": "Something that this tool did not foresee: its own mistake, not yours. Please report it.",
    "conformance": """`conformance` tries facts about the server on a project. Everything that it creates has
conformance_XXXX_ in its name and is deleted at the end; what could not be deleted, or a killed run left behind,
`endpoints-gitops conformance --remove-leftovers` deletes.""",
    "demo": "The demo did not go as it should: a defect of this tool. Please report it.",
    "interrupted": """Stopped by Ctrl-C or a signal. A push that was interrupted leaves a journal: `endpoints-gitops
resume`.""",
}

_SCOPES: Final = {
    "V": "only in a new version: a pin to an older one protects from it",
    "I": "in place, in versions that exist: a pin does not protect from it",
    "-": "not a matter of versions",
}


def rules() -> dict[str, str]:
    """Every rule, by its code and by its slug, both in lower case."""
    from endpoints_gitops.contract.rules import RULES

    texts = {rule.code: _rule_text(rule) for rule in RULES.values()}
    return {name: texts[rule.code] for rule in RULES.values() for name in (rule.code.lower(), rule.slug)}


def _rule_text(rule: Rule) -> str:
    before, after = rule.example
    return "\n".join(
        (
            f"{rule.code} {rule.slug}: {rule.summary}",
            "",
            f"Severity: {rule.severity}{_other_severities(rule)}",
            f"Happens:  {_SCOPES[rule.scope.value]}",
            f"Why:      {rule.why}",
            f"Fix:      {rule.fix}",
            "",
            f"Before:   {before}",
            f"After:    {after}",
            "",
            f"In the rules since {rule.since}.",
        )
    )


def _other_severities(rule: Rule) -> str:
    """For whom it is more or less than for callers that read by name."""
    others = (
        (rule.position, "for callers that read by position"),
        (rule.call, "for callers that read no rows"),
        (rule.typed, "for callers that read rows into types"),
        (rule.direct, "for callers that ask with refresh: direct"),
        ("error" if rule.is_undecidable else None, "in breaking, upgrade and gate, unless --allow-unknown is given"),
    )
    said = [f"{severity} {whom}" for severity, whom in others if severity and severity != rule.severity]
    return f" ({'; '.join(said)})" if said else ""


_STATUSES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "400": (
        "The server looked at the request and refused it. Nothing was changed, and it is never sent again by itself.",
        ("Refused",),
    ),
    "401": ("The server does not recognize the key.", ("Unauthenticated",)),
    "402": ("The organization has used up its quota.", ("QuotaExceeded",)),
    "403": ("The server recognizes the key, and does not allow this request.", ("Forbidden",)),
    "404": ("The resource does not exist, or is switched off.", ("NotFound",)),
    "405": ("The server does not do this on this route.", ("MethodRefused",)),
    "415": ("The server does not read JSON here.", ("MediaTypeRefused",)),
    "429": (
        "Too many requests. Sent again when `Retry-After` has passed, until --max-wait (of an app: max_wait) is over.",
        ("Throttled",),
    ),
    "500": ("The server failed. What is safe to repeat is sent again until --max-wait is over.", ("ServerFault",)),
    "502": ("Something before PostHog's server failed; sent again as a 500 is.", ("GatewayFault",)),
    "503": (
        "The server has no room, or no database, for a moment; sent again as a 500 is, after `Retry-After`.",
        ("AtCapacity", "DatabaseUnavailable"),
    ),
    "504": ("Something before PostHog's server did not wait for it; sent again as a 500 is.", ("GatewayFault",)),
}


def statuses() -> dict[str, str]:
    """An explanation for each HTTP status: what it can mean here, and what to do about it."""
    from endpoints_gitops.api import errors

    kinds = {
        status: [kind for name in names for kind in _with_subclasses(getattr(errors, name))]
        for status, (_, names) in _STATUSES.items()
    }
    return {status: "\n\n".join([text, *map(_about, kinds[status])]) for status, (text, _) in _STATUSES.items()}


def _with_subclasses(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _with_subclasses(subclass)


def _about(kind: type[ApiError]) -> str:
    first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return f"{kind.code} ({kind.__name__}): {first}\n  What to do: {kind.remedy}."
