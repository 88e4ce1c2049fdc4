select try_cast(a as int)
select #1
select percentile_cont(0.5) within group (order by y)
select a from t order by a with fill from 1 to 5 step 1
select f(a := 1)
select count(x order by y), string_agg(x, ',' order by y desc)
select a from t group by rollup(a, b)
select a from t group by cube(a, b)
select a from t group by grouping sets ((a), (a,b), ())
select a from t group by all
select a from t limit 5 with ties
select a from t limit 5 offset 2 by x, y limit 10 offset 3
select a from t array join b as c, d as e where c
select a from t left array join b as c
select a from t as z final sample 0.1 offset 0.5 where a
select a from t final
select a from t sample 1/2
select a from t as x (a, b)
select a from (select 1) as x (a, b)
with recursive r as (select 1), s as (select 2) select * from r
with r as materialized (select 1) select * from r
with r as not materialized (select 1) select * from r
with r(a,b) as (select 1,2) select * from r
with 5 as b, a+1 as c select b
with (select 1) as b select b
select -a, - 1, -(-1), -(1), 0 - a, 1e400, -1e400, 9223372036854775808, 1.0, 1e10, 0x1f, .5, 1e-7, 123456789012345678901234567890, 1e25, 1e300
select f(a)(b), a.f(1), a.b.c(1), f(a)(b)(c), f()(b), (a + b)(c), (x -> x)(1)
select a::int, cast(a as Nullable(Int64)), a::Nullable(X), cast(a as decimal(10, 2)), (a+1)::text, -1::int, (-1)::int, a::int::text
select columns(a, b), columns('x'), * exclude (a), columns(* exclude (a)) from t
select lambda x: x+1, (a -> a+1, b), f((a,b) -> a+b, c), f(x -> x), x -> y -> x + y
select {'a': 1, b: 2}, {}
select {variables.x}, {variables['x y']}, {1 + 2}, {filters}, {{'a': 1}}
select a = b = c, a and b or c and d, not a and b, not (a and b), a between 1 and 2 and c, a in (1,2), a in (1), a in ((1,2)), a in (select 1), a in [1], a in (1,)
select a = (b = c), (a and b) and c, a and (b and c), a or (b or c), a and (b or c), not not a, not (not a), not(a), (not a) = b, not (a = b), not a = b
select a is null, a is not null, a = null, a != null, a is distinct from b, a is not distinct from b, (a is null) = b, a + b is null
select not a in (1), not a between 1 and 2, a not between 1 and 2, a between 1 + 1 and (b and c), (a between 1 and 2) between 1 and 2
select a is null is null, a in (1) in (2), a = 1 in (2), (a in (1)) = 2
select (1,), (1,2), (a), tuple(1), ((1,2),3)
select a ? b : c, a ?? b, a || b || c, a || (b || c)
select interval 1 day, interval '1 day', interval a day, toIntervalDay(1)
select if(a,b,c), case x when 1 then 2 end, case when a then 1 else 2 end, case when a then 1 when b then 2 end
select a[1], a['b'], a.1, a.b.1.c, (a, b).1, f(x).1, f(x)[1].c, a?.b, a?.1, a?.['x'], {variables.x}.y, (select 1).1, [1,2][1], (a+b)[1], 'x'[1], (x -> x).1, (1).1, 1.5.1
select a[1:2], a[:2], a[1:], a[:], a[b ? c : d : 2]
select sum(a) over (partition by b order by c desc rows between 1 preceding and current row), sum(a) over w, sum(a) over (), quantile(0.5)(x) over ()
select sum(a) over (order by c range between unbounded preceding and 1 following), sum(a) over (rows 1 preceding), sum(a) over (rows current row)
select a from x join y on a=b left join z using (a, b) cross join w, v
select a from x join y using a
select a from x asof join y on x.a=y.b any left join z on 1 left semi join q on 2 full outer join r on a or b right join s on a
select a in cohort 1, a not in cohort 'x'
select "a b", `a``b`, "a""b", a.`b c`, `select`, `1a`, `a\\b`, `*`, "a.b"
select 'it''s', 'a\nb', 'a\\b', '\x41', '\0', '{a}', f'x{a}y', f'x{a + 1}y', '\t\r\b\f\v\a'
select a as "a b", a `x`, a as select, (a as b) + 1, f(a as b)
select 1 union all select 2 limit 5
(select 1) union all (select 2) limit 5
(select 1 limit 3) union all (select 2 order by 1 limit 2) limit 5 offset 3
select 1 union all (select 2 union distinct select 3)
(select 1 union all select 2) union distinct select 3
((select 1 union all select 2) limit 2) union distinct select 3
select 1 union all select 2 union distinct select 3 intersect select 4 except select 5
select 1 union by name select 2
select 1 intersect all select 2
with x as (select 1) select * from x union all select * from x
(with x as (select 1) select * from x) union all select * from x
select * from (select 1 union all select 2) as x
select * from (x join y on a=b)
select * from ((select 1) as x join y on a=b) join z on 1
select * from {variables.t} as x
select * from numbers(5) as n, numbers() 
select * from a.b.c
select * from (values (1,2),(3,4)) as x(a,b)
select distinct a, b
select a from t prewhere b where c group by a having d order by e desc, f
select grouping(a) from t group by cube(a)
select 1 as a limit 5, 10
select 1 offset 3
select 1 limit {variables.x} offset 1+1
select exists(select 1), (select 1), array(select 1), not exists(select 1), (select 1) + 1, (select 1 union all select 2)
select a from t where {filters}
select f(*), count(*), count(t.*), t.*, count(distinct a, b), count(distinct a) filter (where b)
select -1 + 2, 2 - -1, 2 - (0 - a), 1 - (2 - 3), (1 - 2) - 3, 2 * (1+2), a % b / c, a * (b / c), a / (b * c), -a * b, -(a * b), 2 * -a, 2 * -1
select a like b, a not ilike b, a =~ b, a !~* b, a not like b, a not in (1)
select true, false, null, inf, nan, -inf
select trim(both 'x' from a), trim(a)
select and(a, b), or(a, b), not(a), `and`(a), equals(a,b), in(a, b), like(a, b), `null`(1), `cast`(a)
select x -> x ? 1 : 2
select a.*, b.* from a join b on a.x = b.x
select `node` from t window `node` as (order by a)
select {x -> x}
select 1 from t as `select` join (select 1) as `where` on 1
select * from (select 1)
select * from events where a = (b in (1))
select a -- c
select a from t qualify row_number() over w = 1 window w as (partition by a order by b), v as () order by a
select team_id from t
select `team_id` from t
select a.`null` from t
select `null` from t
select a as `from`, `true`
select {variables.`a b`}
select #1, (1).1, (1.5).2, a[1].2.3
with a as (select 1), 1 as b select 1
select a[x -> x], (a as b)[1], [a as b], (a as b, c)
select (select 1) in (select 2), a in ((select 1)), (((select 1)))
select not (select a from t limit 1), not a = a = b, not x -> a, not a is null between 1 and 2
select a ?? (x -> a), f((x -> a), b), f(a, (x -> b)), b, (x -> c)
select (a between 1 and 2) = b, (a between 1 and 2) is null, (a is distinct from b) = c, a between 1 and (b = c)
