"""What functions give, as a table: the kind of the result, then the functions (docs/server.md#hogql).

The kind `same` is that of the first argument, `item` that of the first array's items, `[string]` an array of
strings. A mark after the kind says when the result can be NULL: none where an argument can, `!` never, `?` always.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.hogql.types import Kind

_FUNCTIONS: Final = """
integer: gcd lcm sign roundDuration roundAge
integer: factorial toYear toQuarter toMonth toDayOfYear toDayOfMonth toHour toMinute toSecond toISOYear toISOWeek
integer: toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss timeZoneOffset toUnixTimestamp toUnixTimestamp64Milli toDayOfWeek
integer: toWeek toYearWeek age dateDiff date_diff lengthUTF8 isValidUTF8 ascii position positionCaseInsensitive
integer: positionUTF8 positionCaseInsensitiveUTF8 locate countSubstrings countSubstringsCaseInsensitive
integer: countSubstringsCaseInsensitiveUTF8 endsWith startsWith match countMatches countMatchesCaseInsensitive
integer: hasToken hasTokenCaseInsensitive isEmpty isNotEmpty empty notEmpty length isValidJSON JSONHas JSONLength
integer: port bitCount isFinite isInfinite isNaN toIntOrZero cityHash64 _toInt8 _toInt16 _toInt32
integer: _toInt64 _toUInt8 _toUInt16 _toUInt32 _toUInt64
integer!: isNull isNotNull in notIn rand
integer!: has hasAll hasAny hasSubstr indexOf countEqual arrayCount arrayUniq arrayExists arrayAll arrayFirstIndex
integer!: arrayLastIndex exists
integer?: toInt
float: divide exp log ln exp2 exp10 log2 log10 log1p sqrt cbrt erf erfc lgamma tgamma sin cos tan asin acos atan sinh
float: cosh asinh acosh atanh degrees radians atan2 hypot pow power min2 max2 ngramDistance
float: ngramDistanceCaseInsensitive toFloatOrZero
float!: e pi
float?: toFloat
decimal?: toDecimal
string: toString lower upper lowerUTF8 upperUTF8 reverseUTF8 toValidUTF8 base64Encode base64Decode tryBase64Decode
string: base58Encode encodeXMLComponent decodeXMLComponent extractTextFromHTML regexpQuoteMeta initcap hex unhex
string: monthName dateName repeat appendTrailingCharIfAbsent left right format concatWithSeparator leftPad rightPad
string: leftPadUTF8 rightPadUTF8 lpad rpad regexpExtract substring substringUTF8 replace replaceAll replaceOne
string: replaceRegexpAll replaceRegexpOne translate extract trim btrim ltrim rtrim trimLeft trimRight split_part
string: formatDateTime to_char md5 protocol domain domainWithoutWWW topLevelDomain firstSignificantSubdomain
string: cutToFirstSignificantSubdomain path pathFull queryString fragment netloc decodeURLComponent
string: encodeURLComponent cutWWW cutQueryString cutFragment extractURLParameter cutURLParameter JSONExtractString
string: JSONExtractRaw formatReadableSize formatReadableDecimalSize formatReadableQuantity formatReadableTimeDelta
string:
string: toJSONString
string!: concat toTypeName arrayStringConcat timeZoneOf
boolean: toBool
uuid?: toUUID
date: toMonday toStartOfYear toStartOfISOYear toStartOfQuarter toStartOfMonth toLastDayOfMonth toStartOfWeek
date: toLastDayOfWeek
date!: today current_date yesterday
datetime: toStartOfDay toStartOfHour toStartOfMinute toStartOfFiveMinutes toStartOfTenMinutes
datetime: toStartOfFifteenMinutes timeSlot fromUnixTimestamp
datetime64!: now current_timestamp
datetime64: toStartOfSecond fromUnixTimestamp64Milli
datetime64?: toDateTimeUS parseDateTimeBestEffort
datetime?: parseDateTime
interval: toIntervalSecond toIntervalMinute toIntervalHour toIntervalDay toIntervalWeek toIntervalMonth
interval: toIntervalQuarter toIntervalYear
[string]!: splitByChar splitByString splitByRegexp splitByWhitespace splitByNonAlpha alphaTokens tokens extractAll
[string]!: extractURLParameters extractURLParameterNames URLHierarchy JSONExtractKeys JSONExtractArrayRaw
[integer]!: arrayEnumerate arrayEnumerateDense arrayEnumerateUniq
[unknown]!: arrayConcat arrayMap arrayZip arrayCumSum arraySplit arrayFill arrayDifference arrayFlatten mapKeys
[unknown]!: mapValues extractAllGroups extractAllGroupsHorizontal extractAllGroupsVertical timeSlots arrayWithConstant
number: negate abs roundToExp2
same: floor ceil trunc round roundBankers
same!: arraySort arrayReverseSort arrayResize arraySlice arrayPopBack arrayPopFront
same!: arrayReverse arrayCompact
[unknown]!: arrayIntersect
same!: assumeNotNull
same?: toNullable nullIf
tuple!: tuple map
"""

_AGGREGATES: Final = """
integer!: count countDistinct uniq uniqExact uniqHLL12 uniqTheta row_number rank dense_rank
same: min max any anyLast anyHeavy argMin argMax quantileExact medianExact first_value last_value nth_value
same?: lag lead
sum: sum sumWithOverflow
average: avg
float: stddevPop stddevSamp varPop varSamp skewPop skewSamp kurtPop kurtSamp covarPop covarSamp corr avgWeighted
quantile: median quantile medianTDigest medianBFloat16
[same]!: groupArray groupUniqArray array_agg topK groupArraySample
[quantile]!: quantiles
integer: windowFunnel groupBitAnd groupBitOr groupBitXor groupBitmap
"""

WINDOW_ONLY: Final = ("row_number", "rank", "dense_rank", "first_value", "last_value", "nth_value", "lag", "lead")

_ANY_CASE: Final = """
count min max sum avg not if coalesce ifnull nullif isnull least greatest lower upper concat substring trim btrim
position extract replace ascii length reverse abs max2 min2 exp log ln log2 log10 sqrt sin cos tan asin acos atan pow
power sign degrees radians factorial floor ceil trunc round now
"""


@dataclass(frozen=True, slots=True)
class Result:
    """`kind` is a Kind's word, or `same`, `number`, `sum`, `average`, `quantile`; `is_array`: an array of such
    items.
    """

    kind: str
    is_array: bool = False
    nullable: bool | None = None

    @property
    def fixed(self) -> Kind | None:
        return Kind(self.kind) if self.kind in Kind else None


def _rows(text: str) -> Iterator[tuple[str, Result]]:
    for row in filter(None, text.splitlines()):
        kind, _, names = row.partition(":")
        nullable = {"!": False, "?": True}.get(kind[-1])
        bare = kind.rstrip("!?")
        result = Result(bare.strip("[]"), bare.startswith("["), nullable)
        yield from ((name, result) for name in names.split())


FUNCTIONS: Final = dict(_rows(_FUNCTIONS))
AGGREGATES: Final = dict(_rows(_AGGREGATES))
ANY_CASE: Final = frozenset(_ANY_CASE.split())
_TABULATED: Final = (*AGGREGATES, *FUNCTIONS, "ifNull")
_BY_LOWER_CASE: Final = {name.lower(): name for name in _TABULATED if name.lower() in ANY_CASE}


def known_name(name: str) -> str:
    """The name as the tables have it: of some functions, case does not count."""
    if name in FUNCTIONS or name in AGGREGATES:
        return name
    return _BY_LOWER_CASE.get(name.lower(), name.lower() if name.lower() in ANY_CASE else name)
