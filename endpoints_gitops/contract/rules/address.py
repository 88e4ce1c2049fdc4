"""Address and lifecycle: whether an endpoint can be called at all."""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, judged_by
from endpoints_gitops.model.finding import Scope, Severity

declare(
    Rule(
        code="A101",
        slug="endpoint-removed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An endpoint is deleted, or its file is removed under prune.",
        why="Every call is a 404 from then on, pinned or not.",
        fix="tell its callers, deactivate it when they have moved, and only then delete it",
        example=("monthly_users.yaml is there", "the file is gone, and push runs with --prune"),
    )
)

declare(
    Rule(
        code="A102",
        slug="endpoint-renamed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="The same query stands under a new name, and the old name is gone.",
        why="The name is part of the address, and the new endpoint counts its versions from 1. A file that says "
        "`renamed_from` keeps the old name for a while: then it is a warning.",
        fix=Advice(
            "undo it, and let `",
            Command("rename", "OLD", "NEW"),
            "` do it, which keeps the old name while its callers move",
        ),
        example=("name: monthly_users", "name: active_users"),
    )
)

declare(
    Rule(
        code="A112",
        slug="endpoint-added",
        severity=Severity.INFO,
        scope=Scope.NEITHER,
        summary="A new endpoint.",
        why="Nobody calls it yet.",
        fix="nothing to do",
        example=("no such endpoint", "name: monthly_users"),
    )
)


@judged_by(
    Rule(
        code="A103",
        slug="endpoint-deactivated",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="An endpoint is made inactive.",
        why="Every run is a 404, whichever version it names, and tables are torn down.",
        fix="only after the sunset, when nobody has called it for a while",
        example=("active: true", "active: false"),
    )
)
def endpoint_deactivated(pair: ContractPair) -> Iterator[Hit]:
    if pair.before.serving.endpoint_active and not pair.after.serving.endpoint_active:
        message = f"{pair.after.name} is no longer active: every call of it is a 404, pinned or not"
        yield Hit(locus="active", message=message, before=True, after=False, key="active")


@judged_by(
    Rule(
        code="A104",
        slug="version-deactivated",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        summary="One version is made inactive.",
        why="Callers of that version get a 400. It is an error where somebody pins it, or gets it without a pin.",
        fix="move the pins first",
        example=("version 3 is active", "version 3 is not active, and an app pins it"),
    )
)
def version_deactivated(pair: ContractPair) -> Iterator[Hit]:
    if pair.cuts_version or not pair.before.serving.version_active or pair.after.serving.version_active:
        return
    pins = [one.version for one in pair.context.judged_for]
    is_used = pair.version in pins or (None in pins and pair.is_current)
    yield Hit(
        locus="version.active",
        message=f"version {pair.version} of {pair.after.name} is no longer active: calls that get it are refused (400)",
        before=True,
        after=False,
        severity=Severity.ERROR if is_used else None,
    )


@judged_by(
    Rule(
        code="A105",
        slug="endpoint-recreated",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="Another endpoint has the same name: deleted and created again.",
        why="Its versions count from 1 again, so a number that somebody pinned now means another query.",
        fix=Advice(
            "use a new name, or bring every lock to the new endpoint on purpose (`", Command("upgrade", "NAME"), "`)"
        ),
        example=("orders is endpoint 0199-a", "orders is endpoint 019a-b, again with a version 1"),
    )
)
def endpoint_recreated(pair: ContractPair) -> Iterator[Hit]:
    mine, other = pair.before.identity, pair.after.identity
    if mine is not None and other is not None and mine.endpoint_id != other.endpoint_id:
        message = f"{pair.after.name} was deleted and created again: version numbers mean other queries now"
        yield Hit(locus="endpoint", message=message, before=mine.endpoint_id, after=other.endpoint_id, key="name")


@judged_by(
    Rule(
        code="A113",
        slug="tags-changed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The tags of an endpoint changed.",
        why="Selectors, `manage` and `protect` go by tags: it may enter or leave what is managed or pruned.",
        fix="look at what `manage` and `protect` in the configuration name",
        example=("tags: [billing]", "tags: [finance]"),
        call=Severity.INFO,
    )
)
def tags_changed(pair: ContractPair) -> Iterator[Hit]:
    before, after = sorted(pair.before.tags or ()), sorted(pair.after.tags or ())
    if before != after and pair.after.tags is not None and pair.before.tags is not None:
        said = ", ".join(after) or "none"
        message = f"the tags of {pair.after.name} are now {said}; they were {', '.join(before) or 'none'}"
        yield Hit(locus="tags", message=message, before=[*before], after=[*after], key="tags")
