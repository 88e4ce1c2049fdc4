"""Name and lifecycle: whether an endpoint can be called at all."""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, rule_check
from endpoints_gitops.model.finding import Scope, Severity

declare(
    Rule(
        code="A101",
        slug="endpoint-removed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An endpoint is deleted, or its file is removed and `push` runs with `--prune`.",
        why="From then on every call returns 404, pinned or not.",
        fix="tell its callers, deactivate the endpoint once they have moved, and delete it last",
        example=("monthly_users.yaml exists", "the file is deleted, and push runs with --prune"),
    )
)

declare(
    Rule(
        code="A102",
        slug="endpoint-renamed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="An endpoint was renamed: the same query has a new name, and the old name is gone.",
        why="The name is part of the URL, and the versions of the new endpoint start at 1. It is a warning if the "
        "file sets `renamed_from`, which keeps the old name until the rename is finished.",
        fix=Advice(
            "undo the change and run `",
            Command("rename", "OLD", "NEW"),
            "`, which keeps the old name while its callers move",
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
        summary="An endpoint is new.",
        why="It has no callers yet.",
        fix="nothing to do",
        example=("no endpoint monthly_users", "name: monthly_users"),
    )
)


@rule_check(
    Rule(
        code="A103",
        slug="endpoint-deactivated",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="An endpoint is deactivated.",
        why="Every run returns 404, whichever version it names, and the tables are deleted.",
        fix="deactivate the endpoint only after its sunset, when it has no more calls",
        example=("active: true", "active: false"),
    )
)
def endpoint_deactivated(pair: ContractPair) -> Iterator[Hit]:
    if pair.before.serving.endpoint_active and not pair.after.serving.endpoint_active:
        message = f"{pair.after.name} is deactivated: every call of it returns 404, pinned or not"
        yield Hit(locus="active", message=message, before=True, after=False, key="active")


@rule_check(
    Rule(
        code="A104",
        slug="version-deactivated",
        severity=Severity.INFO,
        scope=Scope.IN_PLACE,
        summary="One version is deactivated.",
        why="Callers of that version get a 400. It is an error if a caller pins the version or gets it without a pin.",
        fix="move the pins first",
        example=("version 3 is active", "version 3 is inactive, and an app pins it"),
    )
)
def version_deactivated(pair: ContractPair) -> Iterator[Hit]:
    if pair.cuts_version or not pair.before.serving.version_active or pair.after.serving.version_active:
        return
    pins = [caller.version for caller in pair.context.effective_callers]
    is_used = pair.version in pins or (None in pins and pair.is_current)
    yield Hit(
        locus="version.active",
        message=f"version {pair.version} of {pair.after.name} is deactivated: the server refuses its calls (400)",
        before=True,
        after=False,
        severity=Severity.ERROR if is_used else None,
    )


@rule_check(
    Rule(
        code="A105",
        slug="endpoint-recreated",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The endpoint was deleted and recreated under the same name.",
        why="Its versions start at 1 again, so a pinned version number now refers to a different query.",
        fix=Advice(
            "use a new name, or move every lock to the new endpoint deliberately (`", Command("upgrade", "NAME"), "`)"
        ),
        example=("orders is endpoint 0199-a", "orders is endpoint 019a-b, and its versions start at 1 again"),
    )
)
def endpoint_recreated(pair: ContractPair) -> Iterator[Hit]:
    before, after = pair.before.identity, pair.after.identity
    if before is not None and after is not None and before.endpoint_id != after.endpoint_id:
        message = f"{pair.after.name} was deleted and recreated: its version numbers refer to different queries now"
        yield Hit(locus="endpoint", message=message, before=before.endpoint_id, after=after.endpoint_id, key="name")


@rule_check(
    Rule(
        code="A113",
        slug="tags-changed",
        severity=Severity.WARN,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The tags of an endpoint changed.",
        why="Selectors, `manage` and `protect` select by tag: the endpoint can become managed or unmanaged.",
        fix="check the tags that `manage` and `protect` in the configuration name",
        example=("tags: [billing]", "tags: [finance]"),
        call=Severity.INFO,
    )
)
def tags_changed(pair: ContractPair) -> Iterator[Hit]:
    before, after = sorted(pair.before.tags or ()), sorted(pair.after.tags or ())
    if before != after and pair.after.tags is not None and pair.before.tags is not None:
        tags = ", ".join(after) or "none"
        message = f"the tags of {pair.after.name} are now {tags}; they were {', '.join(before) or 'none'}"
        yield Hit(locus="tags", message=message, before=[*before], after=[*after], key="tags")
