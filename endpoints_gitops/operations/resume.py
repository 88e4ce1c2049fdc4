"""Finish what an interrupted push left, from its journal, without doing anything twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from endpoints_gitops.codecs.plan import read_plan
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.operations.push import VARIABLE, Ground, carry_out, check_target
from endpoints_gitops.operations.pushed import PushResult
from endpoints_gitops.operations.workplace import Workplace
from endpoints_gitops.plan.changes import Plan
from endpoints_gitops.workspace.journal import forget, unfinished
from endpoints_gitops.workspace.state import held

_WHERE: Final = "the journal of the interrupted push"


def left_to_do(work: Workplace) -> Plan | None:
    """What of the last push is not known to be done, None where there is nothing.

    What the push left alone was told by it, and is not told again. Raises UsageError for a journal that cannot be read.
    """
    left = unfinished(work.state)
    if left is None:
        return None
    plan = read_plan(json.dumps(left.plan).encode(), _WHERE)
    rest = replace(
        plan,
        variables=tuple(one for one in plan.variables if VARIABLE + one.code_name not in left.done),
        changes=tuple(change for change in plan.changes if change.name not in left.done),
        left_alone=(),
        withheld=(),
    )
    return None if rest.is_empty else rest


def resume(work: Workplace, definitions: Sequence[LoadedDefinition]) -> PushResult | None:
    """Finish it; None where there was nothing left.

    Everything that is left is compared with one fresh list first: what was sent and landed is not sent again, and what
    somebody else changed meanwhile is left alone.
    """
    with held(work.state):
        plan = left_to_do(work)
        if plan is None:
            forget(work.state)
            return None
        check_target(work, plan)
        return carry_out(work, plan, Ground.look(work, plan, definitions))
