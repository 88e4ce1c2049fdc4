"""Texts for `endpoints-gitops explain`: terms, exit codes, rules and HTTP statuses.

The explanation of an error is its docstring.
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
    "1": """Findings: differences that `diff` shows, mistakes that a check of the files found. Nothing is broken by
itself; a pipeline that wants to stop on them can.""",
    "2": """Usage or configuration: the command line, the configuration or a file that is needed is wrong. Nothing was
sent to the server. Every mistake is printed with its place; fix them and run the command again.""",
    "3": """Credentials: no key was found, the server refused it, or it lacks a scope. `endpoints-gitops auth status`
shows which key is used, where it comes from, and which scopes are missing for what.""",
    "4": """Could not find out: the network or the server failed and nothing was changed. Run the command again;
`--max-wait SECONDS` lets it retry for longer, `--verbose` shows each request.""",
    "5": """Partly applied: some writes landed and some did not, or one landed with a fault (materialization_error).
The journal has what is left; `endpoints-gitops resume` finishes it and does nothing twice.""",
    "6": """Conflict: the server changed too, and that change was not overwritten; everything else was done.
`endpoints-gitops diff NAME` shows it. Then take the server's side (`pull --theirs NAME`) or keep the file's: `push
--overwrite=NAME@VERSION` once, or `adopt NAME`, so that the decision is reviewed and committed.""",
    "130": "Interrupted. An interrupted push leaves a journal, and `endpoints-gitops resume` finishes it.",
    "ahead": "The file has a change, and the server is known to have the older state. A push writes the change.",
    "drifted": """The server changed and the file did not. A push reports it and writes nothing (exit code 0; with
--fail-on-drift: 6); `endpoints-gitops pull` writes it into the file.""",
    "idled": """The server switched the table of an endpoint off, because no key has called it for 30 days. That is
neither drift nor conflict: exit code 0. `push --overwrite=NAME@VERSION NAME` switches the table on again; with
`materialization: {enabled: false}` in the file it stays off.""",
    "withheld": """The file has a change, and a finding says that the server would refuse it or serve it in another
way: a lint error, or S109. `plan` and `push` skip that endpoint, write the others, and exit with 1. With --fail-on,
findings about callers withhold an endpoint too.""",
    "conflict": """Both the file and the server changed, or it is unknown which did. A push writes nothing, with exit
code 6. To resolve it: `pull --theirs NAME` takes the server's side; `push --overwrite=NAME@VERSION` takes the file's
side while that version is current; `adopt NAME` writes `supersedes: VERSION` into the definition, to be reviewed and
committed.""",
    "cosmetic": """Two queries that differ only in formatting, comments, keyword case or redundant parentheses. That
does not count as a difference: only `push --allow-cosmetic` sends it, because every edit makes a version.""",
    "precondition": """The state that a plan was computed against: the endpoint's id, its version, and the settings to
be written. `push --plan FILE` refuses every endpoint that has changed since; make a new plan to continue.""",
    "shallow": """A shallow clone lacks the history that shows which side changed. Use `fetch-depth: 0` in CI, and
`git fetch --unshallow` elsewhere. The record of an earlier push helps only if a commit of the shallow clone has the
state of the server.""",
    "approved": """A finding whose fingerprint has an approval in the configuration: it is shown and fails nothing.
`approve FINGERPRINT --reason TEXT` writes an approval; without an end date it counts until it is removed.""",
    "ignored": """A finding that does not count: an ignore of the configuration or of a comment in the definition
matches it, its rule is switched off, or the rule is newer than the pinned ruleset. `--verbose` shows it with the
reason.""",
    "ruleset": """The date of a set of rules, such as 2026-12. With `ruleset` in the configuration, later rules do not
count, so that a new release of this tool breaks no build.""",
    "check.refused": """The server refuses a query that is valid HogQL: this project or this key has no such table or
field. `check --live` runs every query with LIMIT 0; without it, the push is the first to fail.""",
    "check.undecided": """`check --live` could not run a query, or the server stopped it: it is unknown whether its
tables and fields exist (exit code 4).""",
    "shared variable": """A variable of the whole project; every endpoint that uses its code name shares it. A push
creates a missing one, and changes an existing one only with `--shared-variables`, after naming every endpoint that
uses it.""",
}

# Explanations of codes that no error class explains, by the word before the dot or the whole code.
FAMILIES: Final = {
    "usage": """The command line is wrong. `endpoints-gitops COMMAND --help` shows the arguments and options. Nothing
was changed.""",
    "configuration": """The configuration is wrong: the table [tool.endpoints-gitops] of the nearest pyproject.toml,
the nearest endpoints.toml, or a variable ENDPOINTS_GITOPS_… that overrides it. Every mistake is printed with its
line.""",
    "credentials": """No usable key: it is missing where the configuration points to, cannot be read, does not look
like a key, or may not be sent to the host. A key is sent only to posthog.com, to this machine, to the host that it is
stored for, and to hosts that you trust (`endpoints-gitops auth trust`, or ENDPOINTS_GITOPS_ALLOWED_HOSTS in CI and
containers). `endpoints-gitops auth status` shows which key is sent where and why. No message ever contains a key.""",
    "definition": """A file in the definitions folder is wrong, at the place that is printed. Commands that write need
every definition to be valid: none is skipped. `endpoints-gitops schema` prints the JSON Schema for your editor.""",
    "definitions": """The definitions folder is missing, or the name of a file in it cannot be used. `endpoints-gitops
init` creates the folder; --dir names another one.""",
    "files": """A file could not be written, or is outside of the folder that is written to, perhaps through a
symbolic link. Existing files are unchanged.""",
    "system": "The operating system refused something that every command needs, such as reading the current folder.",
    "state": """The state folder has records, journals and budgets, outside of the checkout. It cannot be used, or
another command of the same checkout is using it. ENDPOINTS_GITOPS_STATE moves it.""",
    "journal": """An interrupted push leaves a journal, and `resume` finishes it. A new push reads and replaces the
journal, and never stops because of it.""",
    "record": """The record has the state after the last pull or push of this checkout. Without it, git's history is
used.""",
    "git": """git could not answer: there is no repository, no such commit, or a shallow clone. What depends on
history is then a conflict instead of a guess.""",
    "push": """A write did not end as planned: the server changed before or during it, or accepted it only in part.
`endpoints-gitops diff NAME` shows the current state.""",
    "consumers": """The consumers' registry is missing or damaged, or a source of `consumers collect` could not be read.
`endpoints-gitops consumers collect SOURCE` reads a consumer again. Without a registry that can be read it is unknown
who calls an endpoint, so no command that needs to know goes on.""",
    "lock": """endpoints.lock is missing or damaged, often after a merge; or the manifest uses something that the
server does not have. The message says which, and where.""",
    "evidence": """The evidence of a test run cannot be used, or does not prove what `gate` asks for: tests that passed
with exactly this pin, on this commit or tree. The message says which. Run the suite again, with
--endpoints-evidence=FILE.""",
    "gate": """`gate` does not release this commit. Each pin that changed since the last release needs evidence, an
active version on the server, and a reason in the lock for what breaks the app; the message says what is lacking.""",
    "recording": "A recording cannot be used; the message names the place. Record the answer again.",
    "plan": """A saved plan cannot be used: it is damaged, for another project, or the server has changed since. Make
a new one.""",
    "prune": """--prune reads from git's history which endpoints this folder once defined; without it, nothing is
pruned.""",
    "pull": """A difference that `pull` did not write: both sides changed, it is unknown which did, or no file can
express the state of the server. `pull --theirs NAME` takes the server's side, `pull --mine NAME` keeps the file's
side for the next push; `endpoints-gitops diff NAME` shows both.""",
    "adopt": """`adopt NAME` writes `supersedes: VERSION` into the definition. It needs a definition and an endpoint
of that name; with --version N, N must be current. It never writes to the server.""",
    "rename": """A rename takes two steps. `rename OLD NEW` creates NEW, renames in the file (`renamed_from: OLD`) and
keeps OLD for its callers; `rename OLD NEW --finish` deactivates OLD once NEW can take its calls. An existing file or
endpoint called NEW is never overwritten, and endpoints under `protect` stay active.""",
    "rollback": """`rollback NAME@N` makes the query of version N the newest one and writes it into the file. It stops
if the file has an edit that was never pushed (commit or undo it first; --yes overwrites it), or if a shared variable
of version N is missing (push a definition that declares it, to create it again).""",
    "promote": """`promote --from ENV --to ENV` needs two environments with different projects. It reports changes in
the second one, and never overwrites them.""",
    "init": "`init` found an existing file, and overwrites nothing.",
    "run": "A run lacks a value, or this query does not support an option. Nothing was changed: runs only read.",
    "call": "A call does not fit the pin. Nothing was sent. The message says which calls the pin allows.",
    "contract": """An answer is not what the lock says for this version. `endpoints-gitops lock --verify` shows what
changed on the server, `endpoints-gitops outdated` which versions exist.""",
    "cache": """The Redis in which an app caches answers cannot be used, so its answers are still there. Calls go to the
server meanwhile.""",
    "rows": "These rows cannot be read in this way; the message says how they can be read.",
    "defect": "A bug in this tool. Please report it.",
    "conformance": """`conformance` checks facts about the server on a project. Everything that it creates has
conformance_XXXX_ in its name and is deleted at the end. `endpoints-gitops conformance --remove-leftovers` deletes
what a killed run left behind or what could not be deleted.""",
    "demo": "The demo failed: a bug in this tool. Please report it.",
    "interrupted": """Stopped by Ctrl-C or a signal. An interrupted push leaves a journal, and `endpoints-gitops
resume` finishes it.""",
}

_SCOPES: Final = {
    "V": "only in a new version: a pin to an older version protects from it",
    "I": "in place, in existing versions: a pin does not protect from it",
    "-": "versions do not matter",
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
    """The severities for other kinds of callers than those that read by name."""
    others = (
        (rule.position, "for callers that read by position"),
        (rule.call, "for callers that read no rows"),
        (rule.typed, "for callers that read rows into types"),
        (rule.direct, "for callers that ask with refresh: direct"),
        ("error" if rule.is_undecidable else None, "in breaking, upgrade and gate, unless --allow-unknown is given"),
    )
    severities = [f"{severity} {whom}" for severity, whom in others if severity and severity != rule.severity]
    return f" ({'; '.join(severities)})" if severities else ""


_STATUSES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "400": (
        "The server refused the request. Nothing was changed, and the request is never repeated automatically.",
        ("Refused",),
    ),
    "401": ("The server does not recognize the key.", ("Unauthenticated",)),
    "402": ("The organization has used up its quota.", ("QuotaExceeded",)),
    "403": ("The server recognizes the key, and does not allow this request.", ("Forbidden",)),
    "404": ("The resource does not exist, or is switched off.", ("NotFound",)),
    "405": ("The server does not support this method on this route.", ("MethodRefused",)),
    "415": ("The server does not accept JSON here.", ("MediaTypeRefused",)),
    "429": (
        "Too many requests. Retried after `Retry-After`, until --max-wait (in an app: max_wait) is over.",
        ("Throttled",),
    ),
    "500": (
        "The server failed. Requests that are safe to repeat are retried until --max-wait is over.",
        ("ServerFault",),
    ),
    "502": ("A proxy before PostHog's server failed; retried like a 500.", ("GatewayFault",)),
    "503": (
        "The server is overloaded or has no database at the moment; retried like a 500, after `Retry-After`.",
        ("AtCapacity", "DatabaseUnavailable"),
    ),
    "504": ("A proxy before PostHog's server timed out; retried like a 500.", ("GatewayFault",)),
}


def statuses() -> dict[str, str]:
    """The explanation of each HTTP status: what it can mean, and what to do."""
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
