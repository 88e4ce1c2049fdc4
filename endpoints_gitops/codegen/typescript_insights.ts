/** A number for each period; null where a formula has no value. */
export type Numbers = readonly (number | null)[];

/** Null without a breakdown, or if the property is not set; several breakdowns have a list. */
export type Breakdown = string | readonly (string | null)[] | null;

/** One series of a TrendsQuery: `data[i]` belongs to `days[i]` (`2026-07-01`; hours have a time). A series with one total
 * has an `aggregated_value` and no `data`. */
export interface TrendSeries {
  readonly label: string;
  readonly data: Numbers | null;
  readonly days: readonly string[] | null;
  readonly labels?: readonly string[] | null;
  readonly count: number;
  readonly aggregated_value?: number | null;
  readonly breakdown_value?: Breakdown;
  /** `current` or `previous`, if the insight compares. */
  readonly compare_label?: string | null;
  readonly action?: { readonly [key: string]: Json } | null;
}

/** How many people have one status in each period; numbers of dormant people are negative. */
export interface LifecycleSeries {
  readonly status: "new" | "returning" | "resurrecting" | "dormant";
  readonly label: string;
  readonly data: Numbers;
  readonly days: readonly string[];
  readonly labels: readonly string[];
  readonly count: number;
}

/** How many people of a cohort returned in one period. `aggregation_value` is set if a property is aggregated. */
export interface RetentionValue {
  readonly count: number;
  readonly label: string;
  readonly aggregation_value?: number | null;
}

/** The people who started at `date` (ISO 8601); `values[k]` is the k-th period after it. Future periods are 0. */
export interface RetentionCohort {
  readonly label: string;
  readonly date: string;
  readonly values: readonly RetentionValue[];
  readonly breakdown_value?: Breakdown;
}

/** One step of a funnel. `count` people reached at least this step; times are seconds since the previous step. A funnel
 * with a breakdown has the steps of each value, one value after the other. */
export interface FunnelStep {
  readonly name: string;
  readonly custom_name?: string | null;
  readonly order: number;
  readonly count: number;
  readonly average_conversion_time?: number | null;
  readonly median_conversion_time?: number | null;
  readonly breakdown_value?: Breakdown;
}

/** How long conversions took: `bins` are pairs of seconds and number of people. */
export interface FunnelTimes {
  readonly bins: readonly (readonly [seconds: number, people: number])[];
  readonly average_conversion_time?: number | null;
}

/** Conversion over time; `data` are rates in percent. */
export interface FunnelTrend {
  readonly count: number;
  readonly data: Numbers;
  readonly days: readonly string[];
  readonly labels: readonly string[];
  readonly breakdown_value?: Breakdown;
}

/** How many people went from `source` to `target`; `average_conversion_time` is in milliseconds. */
export interface PathLink {
  readonly source: string;
  readonly target: string;
  readonly value: number;
  readonly average_conversion_time?: number | null;
}

/** `data[i]` people were active in exactly `days[i]` periods. */
export interface StickinessSeries {
  readonly label: string;
  readonly data: Numbers;
  readonly days: readonly number[];
  readonly labels: readonly string[];
  readonly count: number;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isNumber: Check = (value) => typeof value === "number";
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const shape =
  (keys: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) && Object.entries(keys).every(([key, check]) => check(value[key]));
const isBreakdown: Check = (value) => maybe(isText)(value) || listOf(maybe(isText))(value);
const SERIES = { data: listOf(maybe(isNumber)), days: listOf(isText), labels: listOf(isText), count: isNumber };
const INSIGHTS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  TrendSeries: {
    label: isText,
    count: isNumber,
    data: (value) => value === null || SERIES.data(value),
    days: (value) => value === null || SERIES.days(value),
    labels: maybe(SERIES.labels),
    aggregated_value: maybe(isNumber),
    breakdown_value: isBreakdown,
    compare_label: maybe(isText),
    action: maybe(isObject),
  },
  LifecycleSeries: {
    ...SERIES,
    label: isText,
    status: (value) => ["new", "returning", "resurrecting", "dormant"].includes(String(value)),
  },
  RetentionCohort: {
    label: isText,
    date: isText,
    values: listOf(shape({ count: isNumber, label: isText, aggregation_value: maybe(isNumber) })),
    breakdown_value: isBreakdown,
  },
  FunnelStep: {
    name: isText,
    custom_name: maybe(isText),
    order: isNumber,
    count: isNumber,
    average_conversion_time: maybe(isNumber),
    median_conversion_time: maybe(isNumber),
    breakdown_value: isBreakdown,
  },
  FunnelTimes: {
    bins: listOf((pair) => listOf(isNumber)(pair) && (pair as unknown[]).length === 2),
    average_conversion_time: maybe(isNumber),
  },
  FunnelTrend: { ...SERIES, breakdown_value: isBreakdown },
  PathLink: { source: isText, target: isText, value: isNumber, average_conversion_time: maybe(isNumber) },
  StickinessSeries: { ...SERIES, label: isText, days: listOf(isNumber) },
};

/** A value with its numbers rounded as JSON.parse rounds them: those of insights are counts. */
function rounded(value: unknown): unknown {
  if (isLarge(value)) {
    return Number(value.slice(LARGE.length));
  }
  if (Array.isArray(value)) {
    return value.map(rounded);
  }
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rounded(each)])) : value;
}

/** What calls a pin whose answers are results of an insight. `kind` is the name of their type. */
function insightEndpoint<Variables extends object, Result, Refresh extends string>(
  pin: Pin,
  kind: string | null,
): InsightEndpoint<Variables, Result, Refresh> {
  async function run(client: Client, variables?: Variables, options: CallOptions<Refresh> = {}): Promise<Answer<Result>> {
    const body = await client.call(pin, variables, options);
    checkVersion(pin, body);
    const sent = rounded(body["results"]);
    if (!Array.isArray(sent) && !isObject(sent)) {
      throw broken(pin, "the answer has no results");
    }
    const keys = Object.entries((kind === null ? undefined : INSIGHTS[kind]) ?? {});
    const results: unknown[] = Array.isArray(sent) ? (kind === "FunnelStep" ? sent.flat() : sent) : [sent];
    results.forEach((result, index) => {
      const wrong = keys.find(([key, check]) => !isObject(result) || !check(result[key]));
      if (wrong !== undefined) {
        const value = isObject(result) ? result[wrong[0]] : result;
        throw broken(pin, `result ${index} is no ${kind}: ${wrong[0]} is ${shown(value)}`);
      }
    });
    return answerOf(body, results as Result[], body["hasMore"] === true);
  }
  return run as InsightEndpoint<Variables, Result, Refresh>;
}
