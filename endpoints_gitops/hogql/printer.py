"""Print a tree as HogQL text, from which the parser reads the same query.

Every tree of the parser can be printed, except those with parts that the server refuses anyway (PIVOT, tags of HogQLX)
and NOT before some operands: these are Unprintable. No function recurses, so a tree can have any depth.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from endpoints_gitops.hogql.parser import Tree
from endpoints_gitops.hogql.syntax_tree import fold
from endpoints_gitops.model.json import Json

_FIRST: Final = frozenset(string.ascii_letters + "_$")
_LATER: Final = _FIRST | frozenset(string.digits)

_KEYWORDS: Final = """
all and any anti array as asc asof between by case cast catch columns cross cube desc distinct else end except
exclude exists false fill filter final finally fn following for from full fun global group grouping having if ilike
in inf infinity inner intersect interval into is join lambda left let like limit materialized nan not null offset on
or order outer over partition pivot preceding prewhere qualify range recursive replace right rollup rows sample
select semi settings team_id then throw ties top totals trim true try try_cast unbounded union unpivot using values
when where while window with within
"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())
"""Words that are quoted with backticks as names of columns, tables and aliases; more than the parser requires."""

_NOT_CALLED: Final = """
cast catch columns distinct except finally fn fun inf infinity intersect let materialized nan null throw try
try_cast while within
"""
NOT_CALLED: Final = frozenset(_NOT_CALLED.split())
"""Words that are quoted as names of functions; `not(x)`, `if(x, y, z)` and `exists(…)` are valid calls."""

NOT_AFTER_DOT: Final = NOT_CALLED | {"true", "false"}
"""Words that are quoted even after a dot."""


def is_plain(word: str) -> bool:
    """Whether the word has only characters that need no backticks: ASCII letters, digits, `_` and `$`."""
    return bool(word) and word[0] in _FIRST and _LATER.issuperset(word)


class Unprintable(ValueError):
    """The tree has a part that cannot be printed; `message` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} cannot be printed as HogQL")
        self.message = str(self)


class Piece(NamedTuple):
    """A printed part. `binds` is its precedence: an operand that binds less tightly than its operator needs
    parentheses."""

    text: str
    binds: int


QUERY, LAMBDA, ITEM, OR, AND, NOT, WITHIN, COMPARED, SUM, PRODUCT, SIGNED, ATOM = range(12)

type Print = Callable[[dict[str, Any]], Piece]

_PRINTERS: Final[dict[str, Print]] = {}
_SPECIAL_NUMBERS: Final = {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}
_LEAVES: Final = ("Field", "Constant")
_SIGNS: Final = {"==": "="}


def printed(value: Any) -> str:  # noqa: ANN401 - a piece that a fold made
    assert isinstance(value, Piece)
    return value.text


def prints(*kinds: str) -> Callable[[Print], Print]:
    """Register the printer of these kinds of nodes."""

    def register(printer: Print) -> Print:
        _PRINTERS.update(dict.fromkeys(kinds, printer))
        return printer

    return register


def name(word: str) -> str:
    """An identifier, in backticks if the parser would read it differently."""
    return _bare_unless(word, KEYWORDS)


def quoted(word: str) -> str:
    return "`" + word.replace("\\", "\\\\").replace("`", "``") + "`"


def _function(word: str) -> str:
    return _bare_unless(word, NOT_CALLED)


def _part(word: str, reserved: frozenset[str]) -> str:
    return word if word == "*" else _bare_unless(word, reserved)


def _bare_unless(word: str, reserved: frozenset[str]) -> str:
    return word if is_plain(word) and word.lower() not in reserved else quoted(word)


def operand(piece: Piece, least: int) -> str:
    return piece.text if piece.binds >= least else f"({piece.text})"


def listed(pieces: Iterable[Piece] | None) -> str:
    """A comma-separated list. A lambda after the first item needs parentheses, because it would include the previous
    name."""
    return ", ".join(operand(piece, ITEM if index else LAMBDA) for index, piece in enumerate(pieces or ()))


def piece_of(node: dict[str, Any]) -> Any:  # noqa: ANN401 - a Piece; dicts that are not nodes stay unchanged
    kind = node.get("node")
    if not isinstance(kind, str):
        return node
    if kind not in _PRINTERS:
        raise Unprintable(kind)
    try:
        return _PRINTERS[kind](node)
    except UnboundVariable as error:
        raise Unprintable(f"{kind} ({error.message})") from None


@prints("Constant")
def _constant(node: dict[str, Any]) -> Piece:
    value = node.get("value")
    if node.get("value_type") == "number" and isinstance(value, str):
        text = _SPECIAL_NUMBERS.get(value, value)
    else:
        text = literal(value)
    return Piece(text, SIGNED if text.startswith("-") else ATOM)


@prints("Field")
def _field(node: dict[str, Any]) -> Piece:
    first, *later = map(str, node["chain"])
    return Piece(".".join([_part(first, KEYWORDS), *(_part(part, NOT_AFTER_DOT) for part in later)]), ATOM)


@prints("Alias")
def _alias(node: dict[str, Any]) -> Piece:
    return Piece(f"{operand(node['expr'], OR)} AS {name(node['alias'])}", ITEM)


@prints("Placeholder")
def _placeholder(node: dict[str, Any]) -> Piece:
    return Piece(f"{{{operand(node['expr'], LAMBDA)}}}", ATOM)


@prints("Call")
def _call(node: dict[str, Any]) -> Piece:
    inside = ("DISTINCT " if node.get("distinct") else "") + listed(node.get("args"))
    if node.get("order_by"):
        inside += f" ORDER BY {listed(node['order_by'])}"
    function = _function(node["name"])
    parameters = f"({listed(node['params'])})" if node.get("params") is not None else ""
    if node.get("within_group"):
        text = f"{function}{parameters or f'({inside})'} WITHIN GROUP (ORDER BY {listed(node['within_group'])})"
    else:
        text = f"{function}{parameters}({inside})"
    condition = node.get("filter_expr")
    return Piece(f"{text} FILTER (WHERE {condition.text})" if condition else text, ATOM)


@prints("ExprCall")
def _expression_call(node: dict[str, Any]) -> Piece:
    return Piece(f"{operand(node['expr'], ATOM)}({listed(node['args'])})", ATOM)


@prints("NamedArgument")
def _named_argument(node: dict[str, Any]) -> Piece:
    return Piece(f"{name(node['name'])} := {operand(node['value'], OR)}", ITEM)


@prints("Lambda")
def _lambda(node: dict[str, Any]) -> Piece:
    arguments = ", ".join(map(name, node["args"]))
    return Piece(
        f"{arguments if len(node['args']) == 1 else f'({arguments})'} -> {operand(node['expr'], LAMBDA)}", LAMBDA
    )


@prints("Or")
def _or(node: dict[str, Any]) -> Piece:
    return Piece(" OR ".join(operand(part, AND) for part in node["exprs"]), OR)


@prints("And")
def _and(node: dict[str, Any]) -> Piece:
    return Piece(" AND ".join(operand(part, NOT) for part in node["exprs"]), AND)


@prints("Not")
def _not(node: dict[str, Any]) -> Piece:
    """NOT. `NOT (` begins a call, so an operand that begins with parentheses cannot be printed."""
    inner: Piece = node["expr"]
    if inner.binds == QUERY:
        return Piece(f"NOT ({inner.text})", NOT)
    if inner.text.startswith("("):
        raise Unprintable("NOT in front of brackets")
    return Piece(f"NOT {inner.text}", min(NOT, inner.binds))


@prints("CompareOperation")
def _compare(node: dict[str, Any]) -> Piece:
    """A comparison. `a = b = c` is left-associative: parentheses after NOT would make it a call."""
    left, right, sign = operand(node["left"], COMPARED), node["right"], node["op"]
    if node.get("is_null_comparison_style"):
        return Piece(f"{left} IS {'NOT ' if sign == '!=' else ''}NULL", COMPARED)
    return Piece(f"{left} {_SIGNS.get(sign, sign.upper())} {operand(right, SUM)}", COMPARED)


@prints("IsDistinctFrom")
def _distinct_from(node: dict[str, Any]) -> Piece:
    word = "IS NOT DISTINCT FROM" if node.get("negated") else "IS DISTINCT FROM"
    return Piece(f"{operand(node['left'], COMPARED)} {word} {operand(node['right'], SUM)}", WITHIN)


@prints("BetweenExpr")
def _between(node: dict[str, Any]) -> Piece:
    word = "NOT BETWEEN" if node.get("negated") else "BETWEEN"
    low, high = operand(node["low"], SUM), operand(node["high"], SUM)
    return Piece(f"{operand(node['expr'], COMPARED)} {word} {low} AND {high}", WITHIN)


@prints("ArithmeticOperation")
def _arithmetic(node: dict[str, Any]) -> Piece:
    binds = SUM if node["op"] in "+-" else PRODUCT
    return Piece(f"{operand(node['left'], binds)} {node['op']} {operand(node['right'], binds + 1)}", binds)


@prints("Array")
def _array(node: dict[str, Any]) -> Piece:
    return Piece(f"[{listed(node['exprs'])}]", ATOM)


@prints("Tuple", "GroupingSet")
def _tuple(node: dict[str, Any]) -> Piece:
    comma = "," if len(node["exprs"]) == 1 and node["node"] == "Tuple" else ""
    return Piece(f"({listed(node['exprs'])}{comma})", ATOM)


@prints("Dict")
def _dict(node: dict[str, Any]) -> Piece:
    pairs = (f"{operand(key, OR)}: {operand(value, OR)}" for key, value in node["items"])
    return Piece(f"{{{', '.join(pairs)}}}", ATOM)


@prints("ArrayAccess")
def _array_access(node: dict[str, Any]) -> Piece:
    mark = "?." if node.get("nullish") else ""
    return Piece(f"{operand(node['array'], ATOM)}{mark}[{operand(node['property'], OR)}]", ATOM)


@prints("TupleAccess")
def _tuple_access(node: dict[str, Any]) -> Piece:
    """A tuple access; a number before the dot needs parentheses, because it would become a decimal."""
    base = operand(node["tuple"], ATOM)
    base = f"({base})" if base[0].isdigit() else base
    return Piece(f"{base}{'?.' if node.get('nullish') else '.'}{node['index']}", ATOM)


@prints("PositionalRef")
def _positional(node: dict[str, Any]) -> Piece:
    return Piece(f"#{node['index']}", ATOM)


@prints("ArraySlice")
def _slice(node: dict[str, Any]) -> Piece:
    start, end = (operand(node[key], OR) if node.get(key) else "" for key in ("start_expr", "end_expr"))
    return Piece(f"{operand(node['array'], ATOM)}[{start}:{end}]", ATOM)


@prints("TypeCast", "TryCast")
def _cast(node: dict[str, Any]) -> Piece:
    word = "CAST" if node["node"] == "TypeCast" else "TRY_CAST"
    return Piece(f"{word}({operand(node['expr'], OR)} AS {node['type_name']})", ATOM)


@prints("ColumnsExpr")
def _columns(node: dict[str, Any]) -> Piece:
    if node.get("replace"):
        raise Unprintable("COLUMNS with REPLACE")
    excluded = f" EXCLUDE ({', '.join(map(name, node['exclude']))})" if node.get("exclude") else ""
    if node.get("all_columns"):
        return Piece(f"*{excluded}", ATOM)
    inside = literal(node["regex"]) if node.get("regex") is not None else listed(node.get("columns"))
    return Piece(f"COLUMNS({inside}){excluded}", ATOM)


@prints("WindowFunction")
def _window_function(node: dict[str, Any]) -> Piece:
    arguments = f"({listed(node.get('exprs'))})" + (f"({listed(node['args'])})" if node.get("args") else "")
    over = name(node["over_identifier"]) if node.get("over_identifier") else f"({printed(node['over_expr'])})"
    return Piece(f"{_function(node['name'])}{arguments} OVER {over}", ATOM)


class UnboundVariable(ValueError):
    """A placeholder without a value, or one that is not a variable; `message` names it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def literal(value: Json) -> str:
    """The HogQL literal of a JSON value. Lists become arrays; objects have no literal. Raises UnboundVariable."""
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        raise UnboundVariable("a variable's value is text, a number, a truth value or a list of those, not an object")
    return f"[{', '.join(literal(item) for item in value)}]"


def _quoted(text: str) -> str:
    if "\0" in text:
        raise UnboundVariable("a zero byte cannot be written in HogQL: the parser drops it")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    for character, spelled in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, spelled)
    return f"'{escaped}'"


_GROUPINGS: Final = {"rollup": "ROLLUP ({})", "cube": "CUBE ({})", "grouping_sets": "GROUPING SETS ({})"}
_SELECT_KEYS: Final = """
node start end ctes select distinct select_from array_join_op array_join_list prewhere where group_by group_by_mode
having qualify window_exprs order_by limit_by limit limit_with_ties offset
"""
_KNOWN: Final = frozenset(_SELECT_KEYS.split())
_CLAUSES: Final = (("prewhere", "PREWHERE"), ("where", "WHERE"))


@prints("SelectQuery")
def _select(node: dict[str, Any]) -> Piece:
    unknown = sorted(key for key in node if key not in _KNOWN and node[key])
    if unknown:
        raise Unprintable(f"SELECT with {', '.join(unknown)}")
    return Piece(" ".join(select_clauses(node, listed(node["select"]))), QUERY)


def select_clauses(node: dict[str, Any], columns: str) -> list[str]:
    """The clauses of a SELECT whose children are printed; `columns` is the text of its columns."""
    parts = [
        _with(node.get("ctes")),
        f"SELECT {'DISTINCT ' if node.get('distinct') else ''}{columns}",
        f"FROM {printed(node['select_from'])}" if node.get("select_from") else "",
        f"{node['array_join_op']} {listed(node['array_join_list'])}" if node.get("array_join_list") else "",
        *(_clause(word, node.get(key)) for key, word in _CLAUSES),
        _group_by(node),
        _clause("HAVING", node.get("having")),
        _clause("QUALIFY", node.get("qualify")),
        _windows(node.get("window_exprs")),
        f"ORDER BY {listed(node['order_by'])}" if node.get("order_by") else "",
        printed(node["limit_by"]) if node.get("limit_by") else "",
        _limit(node),
    ]
    return [part for part in parts if part]


@prints("SelectSetQuery")
def _set(node: dict[str, Any]) -> Piece:
    """A set. All arms are in parentheses, because the last one would otherwise include the limit of the set."""
    later = (printed(arm) for arm in node["subsequent_select_queries"])
    text = " ".join([operand(node["initial_select_query"], LAMBDA), *later])
    return Piece(" ".join(filter(None, [text, _limit(node)])), QUERY)


@prints("SelectSetNode")
def _arm(node: dict[str, Any]) -> Piece:
    return Piece(f"{node['set_operator']} {operand(node['select_query'], LAMBDA)}", QUERY)


@prints("CTE")
def _cte(node: dict[str, Any]) -> Piece:
    if node.get("cte_type") == "column":
        return Piece(f"{operand(node['expr'], OR)} AS {name(node['name'])}", QUERY)
    columns = f"({', '.join(map(name, node['columns']))})" if node.get("columns") else ""
    hint = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[node.get("materialized")]
    text = f"{name(node['name'])}{columns} AS {hint}{operand(node['expr'], LAMBDA)}"
    return Piece(f"RECURSIVE {text}" if node.get("recursive") else text, QUERY)


@prints("JoinExpr")
def _join(node: dict[str, Any]) -> Piece:
    text = operand(node["table"], LAMBDA)
    if node.get("table_args") is not None:
        text += f"({listed(node['table_args'])})"
    if node.get("alias"):
        text += f" AS {name(node['alias'])}"
    if node.get("column_aliases"):
        text += f" ({', '.join(map(name, node['column_aliases']))})"
    text += " FINAL" if node.get("table_final") else ""
    parts = [node.get("join_type"), text, *(printed(node[key]) for key in _AFTER_TABLE if node.get(key))]
    return Piece(" ".join(filter(None, parts)), QUERY)


_AFTER_TABLE: Final = ("sample", "constraint", "next_join")


@prints("JoinConstraint")
def _constraint(node: dict[str, Any]) -> Piece:
    if node["constraint_type"] == "USING":
        return Piece(f"USING {printed(node['expr'])}", QUERY)
    return Piece(f"ON {operand(node['expr'], OR)}", QUERY)


@prints("SampleExpr")
def _sample(node: dict[str, Any]) -> Piece:
    offset = f" OFFSET {printed(node['offset_value'])}" if node.get("offset_value") else ""
    return Piece(f"SAMPLE {printed(node['sample_value'])}{offset}", QUERY)


@prints("RatioExpr")
def _ratio(node: dict[str, Any]) -> Piece:
    right = f"/{operand(node['right'], ATOM)}" if node.get("right") else ""
    return Piece(f"{operand(node['left'], ATOM)}{right}", QUERY)


@prints("ValuesQuery")
def _values(node: dict[str, Any]) -> Piece:
    return Piece(f"VALUES {', '.join(f'({listed(row)})' for row in node['rows'])}", QUERY)


@prints("OrderExpr")
def _order(node: dict[str, Any]) -> Piece:
    text = operand(node["expr"], OR) + (" DESC" if node.get("order") == "DESC" else "")
    fill = node.get("with_fill")
    return Piece(f"{text} {printed(fill)}" if fill else text, ITEM)


@prints("WithFillExpr")
def _fill(node: dict[str, Any]) -> Piece:
    known = {"from_value": "FROM", "to_value": "TO", "step_value": "STEP", "staleness_value": "STALENESS"}
    edges = (f"{word} {operand(node[key], OR)}" for key, word in known.items() if node.get(key))
    return Piece(" ".join(["WITH FILL", *edges]), QUERY)


@prints("LimitByExpr")
def _limit_by(node: dict[str, Any]) -> Piece:
    offset = f" OFFSET {operand(node['offset_value'], OR)}" if node.get("offset_value") else ""
    return Piece(f"LIMIT {operand(node['n'], OR)}{offset} BY {listed(node['exprs'])}", QUERY)


@prints("WindowExpr")
def _window(node: dict[str, Any]) -> Piece:
    parts = [
        f"PARTITION BY {listed(node['partition_by'])}" if node.get("partition_by") else "",
        f"ORDER BY {listed(node['order_by'])}" if node.get("order_by") else "",
        _frame(node),
    ]
    return Piece(" ".join(filter(None, parts)), QUERY)


@prints("WindowFrameExpr")
def _edge(node: dict[str, Any]) -> Piece:
    kind, value = node["frame_type"], node.get("frame_value")
    return Piece(kind if kind == "CURRENT ROW" else f"{'UNBOUNDED' if value is None else value} {kind}", QUERY)


def _frame(node: dict[str, Any]) -> str:
    if not node.get("frame_method"):
        return ""
    start = printed(node["frame_start"])
    end = f"BETWEEN {start} AND {printed(node['frame_end'])}" if node.get("frame_end") else start
    return f"{node['frame_method']} {end}"


def _with(ctes: list[Piece] | None) -> str:
    """The WITH clause; RECURSIVE is written once for all CTEs."""
    if not ctes:
        return ""
    texts = [printed(cte) for cte in ctes]
    recursive = any(text.startswith("RECURSIVE ") for text in texts)
    inside = ", ".join(text.removeprefix("RECURSIVE ") for text in texts)
    return f"WITH {'RECURSIVE ' if recursive else ''}{inside}"


def _clause(word: str, condition: Piece | None) -> str:
    return f"{word} {operand(condition, OR)}" if condition else ""


def _group_by(node: dict[str, Any]) -> str:
    mode = node.get("group_by_mode")
    if mode == "all":
        return "GROUP BY ALL"
    if not node.get("group_by"):
        return ""
    return f"GROUP BY {_GROUPINGS.get(mode or '', '{}').format(listed(node['group_by']))}"


def _windows(windows: dict[str, Piece] | None) -> str:
    if not windows:
        return ""
    return "WINDOW " + ", ".join(f"{name(word)} AS ({printed(window)})" for word, window in windows.items())


def _limit(node: dict[str, Any]) -> str:
    limit, offset = node.get("limit"), node.get("offset")
    parts = [
        f"LIMIT {operand(limit, OR)}" if limit else "",
        "WITH TIES" if limit and node.get("limit_with_ties") else "",
        f"OFFSET {operand(offset, OR)}" if offset else "",
    ]
    return " ".join(filter(None, parts))


def print_hogql(tree: Tree) -> str:
    """The text of a query or a part of it. Raises Unprintable."""
    is_leaf = tree.get("node") in _LEAVES
    return printed(piece_of(tree) if is_leaf else fold(tree, piece_of))


def readable(tree: Tree) -> str:
    """The text for messages; a part that cannot be printed is shown as its kind."""
    try:
        return print_hogql(tree)
    except Unprintable:
        return f"<{tree.get('node', '?')}>"
