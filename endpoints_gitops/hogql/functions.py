"""The catalogue of functions that a query may call: name, number of arguments, result (docs/server.md#hogql).

A row is `names: arity kind`. An arity is `2`, `1-3`, or `2+`; a kind is what the result is taken for where that
changes the translation (dates, numbers), `same` for the kind of the first argument. `name=other` is ClickHouse's name
where it differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from endpoints_gitops.hogql.types import Kind

_ROWS: Final = """
plus minus multiply divide intDiv intDivOrZero modulo moduloOrZero positiveModulo: 2
gcd lcm max2 min2 pow power atan2 hypot roundDown: 2
multiplyDecimal divideDecimal: 2-3
negate abs sign: 1 same
and or xor: 2+
not: 1
equals notEquals less greater lessOrEquals greaterOrEquals in notIn like ilike notLike notILike: 2 boolean
isNull isNotNull: 1 boolean
coalesce: 1+ same
ifNull nullIf: 2 same
if: 3
multiIf: 3+
assumeNotNull toNullable: 1 same
_caseWithExpression=caseWithExpression: 3+
e pi: 0 float
rand: 0 integer
exp log ln exp2 exp10 log2 log10 log1p sqrt cbrt erf erfc lgamma tgamma sin cos tan asin acos atan: 1 float
sinh cosh asinh acosh atanh degrees radians factorial roundToExp2 roundDuration roundAge: 1
width_bucket=widthBucket: 4
floor ceil trunc round roundBankers: 1-2

hex unhex reinterpretAsDate reinterpretAsDateTime reinterpretAsFixedString reinterpretAsString reinterpretAsUUID: 1
reinterpretAsFloat32 reinterpretAsFloat64 reinterpretAsInt8 reinterpretAsInt16 reinterpretAsInt32 reinterpretAsInt64: 1
reinterpretAsUInt8 reinterpretAsUInt16 reinterpretAsUInt32 reinterpretAsUInt64: 1
toString: 1-2 string
toBool: 1 boolean
toJSONString toTypeName: 1 string
cityHash64: 1+ integer
toUUIDOrDefault: 2 uuid
toIntOrZero=toInt64OrZero: 1 integer
toFloatOrZero=toFloat64OrZero: 1 float
toFloatOrDefault=toFloat64OrDefault: 1-2 float
_toInt8=toInt8 _toInt16=toInt16 _toInt32=toInt32 _toInt64=toInt64: 1 integer
_toUInt8=toUInt8 _toUInt16=toUInt16 _toUInt32=toUInt32 _toUInt64=toUInt64 _toUInt128=toUInt128: 1 integer
_toDate=toDate: 1 date

toYear toQuarter toMonth toDayOfYear toDayOfMonth toHour toMinute toSecond toISOYear toISOWeek: 1 integer
toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss: 1 integer
toMonday toStartOfYear toStartOfISOYear toStartOfQuarter toStartOfMonth toLastDayOfMonth: 1 date
toStartOfHour toStartOfMinute toStartOfSecond toStartOfFiveMinutes toStartOfTenMinutes: 1 datetime
toStartOfFifteenMinutes: 1 datetime
toTime timeSlot: 1 datetime
monthName timeZoneOf: 1 string
timeZoneOffset: 1 integer
toIntervalSecond toIntervalMinute toIntervalHour toIntervalDay toIntervalWeek toIntervalMonth: 1 interval
toIntervalQuarter toIntervalYear: 1 interval
fromUnixTimestamp: 1 datetime
fromUnixTimestamp64Milli: 1-2 datetime
toUnixTimestamp: 1-2 integer
toUnixTimestamp64Milli: 1 integer
toStartOfDay: 1-2 datetime
toLastDayOfWeek: 1-2 date
toDayOfWeek toWeek toYearWeek: 1-3 integer
toStartOfInterval: 2-3
timeSlots: 2-3 array
age: 3 integer
addYears addQuarters addMonths addWeeks addDays: 2 same
addHours addMinutes addSeconds: 2 datetime
subtractYears subtractQuarters subtractMonths subtractWeeks subtractDays: 2 same
subtractHours subtractMinutes subtractSeconds: 2 datetime
dateName: 2 string
toModifiedJulianDay=toModifiedJulianDayOrNull: 1

lower upper lowerUTF8 upperUTF8 reverseUTF8 toValidUTF8 base58Encode base58Decode base64Encode base64Decode: 1 string
tryBase58Decode tryBase64Decode encodeXMLComponent decodeXMLComponent extractTextFromHTML: 1 string
regexpQuoteMeta initcap: 1 string
tokens: 1 array
lengthUTF8 isValidUTF8 ascii: 1 integer
appendTrailingCharIfAbsent repeat: 2 string
left=leftUTF8 right=rightUTF8: 2 string
endsWith startsWith: 2 boolean
format: 2+ string
concatWithSeparator: 2+ string
leftPad rightPad leftPadUTF8 rightPadUTF8: 2-3 string
position positionCaseInsensitive positionUTF8 positionCaseInsensitiveUTF8 locate: 2-3 integer
countSubstrings countSubstringsCaseInsensitive countSubstringsCaseInsensitiveUTF8: 2-3 integer
regexpExtract: 2-3 string
splitByChar splitByString splitByRegexp: 2-3 array
substring substringUTF8 lpad=leftPad rpad=rightPad: 3 string
replace replaceAll replaceOne replaceRegexpAll replaceRegexpOne translate: 3 string
splitByWhitespace splitByNonAlpha alphaTokens: 1-2 array
match: 2 boolean
multiMatchAny multiMatchAnyIndex multiMatchAllIndices: 2
multiSearchAllPositions multiSearchAllPositionsCaseInsensitive multiSearchAllPositionsUTF8: 2 array
multiSearchAllPositionsCaseInsensitiveUTF8: 2 array
multiSearchAny multiSearchAnyCaseInsensitive multiSearchAnyUTF8 multiSearchAnyCaseInsensitiveUTF8: 2 integer
multiSearchFirstIndex multiSearchFirstIndexCaseInsensitive multiSearchFirstIndexUTF8: 2 integer
multiSearchFirstIndexCaseInsensitiveUTF8: 2 integer
multiSearchFirstPosition multiSearchFirstPositionCaseInsensitive multiSearchFirstPositionUTF8: 2 integer
multiSearchFirstPositionCaseInsensitiveUTF8: 2 integer
extract: 2 string
extractAll extractAllGroups extractAllGroupsHorizontal extractAllGroupsVertical extractGroups: 2 array
ngramDistance ngramDistanceCaseInsensitive ngramDistanceUTF8 ngramDistanceCaseInsensitiveUTF8: 2 float
countMatches countMatchesCaseInsensitive: 2 integer
hasToken hasTokenCaseInsensitive hasTokenOrNull hasTokenCaseInsensitiveOrNull: 2 boolean
hasSubsequence hasSubsequenceCaseInsensitive hasSubsequenceUTF8 hasSubsequenceCaseInsensitiveUTF8: 2 boolean
isEmpty=empty isNotEmpty=notEmpty empty notEmpty: 1 boolean
length: 1 integer
reverse: 1 same

array: 0+ array
range: 1-3 array
arrayConcat: 2+ array
arrayElement: 2
has hasAll hasAny hasSubstr: 2 boolean
indexOf countEqual: 2 integer
arrayPushBack arrayPushFront: 2 array
arrayWithConstant: 2 array
arrayCount: 1+ integer
arraySort arrayReverseSort=arraySort: 1+ array
arrayUniq: 1+ integer
arrayIntersect: 1+ array
arrayExists arrayAll: 1+ boolean
arrayMap arrayFilter arrayFill arraySplit arrayZip arrayCumSum: 1+ array
arrayFirst arrayLast arrayFirstIndex arrayLastIndex: 2+
arrayFold: 3+
arrayResize arraySlice: 2-3 array
arrayMin arrayMax arraySum arrayAvg: 1-2
arrayStringConcat: 1-2 string
arrayEnumerate arrayEnumerateDense arrayEnumerateUniq: 1 array
arrayPopBack arrayPopFront arrayDifference arrayDistinct arrayReverse arrayFlatten arrayCompact: 1 array
arrayJoin arrayProduct: 1

isValidJSON: 1 boolean
JSONHas: 1+ boolean
JSONLength: 1+ integer
JSONArrayLength: 1 integer
JSONType: 1+ string
JSONExtractUInt JSONExtractInt: 1+ integer
JSONExtractFloat: 1+ float
JSONExtractBool: 1+ boolean
JSONExtractString JSONExtractKey JSONExtractRaw: 1+ string
JSONExtractKeys JSONExtractArrayRaw JSONExtractKeysAndValuesRaw: 1+ array
JSONExtract: 2+
JSON_VALUE: 2 string
JSONExtractKeysAndValues: 1-3 array

map: 0+
mapFromArrays mapContains mapFilter mapApply mapUpdate mapContainsKeyLike mapExtractKeyLike: 2
mapAdd mapSubtract: 2+
mapKeys mapValues: 1 array
tuple: 0+ tuple
tupleElement: 2-3
tupleToNameValuePairs: 1 array
tuplePlus tupleMinus tupleMultiply tupleDivide tupleMultiplyByNumber tupleDivideByNumber: 2 tuple
tupleNegate: 1 tuple
dotProduct L1Distance L2Distance LinfDistance cosineDistance: 2 float
L1Norm L2Norm LinfNorm: 1 float
L1Normalize L2Normalize LinfNormalize: 1 tuple

protocol domain domainWithoutWWW topLevelDomain firstSignificantSubdomain cutToFirstSignificantSubdomain: 1 string
path pathFull queryString fragment decodeURLComponent encodeURLComponent netloc: 1 string
cutWWW cutQueryString cutFragment: 1 string
port: 1-2 integer
extractURLParameter cutURLParameter: 2 string
extractURLParameters extractURLParameterNames URLHierarchy: 1 array

bitAnd bitOr bitXor bitShiftLeft bitShiftRight bitRotateLeft bitRotateRight bitTest bitHammingDistance: 2
bitTestAll bitTestAny: 2+
bitNot bitCount: 1
bitmapBuild bitmapToArray bitmapCardinality bitmapMin bitmapMax: 1
bitmapAnd bitmapOr bitmapXor bitmapAndnot bitmapAndCardinality bitmapOrCardinality bitmapXorCardinality: 2
bitmapAndnotCardinality bitmapContains bitmapHasAny bitmapHasAll: 2
bitmapSubsetInRange bitmapSubsetLimit bitmapTransform: 3
isFinite isInfinite isNaN: 1 boolean
ifNotFinite: 2
bar: 4 string
transform: 3-4
formatReadableSize formatReadableDecimalSize formatReadableQuantity: 1 string
formatReadableTimeDelta: 1-2 string
least greatest: 2 same
indexHint: 1
greatCircleDistance geoDistance: 4 float
pointInPolygon: 2+
geohashEncode: 2-3 string
geohashDecode: 1 tuple
"""

_CONVERTED: Final = """
toInt toFloat toUUID: 1
toDecimal: 2
toDate to_date: 1
toDateTime toDateTimeUS parseDateTimeBestEffort: 1-2
parseDateTime: 2-3
now current_timestamp: 0-1
today current_date yesterday: 0
toStartOfWeek toTimeZone: 1-2
dateAdd date_add timeStampAdd dateSub date_subtract timeStampSub: 2-3
formatDateTime to_char dateTrunc date_trunc: 2-3
dateDiff date_diff: 3
concat: 2+
trim btrim trimLeft ltrim trimRight rtrim: 1-2
split_part make_date: 3
make_timestamp: 6-7
md5 exists: 1
arrayReduce: 2+
"""

_AGGREGATES: Final = """
count: 0-1 integer
countDistinct=uniqExact: 1 integer
min max any anyLast anyHeavy: 1 same
sum sumWithOverflow deltaSum: 1
avg median: 1 float
argMin argMax: 2 same
stddevPop stddevSamp varPop varSamp skewPop skewSamp kurtPop kurtSamp: 1 float
covarPop covarSamp corr: 2 float
groupArray groupUniqArray: 1 array
groupBitAnd groupBitOr groupBitXor groupBitmap: 1
groupBitmapAnd groupBitmapOr groupBitmapXor: 1
deltaSumTimestamp: 2
sumMap minMap maxMap: 1-2
uniq uniqExact uniqHLL12: 1+ integer
medianExact medianExactLow medianExactHigh medianTiming medianTDigest medianBFloat16: 1 float
medianExactWeighted medianDeterministic avgWeighted: 2 float
simpleLinearRegression contingency cramersV cramersVBiasCorrected theilsU maxIntersections: 2
maxIntersectionsPosition: 2
array_agg=groupArray: 1 array
"""

_PARAMETRIC: Final = """
quantile quantileExact: 1 float
quantiles: 1 array
topK: 1 array
groupArraySample: 1 array
groupArrayInsertAt: 2 array
groupArrayMovingAvg groupArrayMovingSum: 1 array
windowFunnel: 2-33 integer
"""

_WINDOW: Final = """
rank dense_rank row_number: 0 integer
first_value last_value: 1 same
nth_value: 2 same
lagInFrame leadInFrame lag lead: 1-3 same
"""

PARAMETERS: Final = {
    "quantile": (1, 1),
    "quantileExact": (1, 1),
    "quantiles": (1, None),
    "topK": (1, 1),
    "groupArraySample": (1, 2),
    "groupArrayInsertAt": (0, 2),
    "groupArrayMovingAvg": (0, 1),
    "groupArrayMovingSum": (0, 1),
    "windowFunnel": (1, 99),
}
_NOT_HERE: Final = """
sparkline recordingButton explainCSPReport matchesAction sortableSemver embedText lookupDomainType lookupPaidSourceType
lookupPaidMediumType lookupOrganicSourceType lookupOrganicMediumType convertCurrency getSurveyResponse
uniqueSurveySubmissionsFilter getTrafficType getTrafficCategory isLikelyBot getBotType getBotName getBotOperator
uniqTheta generateSeries untuple tumble tumbleStart tumbleEnd hop hopStart hopEnd languageCodeToName date_part
to_timestamp timezone date_bin json_agg every toNullableString UUIDv7ToDateTime geohashesInBox h3IsValid
h3GetResolution geoToH3 h3ToGeo h3kRing h3GetBaseCell h3HexAreaM2 h3IndexesAreNeighbors h3ToChildren h3ToParent
h3ToString stringToH3 percentile_cont percentile_disc cohort rowNumberInAllBlocks arrayRotateLeft arrayRotateRight
string_agg ntile percent_rank cume_dist
"""
NOT_HERE: Final = frozenset(_NOT_HERE.split())
"""Real names of PostHog's dialect that this server cannot answer for."""

_ANY_CASE: Final = """
count min max sum avg now not if coalesce ifnull nullif isnull least greatest lower upper concat substring trim btrim
position extract replace ascii length reverse abs max2 min2 exp log ln log2 log10 sqrt sin cos tan asin acos atan pow
power sign degrees radians factorial floor ceil trunc round
"""
ANY_CASE: Final = frozenset(_ANY_CASE.split())
_FULL_COMBINATORS: Final = (
    "Array",
    "ForEach",
    "OrDefault",
    "OrNull",
    "If",
    "Map",
    "State",
    "Merge",
    "ArgMin",
    "ArgMax",
)
_SECOND: Final = ("If", "OrDefault", "OrNull")
_WITH_STATES: Final = ("uniq", "uniqExact", "argMin", "argMax", "sumMap")
_ONE_MORE: Final = ("If", "ArgMin", "ArgMax")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One callable name. `most` None: there is no upper bound; `kind` None: it is the kind of the first argument."""

    name: str
    clickhouse: str
    least: int
    most: int | None
    kind: Kind | None = Kind.UNKNOWN


def _functions(rows: str) -> dict[str, Function]:
    found = {}
    for row in filter(None, rows.splitlines()):
        names, _, shape = row.partition(": ")
        arity, _, kind = shape.partition(" ")
        for name, _, other in (each.partition("=") for each in names.split()):
            least, most = _bounds(arity)
            found[name] = Function(name=name, clickhouse=other or name, least=least, most=most, kind=_kind(kind))
    return found


def _bounds(arity: str) -> tuple[int, int | None]:
    if arity.endswith("+"):
        return int(arity[:-1]), None
    least, _, most = arity.partition("-")
    return int(least), int(most or least)


def _kind(word: str) -> Kind | None:
    return None if word == "same" else Kind(word or "unknown")


def _combined(base: Function, *suffixes: str) -> Function:
    """A state takes the place of the arguments: `argMaxMerge` has one, though `argMax` has two."""
    more = sum(suffix in _ONE_MORE for suffix in suffixes)
    least, most = (1, 1) if "Merge" in suffixes else (base.least, base.most)
    suffix = "".join(suffixes)
    return Function(
        name=base.name + suffix,
        clickhouse=base.clickhouse + suffix,
        least=least + more,
        most=None if most is None else most + more,
        kind=base.kind if set(suffixes) <= {"If", "OrDefault", "OrNull", "ArgMin", "ArgMax"} else Kind.UNKNOWN,
    )


def _aggregates() -> dict[str, Function]:
    plain = _functions(_AGGREGATES)
    found = dict(plain)
    for base in plain.values():
        if base.name == "array_agg":
            continue
        full = base.name in ("avg", "sum", "min", "max", "count", "countDistinct", "median")
        firsts = _FULL_COMBINATORS if full else ("If", *(("State", "Merge") if base.name in _WITH_STATES else ()))
        for first in firsts:
            found[base.name + first] = _combined(base, first)
        if full:
            for first in _FULL_COMBINATORS:
                found |= {base.name + first + last: _combined(base, first, last) for last in _SECOND if last != first}
    return found


def _parametric() -> dict[str, Function]:
    plain = _functions(_PARAMETRIC)
    ifs = {f"{name}If": _combined(plain[name], "If") for name in ("quantile", "quantiles")}
    return plain | ifs


FUNCTIONS: Final = _functions(_ROWS)
CONVERTED: Final = _functions(_CONVERTED)
"""Functions whose ClickHouse form is more than another name."""
AGGREGATES: Final = _aggregates() | {
    name: Function(name=name, clickhouse=f"{name}OrNull", least=1, most=1, kind=Kind.FLOAT)
    for name in ("avgArray", "medianArray")
}
PARAMETRIC: Final = _parametric()
WINDOW: Final = _functions(_WINDOW)
PARAMETERS_OF: Final = PARAMETERS | {"quantileIf": PARAMETERS["quantile"], "quantilesIf": PARAMETERS["quantiles"]}

SUFFIXES: Final = (*_FULL_COMBINATORS, "Distinct", "Resample", "SimpleState")
_BY_LOWER_CASE: Final = {
    name.lower(): name for name in (*AGGREGATES, *FUNCTIONS, *CONVERTED) if name.lower() in ANY_CASE
}


def found_name(name: str) -> str | None:
    """The name as the catalogue has it, None for one that it lacks: of some functions, case does not count."""
    if any(name in table for table in (AGGREGATES, PARAMETRIC, FUNCTIONS, CONVERTED)):
        return name
    return _BY_LOWER_CASE.get(name.lower())


def arity_mistake(name: str, given: int) -> str | None:
    """What is wrong with the number of arguments of a name of the catalogue, in the server's words."""
    is_aggregation = name in AGGREGATES or name in PARAMETRIC
    function = next(table[name] for table in (AGGREGATES, PARAMETRIC, FUNCTIONS, CONVERTED, WINDOW) if name in table)
    what = f"{'Aggregation' if is_aggregation else 'Function'} '{name}' expects"
    if function.least == function.most and given != function.least:
        return f"{what} {_arguments(function.least)}, found {given}"
    if given < function.least:
        return f"{what} at least {_arguments(function.least)}, found {given}"
    if function.most is not None and given > function.most:
        return f"{what} at most {_arguments(function.most)}, found {given}"
    return None


def _arguments(count: int) -> str:
    return f"{count} argument{'' if count == 1 else 's'}"
