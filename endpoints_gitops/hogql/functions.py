"""The catalog of functions that a query may call (docs/server.md#hogql). Types and translation both read it.

A row is `names: arity result marks`.

- A name is `name`, or `name=clickhouse` if ClickHouse has a different name. The text after `=` is a template if it has
  parentheses (`{0}` is the first argument, `{all}` are all of them), and begins with `@` if the local engine has its
  own translator for the function.
- An arity is `2`, `1-3`, or `2+`.
- A result is the kind of value that the function returns, `[kind]` an array of such values, or a rule of
  `function_types.py`, such as `same` for the kind of the first argument. It ends in `!` if it is never NULL and in `?`
  if it can always be NULL; otherwise it can be NULL if an argument can. Without a result, the type is unknown.
- Marks: `takes_null` has a specific type for the constant NULL; `takes_null_items` the same for all arguments but the
  first; `volatile` depends on the current time; `bucket` truncates a time to intervals; `of_text` reads a property as
  text, whatever type the project defines; `bare` does not change comparisons inside; `combined` allows every suffix,
  `states` the suffixes State and Merge; `reducer` is allowed in arrayReduce; `additive` can be computed from the values
  of parts; `macro` is printed as a template by PostHog, without DISTINCT, FILTER and WITHIN GROUP; `encloses` is
  an aggregation to PostHog, in which no other one can be; `unusable` has
  an arity in PostHog that ClickHouse refuses; `missing` is in PostHog's ClickHouse but not in the embedded one;
  `numeric` reads its arguments as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from endpoints_gitops.hogql.types import Kind

_FUNCTIONS: Final = """
plus: 2 plus
minus: 2 minus
multiply modulo moduloOrZero positiveModulo: 2 multiply
divide: 2 divide
intDiv intDivOrZero: 2 whole
gcd lcm: 2 integer
max2 min2 pow power atan2 hypot: 2 float
roundDown: 2 unknown numeric
multiplyDecimal divideDecimal: 2-3
negate: 1 number
abs: 1 number numeric
sign: 1 integer
and or: 2+ logic
xor: 2+ exclusive
not: 1 logic
equals notEquals less greater lessOrEquals greaterOrEquals like ilike notLike notILike: 2 comparison
in notIn: 2 integer! takes_null
isNull isNotNull: 1 integer! takes_null
coalesce: 1+ coalesce
ifNull: 2 coalesce
nullIf: 2 same? takes_null
if: 3 branches
multiIf: 3+ branches
assumeNotNull: 1 same!
toNullable: 1 same?
_caseWithExpression=caseWithExpression: 3+ case
e pi: 0 float!
rand: 0 integer!
exp log ln exp2 exp10 log2 log10 log1p sqrt cbrt erf erfc lgamma tgamma sin cos tan asin acos atan: 1 float
sinh cosh asinh acosh atanh degrees radians: 1 float
factorial intExp2 intExp10: 1 integer
roundDuration roundAge: 1 integer numeric
roundToExp2: 1 number numeric
width_bucket=widthBucket: 4
floor ceil round roundBankers: 1-2 same numeric
trunc: 1-2 same

hex unhex: 1 string
reinterpretAsDate reinterpretAsDateTime reinterpretAsFixedString reinterpretAsString reinterpretAsUUID: 1
reinterpretAsFloat32 reinterpretAsFloat64 reinterpretAsInt8 reinterpretAsInt16 reinterpretAsInt32 reinterpretAsInt64: 1
reinterpretAsUInt8 reinterpretAsUInt16 reinterpretAsUInt32 reinterpretAsUInt64: 1
reinterpretAsInt128 reinterpretAsInt256 reinterpretAsUInt128 reinterpretAsUInt256: 1
toString: 1-2 string
toBool: 1 boolean takes_null
toJSONString: 1 string
toTypeName: 1 string! takes_null
cityHash64: 1 integer
MD5 defaultValueOfTypeName: 1
accurateCast accurateCastOrNull: 2
toNullableString=accurateCastOrNull({0}, 'Nullable(String)'): 1 string? takes_null
toInt=accurateCastOrNull({0}, 'Int64'): 1 integer? takes_null numeric
toFloat=accurateCastOrNull({0}, 'Float64'): 1 float? takes_null numeric
toIntOrNull=accurateCastOrNull({0}, 'Int64'): 1 integer? takes_null numeric
toFloatOrNull=accurateCastOrNull({0}, 'Float64'): 1 float? takes_null numeric
toUUID=accurateCastOrNull({0}, 'UUID'): 1 uuid? takes_null
toDecimal=@decimal: 2 decimal? takes_null
toUUIDOrDefault: 2 uuid
toIntOrZero=toInt64OrZero: 1 integer of_text numeric
toFloatOrZero=toFloat64OrZero: 1 float of_text numeric
toFloatOrDefault=toFloat64OrDefault: 1-2 unknown of_text numeric
toIntOrDefault=@whole_or_default: 1-2 unknown of_text numeric
_toInt8=toInt8 _toInt16=toInt16 _toInt32=toInt32 _toInt64=toInt64: 1 integer
_toUInt8=toUInt8 _toUInt16=toUInt16 _toUInt32=toUInt32 _toUInt64=toUInt64 _toUInt128=toUInt128: 1 integer
_toDate=toDate: 1 date
_toNullableBool=accurateCastOrNull({0}, 'Bool'): 1 boolean? takes_null

toDate=@date to_date=@date: 1 date_of bucket
toDateTime=@datetime: 1-2 datetime_of bucket
toDateTimeUS=@best_effort_us parseDateTimeBestEffort=@best_effort: 1-2 datetime64?
parseDateTime=@parsed: 2-3 datetime?
toDateTime64=@fine_datetime: 1-3
UUIDv7ToDateTime=@time_of_uuid: 1
now=@current_time current_timestamp=@current_time: 0-1 datetime64! volatile
today=@current_day current_date=@current_day yesterday=@previous_day: 0 date! volatile
toYear toQuarter toMonth toDayOfYear toDayOfMonth toHour toISOYear toISOWeek: 1 integer bucket
toMinute toSecond: 1 integer
toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss: 1 integer bucket
toMonday toStartOfYear toStartOfISOYear toStartOfQuarter toStartOfMonth toLastDayOfMonth: 1 date bucket
toStartOfHour toStartOfMinute toStartOfFiveMinutes toStartOfTenMinutes toStartOfFifteenMinutes: 1 datetime bucket
toStartOfSecond: 1 datetime64 bucket
toStartOfDay: 1-2 datetime bucket
toStartOfWeek=@week: 1-2 date bucket
toStartOfInterval: 2-3 start_of_interval bucket
dateTrunc=@trunc date_trunc=@trunc: 2-3 trunc bucket
toLastDayOfWeek: 1-2 date
toTime: 1
timeSlot: 1 datetime bucket
timeSlots: 2-3 [unknown]!
monthName: 1 string bucket
dateName: 2 string bucket
formatDateTime=@formatted to_char=@formatted: 2-3 string bucket
toTimeZone=@zone: 1-2 same_timestamp bucket
timeZoneOf: 1 string!
timeZoneOffset: 1 integer
toIntervalSecond: 1 interval_second numeric
toIntervalMinute: 1 interval_minute numeric
toIntervalHour: 1 interval_hour numeric
toIntervalDay: 1 interval_day numeric
toIntervalWeek: 1 interval_week numeric
toIntervalMonth: 1 interval_month numeric
toIntervalQuarter: 1 interval_quarter numeric
toIntervalYear: 1 interval_year numeric
fromUnixTimestamp: 1 datetime
fromUnixTimestamp64Milli: 1 datetime64
toUnixTimestamp: 1-2 integer
toUnixTimestamp64Milli: 1 integer
toDayOfWeek toWeek toYearWeek: 1-3 integer bucket
dateDiff date_diff=dateDiff: 3 integer
age: 3 integer
addYears subtractYears: 2 moved_year
addQuarters subtractQuarters: 2 moved_quarter
addMonths subtractMonths: 2 moved_month
addWeeks subtractWeeks: 2 moved_week
addDays subtractDays: 2 moved_day
addHours subtractHours: 2 moved_hour
addMinutes subtractMinutes: 2 moved_minute
addSeconds subtractSeconds: 2 moved_second
dateAdd=@later: 2-3 moved
dateSub=@earlier: 2-3 moved
date_add=@later timeStampAdd=@later date_subtract=@earlier timeStampSub=@earlier: 2 moved
make_date=makeDate: 3 date
make_timestamp=@made_timestamp: 6-7 datetime
make_timestamptz=toTimeZone(makeDateTime({0}, {1}, {2}, {3}, {4}, {5}), {6}): 7 datetime macro
make_interval=@made_interval: 6 unknown macro
to_timestamp=toDateTime(fromUnixTimestamp({0})): 1 datetime macro
timezone=toTimeZone({1}, {0}): 2 last_timestamp bucket
date_bin=toStartOfInterval({1}, {0}, {2}): 3 unknown bucket
date_part=@part_of_date: 2 integer?
toModifiedJulianDay=toModifiedJulianDayOrNull fromModifiedJulianDay=fromModifiedJulianDayOrNull: 1
nowInBlock: 1 unknown volatile
rowNumberInBlock rowNumberInAllBlocks: 0 integer!
tumble=@tumble_window: 2
hop=@hop_window: 3
tumbleStart=@tumble_start tumbleEnd=@tumble_end hopStart=@hop_start hopEnd=@hop_end: 1-3

lower upper lowerUTF8 upperUTF8 reverseUTF8 toValidUTF8 base58Encode base58Decode base64Encode base64Decode: 1 string
tryBase64Decode encodeXMLComponent decodeXMLComponent extractTextFromHTML regexpQuoteMeta initcap: 1 string
tryBase58Decode: 1
tokens: 1 [string]!
lengthUTF8 isValidUTF8 ascii: 1 integer
appendTrailingCharIfAbsent repeat: 2 string
left=leftUTF8 right=rightUTF8: 2 string
endsWith startsWith: 2 integer
concat=@joined: 2+ string! takes_null
format: 2+ string
concatWithSeparator: 2+ string
trim=@trim_both btrim=@trim_both trimLeft=@trim_left ltrim=@trim_left: 1-2 string
trimRight=@trim_right rtrim=@trim_right: 1-2 string
leftPad rightPad leftPadUTF8 rightPadUTF8: 2-3 string
position positionCaseInsensitive positionUTF8 positionCaseInsensitiveUTF8 locate: 2-3 integer
countSubstrings countSubstringsCaseInsensitive countSubstringsCaseInsensitiveUTF8: 2-3 integer
regexpExtract: 2-3 string
splitByChar splitByString splitByRegexp: 2-3 [string]!
split_part=arrayElement(splitByString({1}, {0}), {2}): 3 string
substring substringUTF8 lpad=leftPad rpad=rightPad: 3 string
replace replaceAll replaceOne replaceRegexpAll replaceRegexpOne translate translateUTF8: 3 string
convertCharset: 3
ngrams: 2 [string]!
splitByWhitespace splitByNonAlpha alphaTokens: 1-2 [string]!
match: 2 integer
multiMatchAny multiMatchAnyIndex multiMatchAllIndices: 2
multiSearchAllPositions multiSearchAllPositionsCaseInsensitive multiSearchAllPositionsUTF8: 2
multiSearchAllPositionsCaseInsensitiveUTF8: 2
multiSearchAny multiSearchAnyCaseInsensitive multiSearchAnyUTF8 multiSearchAnyCaseInsensitiveUTF8: 2
multiSearchFirstIndex multiSearchFirstIndexCaseInsensitive multiSearchFirstIndexUTF8: 2
multiSearchFirstIndexCaseInsensitiveUTF8: 2
multiSearchFirstPosition multiSearchFirstPositionCaseInsensitive multiSearchFirstPositionUTF8: 2
multiSearchFirstPositionCaseInsensitiveUTF8: 2
extract: 2 string
extractAll: 2 [string]!
extractAllGroups extractAllGroupsHorizontal extractAllGroupsVertical: 2 [unknown]!
extractGroups: 2 [string]!
ngramSearch ngramSearchCaseInsensitive ngramSearchUTF8 ngramSearchCaseInsensitiveUTF8: 2 float
multiFuzzyMatchAny multiFuzzyMatchAnyIndex multiFuzzyMatchAllIndices: 3
hasAllTokens hasAnyTokens: 2
ngramDistance ngramDistanceCaseInsensitive ngramDistanceUTF8 ngramDistanceCaseInsensitiveUTF8: 2 float
countMatches countMatchesCaseInsensitive: 2 integer
hasToken hasTokenCaseInsensitive: 2 integer
hasTokenOrNull hasTokenCaseInsensitiveOrNull: 2 integer?
hasSubsequence hasSubsequenceCaseInsensitive hasSubsequenceUTF8 hasSubsequenceCaseInsensitiveUTF8: 2 integer
isEmpty=empty isNotEmpty=notEmpty empty notEmpty: 1 integer
length: 1 integer
reverse: 1 reversed
md5=hex(MD5({0})): 1 string macro encloses

array: 0+ array_of
range: 1-3 range
arrayConcat: 2+ [unknown]!
arrayElement: 2 element
has: 2 integer! takes_null_items
hasAll hasAny hasSubstr: 2 integer!
indexOf countEqual: 2 integer! takes_null_items
arrayPushBack arrayPushFront: 2 pushed
arrayWithConstant: 2 [unknown]!
arrayCount: 1+ integer!
arraySort arrayReverseSort=arraySort: 1+ same!
arrayUniq: 1+ integer!
arrayIntersect: 1+ [unknown]!
arrayExists arrayAll: 1+ integer!
arrayMap arrayFill arraySplit arrayZip arrayCumSum: 1+ [unknown]!
arrayFilter: 1+ filtered
arrayFirst arrayLast: 2+ some_item
arrayFirstIndex arrayLastIndex: 2+ integer!
arrayFold: 3+
arrayReduce=@reduced: 2+
arrayResize: 2-3 same!
arraySlice: 2-3 same! takes_null_items
arrayMin arrayMax arrayAvg: 1-2
arraySum: 1-2 array_sum
arrayStringConcat: 1-2 string!
arrayEnumerate arrayEnumerateDense: 1 [integer]!
arrayEnumerateUniq: 2+ [integer]!
arrayPopBack arrayPopFront arrayReverse arrayCompact: 1 same!
arrayDifference arrayFlatten: 1 [unknown]!
arrayDistinct: 1 distinct
arrayJoin: 1 item
arrayProduct: 1
arrayRotateLeft arrayRotateRight: 2 same!
arrayReverseFill arrayReverseSplit: 2+ [unknown]!
arrayCumSumNonNegative: 1+ [unknown]!
arrayAUC: 2

isValidJSON: 1 integer
JSONHas: 1+ integer
JSONLength: 1+ integer
JSONArrayLength: 1 integer?
JSONType: 1+
JSONExtractUInt JSONExtractInt: 1+ integer
JSONExtractFloat: 1+ float
JSONExtractBool: 1+
JSONExtractString JSONExtractRaw: 1+ string
JSONExtractKey: 1+ unknown missing
JSONExtractKeys JSONExtractArrayRaw: 1+ [string]!
JSONExtractKeysAndValuesRaw: 1+ [unknown]!
JSONExtract: 2+
JSON_VALUE: 2
JSONExtractKeysAndValues: 1-3 [unknown]!

map: 0+ map_of takes_null
mapFromArrays mapContains mapFilter mapApply mapUpdate mapContainsKeyLike mapExtractKeyLike: 2
mapAdd mapSubtract: 2+
mapPopulateSeries: 1-3
mapKeys mapValues: 1 [unknown]!
tuple: 0+ tuple_of
tupleElement: 2-3
tupleHammingDistance LpNorm LpNormalize: 2
LpDistance: 3
tupleToNameValuePairs: 1 [unknown]!
tuplePlus tupleMinus tupleMultiply tupleDivide tupleMultiplyByNumber tupleDivideByNumber: 2
tupleNegate: 1
dotProduct L1Distance L2Distance LinfDistance cosineDistance: 2
L1Norm L2Norm LinfNorm: 1
L1Normalize L2Normalize LinfNormalize: 1

protocol domain domainWithoutWWW topLevelDomain firstSignificantSubdomain cutToFirstSignificantSubdomain: 1 string
path pathFull queryString fragment decodeURLComponent encodeURLComponent netloc: 1 string
cutWWW cutQueryString cutFragment cutQueryStringAndFragment queryStringAndFragment: 1 string
cutToFirstSignificantSubdomainWithWWW encodeURLFormComponent decodeURLFormComponent: 1 string
URLPathHierarchy: 1 [string]!
port: 1-2 integer
extractURLParameter cutURLParameter: 2 string
extractURLParameters extractURLParameterNames URLHierarchy: 1 [string]!

bitAnd bitOr bitXor bitShiftLeft bitShiftRight bitRotateLeft bitRotateRight bitTest bitHammingDistance: 2
bitTestAll bitTestAny: 3+
bitNot: 1
bitSlice subBitmap: 3
bitCount: 1 integer
bitmapBuild bitmapToArray bitmapCardinality bitmapMin bitmapMax: 1
bitmapAnd bitmapOr bitmapXor bitmapAndnot bitmapAndCardinality bitmapOrCardinality bitmapXorCardinality: 2
bitmapAndnotCardinality bitmapContains bitmapHasAny bitmapHasAll: 2
bitmapSubsetInRange bitmapSubsetLimit bitmapTransform: 3
isFinite isInfinite isNaN: 1 integer
ifNotFinite: 1 unknown unusable
bar: 4 string
transform: 3-4
formatReadableSize formatReadableDecimalSize formatReadableQuantity: 1 string
formatReadableTimeDelta: 1-2 string
least greatest: 2 extreme
indexHint: 1 unknown bare
exists: 1 integer! takes_null
greatCircleDistance geoDistance: 4 float
pointInPolygon: 2+
geohashEncode: 2-3 string
geohashDecode: 1
geohashesInBox: 5
greatCircleAngle: 4 float
pointInEllipses: 6+
h3IsValid h3GetResolution h3GetBaseCell h3IsResClassIII h3IsPentagon h3NumHexagons h3UnidirectionalEdgeIsValid: 1
h3EdgeAngle h3EdgeLengthM h3EdgeLengthKm h3HexAreaM2 h3HexAreaKm2 h3CellAreaM2 h3CellAreaRads2: 1
h3ExactEdgeLengthM h3ExactEdgeLengthKm h3ExactEdgeLengthRads h3ToGeo h3ToGeoBoundary h3ToString stringToH3: 1
h3GetFaces h3GetPentagonIndexes h3GetOriginIndexFromUnidirectionalEdge: 1
h3GetDestinationIndexFromUnidirectionalEdge h3GetIndexesFromUnidirectionalEdge: 1
h3GetUnidirectionalEdgesFromHexagon h3GetUnidirectionalEdgeBoundary: 1
h3GetRes0Indexes: 0
h3kRing h3IndexesAreNeighbors h3ToChildren h3ToParent h3ToCenterChild h3Line h3Distance h3HexRing: 2
h3GetUnidirectionalEdge: 2
geoToH3: 3
h3PointDistM h3PointDistKm h3PointDistRads: 4

sortableSemver=@semver: 1
sparkline=@sparkline_tag explainCSPReport=@report: 1
recordingButton=@recording_button: 1-2
getSurveyResponse=@survey_response: 1-3
uniqueSurveySubmissionsFilter=@unique_submissions: 1-3 integer! takes_null
"""

_AGGREGATES: Final = """
count: 0-1 integer! combined reducer additive
countDistinct=uniqExact: 1 integer! combined
min max: 1 same combined reducer additive
any anyLast anyHeavy: 1 same
sum: 1 sum combined reducer additive numeric
sumWithOverflow: 1 sum numeric
deltaSum: 1
avg: 1 average combined reducer numeric
median: 1 quantile combined reducer numeric
argMin argMax: 2 same states
stddevPop stddevSamp varPop varSamp: 1 float numeric
skewPop skewSamp kurtPop kurtSamp: 1 float
covarPop covarSamp corr: 2 float numeric
groupArray groupUniqArray: 1 [same]!
groupBitAnd groupBitOr groupBitXor groupBitmap: 1 integer
groupBitmapAnd groupBitmapOr groupBitmapXor: 1
deltaSumTimestamp: 2
sumMap: 1-2 unknown states numeric
minMap maxMap: 1-2
uniq: 1+ integer! states reducer
uniqExact: 1+ integer! states
uniqHLL12: 1+ integer!
medianExact: 1 same numeric
medianExactLow medianExactHigh medianTiming: 1 unknown numeric
medianTDigest medianBFloat16: 1 quantile numeric
medianExactWeighted medianDeterministic medianTimingWeighted medianTDigestWeighted: 1 unknown unusable numeric
avgWeighted: 2 float numeric
simpleLinearRegression contingency cramersV cramersVBiasCorrected theilsU maxIntersections: 2
maxIntersectionsPosition: 2
"""

_WITHOUT_SUFFIXES: Final = """
array_agg=groupArray: 1 [same]!
string_agg=arrayStringConcat(groupArray({0}), {1}): 2 string! macro
json_agg=toJSONString(groupArray({0})): 1 string! macro
every=toBool(min({0})): 1 boolean macro
avgArray=avgArrayOrNull medianArray=medianArrayOrNull: 1
"""

_LISTED_WITH_SUFFIXES: Final = """
countMapIf avgMapIf avgMapState: 2-3
avgMapMerge uniqMap uniqMapMerge uniqState sumMapMerge sumForEachState sumForEachMerge groupUniqArrayArray: 1
groupBitmapState groupBitmapAndState groupBitmapOrState: 1
avgMapMergeIf uniqMapMergeIf sumMapMergeIf uniqStateIf uniqMergeIf groupUniqArrayArrayIf: 2
"""

_PARAMETRIC: Final = """
quantile: 1 quantile numeric
quantileExact: 1 same numeric
quantiles: 1+ [quantile]! numeric
quantilesState quantilesMerge: 1
quantilesStateIf quantilesMergeIf: 2
topK: 1 [same]!
groupArraySample: 1 [same]!
groupArrayInsertAt: 2
groupArrayMovingAvg groupArrayMovingSum: 1
groupArraySampleIf groupArrayMovingAvgIf groupArrayMovingSumIf: 2
groupArrayInsertAtIf: 3
uniqUpToMerge: 1
windowFunnel: 1-99 integer
"""
_PARAMETERS: Final = {
    **dict.fromkeys(("quantile", "quantileIf", "quantileExact", "quantilesIf", "topK", "uniqUpToMerge"), (1, 1)),
    **dict.fromkeys(("quantilesState", "quantilesStateIf", "quantilesMerge", "quantilesMergeIf"), (1, None)),
    **dict.fromkeys(("groupArraySample", "groupArraySampleIf"), (1, 2)),
}

_WINDOW: Final = """
rank dense_rank row_number: 0 integer!
first_value last_value: 1 same
nth_value: 2 same
lagInFrame leadInFrame: 1-3 same
lag=lagInFrame lead=leadInFrame: 1-3 same?
ntile: 1 integer!
percent_rank cume_dist: 0 float!
"""

_ABSENT: Final = """
matchesAction: it needs the actions of the project (serve --project)
cohort: it needs the cohorts of the project
convertCurrency: it needs PostHog's exchange rates
embedText: it calls a model of PostHog's
languageCodeToName: it needs PostHog's list of languages
lookupDomainType lookupPaidSourceType lookupPaidMediumType: it needs PostHog's list of channels
lookupOrganicSourceType lookupOrganicMediumType: it needs PostHog's list of channels
getTrafficType getTrafficCategory isLikelyBot getBotType getBotName getBotOperator: it needs PostHog's list of bots
__preview_getTrafficType __preview_getTrafficCategory __preview_isBot: it needs PostHog's list of bots
__preview_getBotType __preview_getBotName __preview_getBotOperator: it needs PostHog's list of bots
generateSeries: ClickHouse has no function generate_series outside of FROM
untuple: it makes several columns of one
dynamicType: it reads columns of the type Dynamic
extractIPv4Substrings: ClickHouse has no such function
uniqTheta uniqThetaIf: the embedded ClickHouse is built without it
aggregate_funnel aggregate_funnel_array aggregate_funnel_cohort: it is a program on PostHog's servers
aggregate_funnel_trends aggregate_funnel_array_trends: it is a program on PostHog's servers
aggregate_funnel_cohort_trends: it is a program on PostHog's servers
"""


def _reasons(rows: str) -> Iterator[tuple[str, str]]:
    for row in filter(None, rows.splitlines()):
        names, _, reason = row.partition(": ")
        yield from ((name, reason) for name in names.split())


ABSENT: Final = dict(_reasons(_ABSENT))
"""Names of PostHog's dialect that the local engine does not support, with the reason; their types are unknown."""
ORDERED_SETS: Final = ("percentile_cont", "percentile_disc")
"""Aggregations that need WITHIN GROUP, which PostHog's ClickHouse dialect refuses: no query with them can run."""
_ABSENT_AGGREGATE: Final = "uniqTheta"

_ANY_CASE: Final = """
count min max sum avg now not if coalesce ifnull nullif isnull least greatest lower upper concat substring trim btrim
position extract replace ascii length reverse abs max2 min2 exp log ln log2 log10 sqrt sin cos tan asin acos atan pow
power sign degrees radians factorial floor ceil trunc round sortablesemver
"""
_ALL_SUFFIXES: Final = (
    *("Array", "ForEach", "OrDefault", "OrNull", "If", "Map", "State", "Merge", "ArgMin", "ArgMax"),
)
_LATER_SUFFIXES: Final = {
    "If": (),
    **dict.fromkeys(("OrDefault", "OrNull"), ("If",)),
}
_LATER_BY_DEFAULT: Final = ("If", "OrDefault", "OrNull")
_STATE_SUFFIXES: Final = ("State", "Merge")
_REDUCER_SUFFIXES: Final = ("", "Map", "State", "MapState")
_ADDITIVE_SUFFIXES: Final = ("If", "Array", "OrNull", "OrDefault")
_ONE_MORE: Final = ("If", "ArgMin", "ArgMax")
SUFFIXES: Final = (*_ALL_SUFFIXES, "Distinct", "Resample", "SimpleState")

COMPARISONS: Final = {
    "==": "equals",
    "!=": "notEquals",
    "<": "less",
    "<=": "lessOrEquals",
    ">": "greater",
    ">=": "greaterOrEquals",
    "like": "like",
    "not like": "notLike",
    "ilike": "ilike",
    "not ilike": "notILike",
    "in": "in",
    "not in": "notIn",
}
ARITHMETIC: Final = {"+": "plus", "-": "minus", "*": "multiply", "/": "divide", "%": "modulo"}
CASTS: Final = {
    **dict.fromkeys(("int", "integer"), "toInt64"),
    **dict.fromkeys(("float", "double", "real"), "toFloat64"),
    **dict.fromkeys(("text", "varchar", "char", "string"), "toString"),
    **dict.fromkeys(("bool", "boolean"), "toBoolean"),
    "date": "toDate",
    **dict.fromkeys(("datetime", "timestamp", "timestamptz"), "toDateTime"),
}
"""The types of casts, with the function that the server converts each to."""
CAST_KINDS: Final = {
    "toInt64": Kind.INTEGER,
    "toFloat64": Kind.FLOAT,
    "toString": Kind.STRING,
    "toDate": Kind.DATE,
    "toDateTime": Kind.DATETIME,
}
"""The function of each cast. The server also has `toBoolean`, which ClickHouse refuses."""


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """The result of a function: a `kind`, or the name of a `rule` of `function_types.py`.

    `nullable` is None if the result can be NULL when an argument can.
    """

    kind: Kind | None
    rule: str = ""
    is_array: bool = False
    nullable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function. `most` is the maximum number of arguments, None without a maximum.

    `clickhouse` is ClickHouse's name or a template, `translator` the translator of the local engine.
    """

    name: str
    clickhouse: str
    least: int
    most: int | None
    result: FunctionResult
    translator: str | None = None
    marks: frozenset[str] = frozenset()

    @property
    def is_template(self) -> bool:
        return "(" in self.clickhouse


_UNKNOWN: Final = FunctionResult(Kind.UNKNOWN)


def _rows(text: str) -> Iterator[Function]:
    for row in filter(None, text.splitlines()):
        names, _, rest = row.rpartition(": ")
        arity, *words = rest.split(" ")
        least, most = _bounds(arity)
        result = _result(words[0]) if words else _UNKNOWN
        marks = frozenset(words[1:])
        for name, other in _names(names):
            is_translated = other.startswith("@")
            yield Function(
                name=name,
                clickhouse=name if is_translated else other or name,
                least=least,
                most=most,
                result=result,
                translator=other[1:] if is_translated else None,
                marks=marks,
            )


def _names(written: str) -> Iterator[tuple[str, str]]:
    """Pairs of name and ClickHouse name of a row; a row with a template has one name."""
    if "(" in written:
        name, _, template = written.partition("=")
        yield name, template
        return
    for word in written.split():
        name, _, other = word.partition("=")
        yield name, other


def _bounds(arity: str) -> tuple[int, int | None]:
    if arity.endswith("+"):
        return int(arity[:-1]), None
    least, _, most = arity.partition("-")
    return int(least), int(most or least)


def _result(word: str) -> FunctionResult:
    nullable = {"!": False, "?": True}.get(word[-1])
    bare = word.rstrip("!?")
    inside = bare.strip("[]")
    kind = Kind(inside) if inside in _KINDS else None
    return FunctionResult(kind, "" if kind else inside, bare.startswith("["), nullable)


_KINDS: Final = frozenset(map(str, Kind))


def _named(rows: Iterator[Function]) -> dict[str, Function]:
    return {function.name: function for function in rows}


def _combined(base: Function, *suffixes: str) -> Function:
    """An aggregation with suffixes. A state replaces the arguments: `argMaxMerge` has one, although `argMax` has
    two."""
    more = sum(suffix in _ONE_MORE for suffix in suffixes)
    least, most = (1, 1) if "Merge" in suffixes else (base.least, base.most)
    suffix = "".join(suffixes)
    return Function(
        name=base.name + suffix,
        clickhouse=base.clickhouse + suffix,
        least=least + more,
        most=None if most is None else most + more,
        result=_UNKNOWN,
    )


def _with_suffixes(bases: Iterator[Function]) -> Iterator[Function]:
    for base in bases:
        yield base
        if "combined" in base.marks:
            yield from (_combined(base, *suffixes) for suffixes in _suffix_chains())
        else:
            firsts = ("If", *(_STATE_SUFFIXES if "states" in base.marks else ()))
            yield from (_combined(base, first) for first in firsts)


def _suffix_chains(before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The suffixes that can follow one another, such as ("Array", "OrNull", "If")."""
    nexts = _LATER_SUFFIXES.get(before[-1], _LATER_BY_DEFAULT) if before else _ALL_SUFFIXES
    for suffix in nexts:
        yield (*before, suffix)
        yield from _suffix_chains((*before, suffix))


def _parametric() -> Iterator[Function]:
    for function in _rows(_PARAMETRIC):
        yield function
        if function.name == "quantile":
            yield _combined(function, "If")
        if function.name == "quantiles":
            yield replace(_combined(function, "If"), most=2)


FUNCTIONS: Final = _named(_rows(_FUNCTIONS))
AGGREGATES: Final = (
    _named(_with_suffixes(_rows(_AGGREGATES))) | _named(_rows(_LISTED_WITH_SUFFIXES)) | _named(_rows(_WITHOUT_SUFFIXES))
)
PARAMETRIC: Final = _named(_parametric())
WINDOW: Final = _named(_rows(_WINDOW))
PARAMETERS_OF: Final = _PARAMETERS
"""The minimum and maximum number of parameters of an aggregation that PostHog counts; None without a maximum. Those of
any other aggregation go to ClickHouse as written."""


def reason_of(function: Function) -> str | None:
    """Why no call of a function in the catalog runs, or None."""
    return next((reason for mark, reason in _REASONS.items() if mark in function.marks), None)


_REASONS: Final = {
    "unusable": "ClickHouse refuses the number of arguments that PostHog allows",
    "missing": "PostHog's ClickHouse has it, the embedded one does not",
}

REDUCERS: Final = frozenset(
    name + suffix
    for name, function in AGGREGATES.items()
    if "reducer" in function.marks
    for suffix in _REDUCER_SUFFIXES
)
"""Aggregations that are allowed in `arrayReduce`."""

_LOWER_CASE: Final = frozenset(_ANY_CASE.split())
_BY_LOWER_CASE: Final = {name.lower(): name for name in (*AGGREGATES, *FUNCTIONS) if name.lower() in _LOWER_CASE}


def catalog_name(name: str) -> str | None:
    """The name in the catalog, or None; some names are case-insensitive."""
    if name in AGGREGATES or name in PARAMETRIC or name in FUNCTIONS:
        return name
    return _BY_LOWER_CASE.get(name.lower())


def known_name(name: str) -> str:
    """The name in the catalog, or the name itself if the catalog lacks it."""
    return catalog_name(name) or name


def is_aggregation(name: str) -> bool:
    """Whether this is the name of an aggregation, including suffixes that the catalog does not list."""
    known = known_name(name)
    return known in AGGREGATES or known in PARAMETRIC or known == _ABSENT_AGGREGATE or is_combined(known)


def encloses(name: str) -> bool:
    """Whether PostHog refuses an aggregation inside of a call: it is an aggregation, or PostHog lists it as one."""
    known = catalog_name(name)
    return known in AGGREGATES or known in PARAMETRIC or (known in FUNCTIONS and "encloses" in FUNCTIONS[known].marks)


def is_combined(name: str) -> bool:
    """Whether this is an aggregation with suffixes, such as `groupUniqArrayArray`, of which PostHog allows more than
    listed."""
    return any(base in AGGREGATES or base in PARAMETRIC or base == _ABSENT_AGGREGATE for base in _bases(name))


def _bases(name: str) -> set[str]:
    """What is left of a name without one or more suffixes."""
    bases: set[str] = set()
    shorter = {name}
    while shorter:
        shorter = {base.removesuffix(suffix) for base in shorter for suffix in SUFFIXES if base.endswith(suffix)}
        bases |= shorter
    return bases


def is_additive(name: str) -> bool:
    """Whether the values of an aggregation over parts can be aggregated again; suffixes are ignored."""
    base = name
    while base.endswith(_ADDITIVE_SUFFIXES):
        base = next(base.removesuffix(suffix) for suffix in _ADDITIVE_SUFFIXES if base.endswith(suffix))
    known = AGGREGATES.get(base.lower())
    return known is not None and "additive" in known.marks


def is_volatile(name: str) -> bool:
    """Whether the result of a call depends on the current time."""
    return _has_mark(name, "volatile") or name == "now64"


def is_bucket(name: str) -> bool:
    """Whether a call truncates a time to intervals."""
    return _has_mark(name, "bucket") or name.lower().startswith("tostartof")


def is_numeric(name: str) -> bool:
    """Whether a call reads its arguments as numbers, without or with suffixes."""
    return not {known_name(name), *_bases(name)}.isdisjoint(_NUMERIC)


_NUMERIC: Final = frozenset(
    name
    for functions in (FUNCTIONS, AGGREGATES, PARAMETRIC)
    for name, function in functions.items()
    if "numeric" in function.marks
)


def _has_mark(name: str, mark: str) -> bool:
    return name.lower() in _MARKED[mark]


_MARKED: Final = {
    mark: frozenset(name.lower() for name, function in FUNCTIONS.items() if mark in function.marks)
    for mark in ("volatile", "bucket")
}


def suggested_names() -> list[str]:
    """The names of functions and aggregations for suggestions."""
    return [name for name in (*AGGREGATES, *PARAMETRIC, *FUNCTIONS) if not name.startswith("_")]


def arity_mistake(name: str, count: int) -> str | None:
    """The mistake in the number of arguments of a function in the catalog, in the server's words, or None."""
    function = next(table[name] for table in (AGGREGATES, PARAMETRIC, FUNCTIONS, WINDOW) if name in table)
    if "macro" in function.marks:
        requires = f"Function '{name}' requires exactly {_counted(function.least, 'argument')}"
        return None if count == function.least else requires
    is_aggregate = name in AGGREGATES or name in PARAMETRIC
    what = f"{'Aggregation' if is_aggregate else 'Function'} '{name}'"
    return _count_mistake(what, "argument", count, function.least, function.most)


def parameter_mistake(name: str, count: int) -> str | None:
    """The mistake in the number of parameters of an aggregation, in the server's words, or None."""
    if name not in PARAMETERS_OF:
        return None
    if not count:
        return f"Aggregation '{name}' requires parameters in addition to arguments"
    return _count_mistake(f"Aggregation '{name}'", "parameter", count, *PARAMETERS_OF[name])


def _count_mistake(what: str, term: str, count: int, least: int, most: int | None) -> str | None:
    if least == most and count != least:
        return f"{what} expects {_counted(least, term)}, found {count}"
    if count < least:
        return f"{what} expects at least {_counted(least, term)}, found {count}"
    if most is not None and count > most:
        return f"{what} expects at most {_counted(most, term)}, found {count}"
    return None


def ordered_set_mistake(name: str, *, has_within_group: bool) -> str | None:
    """Why the server refuses an aggregation with WITHIN GROUP, or one that requires it; None for any other."""
    known = AGGREGATES.get(known_name(name))
    if known is not None and "macro" in known.marks:
        return None
    if has_within_group:
        return f"Aggregation '{name}' with WITHIN GROUP is not supported in ClickHouse dialect"
    return f"Aggregation '{name}' requires WITHIN GROUP" if name in ORDERED_SETS else None


def _counted(count: int, term: str) -> str:
    return f"{count} {term}{'' if count == 1 else 's'}"
