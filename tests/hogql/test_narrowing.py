"""Which conditions prove that a query returns only rows of one tenant. What is not listed as accepted is refused."""

from __future__ import annotations

import pytest

from endpoints_gitops.hogql.narrowing import is_scoped

V = "{variables.org}"

ACCEPTED_CONDITIONS = [
    f"properties.org = {V}",
    f"{V} = properties.org",
    f"properties['org'] = {V}",
    "properties.org = {variables['org']}",
    f"e.properties.org = {V}",
    f"person.properties.org = {V}",
    f"$group_0 = {V}",
    f"properties.org in {V}",
    f"properties.org in ({V})",
    f"properties.org in [{V}]",
    f"properties.org in ({V}, {V})",
    f"equals(properties.org, {V})",
    f"in(properties.org, {V})",
    f"event = 'x' and (properties.org = {V} and 1)",
    f"and(event = 'x', properties.org = {V})",
    f"toString(person_id) = {V}",
    f"person_id::text = {V}",
    f"(properties.org as o) = {V}",
]
REFUSED_CONDITIONS = [
    "1",
    f"properties.org = coalesce({V}, properties.org)",
    f"properties.org = if({V} = '', properties.org, {V})",
    f"coalesce(properties.org, {V}) = {V}",
    f"ifNull(properties.org, {V}) = {V}",
    f"{V} = {V}",
    f"{V} = 'acme'",
    f"'acme' = {V}",
    f"length({V}) = 4",
    f"properties.org = lower({V})",
    f"lower(properties.org) = {V}",
    f"properties.org = toString({V})",
    "properties.org = {variables.org || ''}",
    "properties.org = {variables.org.x}",
    "properties.org = {variables.other}",
    f"properties.org = {V} or 1",
    f"or(properties.org = {V}, 1)",
    f"not properties.org = {V}",
    f"not (properties.org != {V})",
    f"not not (properties.org = {V})",
    f"(properties.org = {V}) = 1",
    f"(properties.org = {V} as is_mine)",
    f"if(1, properties.org = {V}, 1)",
    f"properties.org = {V} ? 1 : 1",
    f"properties.org != {V}",
    f"properties.org >= {V}",
    f"properties.org like {V}",
    f"properties.org =~ {V}",
    f"properties.org between {V} and {V}",
    f"properties.org is not distinct from {V}",
    f"properties.org not in {V}",
    f"properties.org in ({V}, 'acme')",
    f"properties.org in ({V}, properties.org)",
    "properties.org in ({variables.org}, {variables.other})",
    f"{V} in (properties.org, 'acme')",
    f"has({V}, properties.org)",
    f"has([{V}], properties.org)",
    f"properties.org in (select {V})",
    f"properties.org = (select {V})",
    f"(properties.org, event) = ({V}, 'x')",
    f"(properties.org, event) in ({V}, 'x')",
    f"concat(properties.org, '') = {V}",
    f"arrayExists(x -> properties.org = {V}, [1])",
    f"arrayJoin([properties.org, {V}]) = {V}",
    f"min(properties.org) = {V}",
    f"indexHint(properties.org = {V})",
    f"toString(properties)['org'] = {V}",
]


@pytest.mark.parametrize("condition", ACCEPTED_CONDITIONS)
@pytest.mark.parametrize("clause", ["where", "prewhere"])
def test_a_column_compared_with_the_bare_variable_narrows(clause: str, condition: str) -> None:
    assert is_scoped(f"select event from events as e {clause} {condition}", "org")


@pytest.mark.parametrize("condition", REFUSED_CONDITIONS)
def test_any_other_condition_proves_nothing(condition: str) -> None:
    assert not is_scoped(f"select event from events as e where {condition}", "org")


EVENTS = f"(select * from events where properties.org = {V})"
ACCEPTED_QUERIES = [
    "select 1",
    f"select {V}",
    "select number from numbers(5)",
    f"select 1 from {EVENTS}",
    f"with q as {EVENTS} select * from q",
    f"with q as {EVENTS}, r as (select * from q) select * from r as a join q as b on a.uuid = b.uuid",
    f"with q as (select * from events) select * from q where properties.org = {V}",
    f"with q as (select properties.org as org from events) select * from q where org = {V}",
    f"with q(a) as (select properties.org from events) select * from q where a = {V}",
    f"select * from (select properties from events) where properties.org = {V}",
    f"select * from (select *, 1 as one from events) where properties.org = {V}",
    f"select * from (select properties.org as org, count() from events group by org) where org = {V}",
    f"select * from (select properties.org as org, count() from events group by properties.org) where org = {V}",
    f"select * from (select distinct properties.org as org from events) as s where s.org = {V}",
    f"select * from (select distinct_id as org from events union all select id from accounts) where org = {V}",
    f"select properties.org as org from events where org = {V}",
    f"select org as org from accounts where org = {V}",
    f"select event, properties.org as org from events where org = {V} group by event, org having count() > 1",
    f"select 1 from a join b on a.org = b.org where a.org = {V}",
    f"select 1 from a join b on a.org = b.org and a.org = {V}",
    f"select 1 from a join b on a.id = b.id where a.org = {V} and b.org = {V}",
    f"select 1 from a, b where a.org = {V} and b.org = a.org",
    f"select 1 from a left join b on a.org = b.org where a.org = {V}",
    f"select 1 from a left join b on a.id = b.id and b.org = {V} where a.org = {V}",
    f"select 1 from a full join b on a.id = b.id where a.org = {V} and b.org = {V}",
    f"select 1 from events as e join (select id from accounts where org = {V}) as a on e.x = a.id where e.y = {V}",
    f"select event, x from events array join elements_chain_texts as x where properties.org = {V}",
    f"select 1 from events where org = {V} union all select 2 from events where org = {V}",
    f"select 1 from events where org = {V} except select 2 from events where org = {V}",
    f"select (select count() from events where org = {V}) from events where org = {V}",
    f"select event from events join persons on person_id = persons.id where event = {V} and persons.id = {V}",
]
REFUSED_QUERIES = [
    "select 1 from events",
    f"select {V} from events",
    f"select 1 from events group by org having org = {V}",
    f"select org, {V} from events qualify org = {V}",
    f"select 1 from {EVENTS} as s join events as e on s.a = e.a",
    f"select 1 from {EVENTS} as s, events",
    f"select 1 from events where org = {V} union all select 2 from events",
    f"select 2 from events union all select 1 from events where org = {V}",
    f"select 1 from events where org = {V} except select 1 from events",
    f"select (select count() from events) from events where org = {V}",
    f"select event from events where org = {V} and x > (select avg(x) from events)",
    f"select event from events where org = {V} and event in (select event from events)",
    f"select event from events where org = {V} order by (select 1 from events)",
    f"select count() as n from events where org = {V} having n > (select 1 from events)",
    f"with (select count() from events) as n select n from events where org = {V}",
    f"with q as {EVENTS} select * from events",
    "with events as (select * from events) select * from events",
    f"with q as (select * from events), r as {EVENTS} select * from q, r",
    f"with events as (select 'x' as org from events) select * from events where org = {V}",
    f"select 'acme' as org from events where org = {V}",
    f"select {V} as org from events where org = {V}",
    f"select lower(properties.org) as org from events where org = {V}",
    f"select '{{}}' as properties from events where properties.org = {V}",
    f"select concat('acme' as org, 'x') from events where org = {V}",
    f"with 'acme' as org select event from events where org = {V}",
    f"select org from accounts array join ['acme'] as org where org = {V}",
    f"select 1 from accounts left array join orgs as org where org = {V}",
    f"select * from (select event, 'acme' as org from events) where org = {V}",
    f"select * from (select *, 'acme' as org from events) where org = {V}",
    f"select * from (select any(properties.org) as org, count() from events) where org = {V}",
    f"select * from (select properties.org as org, count() from events group by event) where org = {V}",
    f"select * from (select properties.org as org, count() from events group by rollup(org)) where org = {V}",
    f"select * from (select properties.org as org, count() over () as n from events) where org = {V}",
    f"select * from (select 'x' as org from a union all select org from b) where org = {V}",
    f"select * from (select org from a union all select 'x' from b) where org = {V}",
    f"select * from (select * from a union all select * from b) where org = {V}",
    f"with q(org) as (select 'x', org from a) select * from q where org = {V}",
    f"select 1 from a join b on a.id = b.id where a.org = {V}",
    f"select 1 from a join b on a.id = b.id where org = {V}",
    f"select 1 from a left join b on a.org = {V} and b.org = {V}",
    f"select 1 from a left join b on a.org = b.org and b.org = {V}",
    f"select 1 from a left join b on a.org = b.org where b.org = {V}",
    f"select 1 from a right join b on a.org = {V} and b.org = {V}",
    f"select 1 from a full join b on a.org = b.org and a.org = {V}",
    f"select 1 from a join b on a.org = b.org and a.org = {V} full join c on c.id = a.id",
    f"select 1 from a left join b on a.id = b.id left join c on b.org = c.org where a.org = {V}",
    f"select 1 from a join b on a.org = b.org or a.org = {V}",
    f"select 1 from a left anti join b on a.org = {V} and b.org = {V}",
    f"select 1 from a join b on a.id = b.id prewhere a.org = {V}",
    "select 1 from {variables.org}",
    f"select 1 from s3('x') where org = {V}",
    "select 1 from events where org = {variables.other}",
    "with recursive q as (select 1 from events where org = {variables.org}) select * from q",
]


@pytest.mark.parametrize("sql", ACCEPTED_QUERIES)
def test_every_relation_is_narrowed(sql: str) -> None:
    assert is_scoped(sql, "org")


@pytest.mark.parametrize("sql", REFUSED_QUERIES)
def test_a_relation_is_not_proven_to_be_narrowed(sql: str) -> None:
    assert not is_scoped(sql, "org")


def test_ctes_that_read_each_other_twice_are_proven_once() -> None:
    parts = [f"a0 as {EVENTS}"]
    parts += [f"a{n} as (select l.x from a{n - 1} l join a{n - 1} r on l.x = r.x)" for n in range(1, 30)]
    assert is_scoped(f"with {', '.join(parts)} select x from a29", "org")


def test_a_deep_expression_is_followed() -> None:
    assert is_scoped(f"select 1 from accounts where {'toString(' * 400}org{')' * 400} = {V}", "org")
