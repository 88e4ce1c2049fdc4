// Calls the generated client as an app does: node app.js SCENARIO; prints JSON.
import {
  ApiError,
  Budget,
  Client,
  ContractBroken,
  EndpointError,
  RateLimited,
  UnsafeInteger,
  aB,
  aB_2,
  allTypes,
  big,
  byBrowser,
  cohorts,
  delete_,
  empty,
  giant,
  numbers,
  revenueByPlan,
  statuses,
  steps,
  sums,
  then_,
  twice,
} from "./endpoints_client.js";
import type { AllTypesRow, ClientOptions, DeleteRow, RevenueByPlanRow } from "./endpoints_client.js";

declare const process: { readonly env: Record<string, string | undefined>; readonly argv: readonly string[] };

function client(options: Partial<ClientOptions> = {}): Client {
  const { APP_HOST: host, APP_KEY: key = "" } = process.env;
  return new Client({ key, host, projectId: 1, ...options });
}

/** What an app sees of an error. */
function seen(error: unknown): unknown {
  if (error instanceof ApiError) {
    const { name, endpoint, status, code, detail, attr, retryAfterMs } = error;
    return { name, endpoint, status, code, detail, attr, retryAfterMs };
  }
  if (error instanceof UnsafeInteger) {
    return { name: error.name, column: error.column, digits: error.digits, isBroken: error instanceof ContractBroken };
  }
  return error instanceof Error ? { name: error.name, message: error.message } : { thrown: String(error) };
}

async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    return { returned: await call };
  } catch (error) {
    return seen(error);
  }
}

/** What the fetch of Node does with a name that does not exist. */
async function noSuchHost(): Promise<Response> {
  const cause = Object.assign(new Error("getaddrinfo ENOTFOUND nowhere.invalid"), { code: "ENOTFOUND" });
  throw new TypeError("fetch failed", { cause });
}

const scenarios: Record<string, () => Promise<unknown>> = {
  rows: async () => {
    const { rows, hasMore, isFromTable, executionId } = await revenueByPlan(client(), { since: "2020-01-01" });
    const first: RevenueByPlanRow | undefined = rows[0];
    const total: number = rows.reduce((sum, row) => sum + row.orders, 0);
    const other = await revenueByPlan(client(), { since: "2020-01-01", plan: "user signed up" }, { refresh: "force" });
    return { first, total, hasMore, isFromTable, executionId, other: other.rows };
  },
  types: async () => {
    const { rows } = await allTypes(client({ key: async () => process.env["APP_KEY"] }));
    const [row] = rows as readonly [AllTypesRow];
    const item: string = row.pair[1];
    const text: string | null = row.no_text;
    return { row, item, text };
  },
  odd: async () => {
    const { rows } = await delete_(client());
    const [row] = rows as readonly [DeleteRow];
    const [one, text, again] = (await twice(client())).rows[0] ?? [0, "", 0];
    const both = [(await aB(client())).rows[0]?.one, (await aB_2(client())).rows[0]?.two];
    return { row, keys: Object.keys(row), size: row["größe"], position: [one, text, again], both, then: (await then_(client())).rows };
  },
  empty: async () => (await empty(client())).rows,
  large: async () => [await failure(big(client())), await failure(giant(client()))],
  pages: async () => {
    const seenNumbers: number[] = [];
    for await (const row of numbers.iterate(client(), {}, { pageSize: 100 })) {
      seenNumbers.push(row.num);
    }
    const unknown = await numbers(client());
    const page = await numbers(client(), {}, { limit: 2, offset: 3 });
    return { seenNumbers, unknown: unknown.hasMore, page };
  },
  table: async () => {
    const answer = await sums(client(), { plan: "$pageview" });
    const direct = await sums(client(), { plan: "$pageview" }, { refresh: "direct" });
    return { rows: answer.rows, isFromTable: answer.isFromTable, direct: [direct.isFromTable, direct.rows] };
  },
  insights: async () => {
    const series = await byBrowser(client(), { $browser: "Chrome" });
    const counts: (number | null)[] = series.rows.flatMap((each) => each.data ?? []);
    const life = await statuses(client());
    const kept = await cohorts(client());
    const funnel = await steps(client());
    return {
      browsers: series.rows.map((each) => each.breakdown_value),
      counts,
      statuses: life.rows.map((each) => each.status),
      cohorts: kept.rows.map((each) => [each.label, each.values.map((value) => value.count)]),
      steps: funnel.rows.map((each) => [each.name, each.count]),
    };
  },
  errors: async () => ({
    unauthorized: await failure(revenueByPlan(client({ key: "phx_wrong" }), { since: "2020-01-01" })),
    badRequest: await failure(revenueByPlan(client(), { since: "2020-01-01", ...({ plann: 1 } as object) })),
    missing: await failure(sums(client(), {} as never)),
    offset: await failure(numbers(client(), {}, { offset: 1 })),
    notFound: await failure(numbers(client({ projectId: 77 }))),
    noKey: await failure(numbers(client({ key: () => undefined }))),
    notAKey: await failure(numbers(client({ key: `${process.env["APP_KEY"]}\n`, maxWaitMs: Infinity }))),
    undefinedKey: await failure(numbers(client({ key: undefined as never }))),
    notAHost: await failure((async () => numbers(client({ host: "us.posthog.com" })))()),
    plainHttp: await failure((async () => numbers(client({ host: "http://posthog.internal" })))()),
    allowedHttp: await failure(numbers(client({ host: "http://posthog.internal", allowPlainHttp: true, fetch: noSuchHost }))),
    noProject: await failure((async () => numbers(client({ projectId: Number(undefined) })))()),
    nowhere: await failure(numbers(client({ host: "http://127.0.0.1:1", maxWaitMs: 700 }))),
    wrongHost: await failure(numbers(client({ maxWaitMs: Infinity, fetch: noSuchHost }))),
  }),
  // the test has set faults before
  once: async () => await failure(numbers(client({ maxWaitMs: Number(process.argv[3]) }), {}, { limit: 1 })),
  paused: async () => {
    const shared = client({ maxWaitMs: 3_000 });
    return [await failure(numbers(shared)), await failure(numbers(shared)), (await sums(shared, { plan: "$pageview" })).rows.length];
  },
  slow: async () => {
    const began = Date.now();
    const timeout = await failure(numbers(client({ timeoutMs: 300, maxWaitMs: 400 })));
    const signal = AbortSignal.timeout(300);
    const aborted = await failure(numbers(client(), {}, { signal }));
    const controller = new AbortController();
    const key = async (): Promise<string> => {
      controller.abort(new Error("no longer needed"));
      return "phx_a";
    };
    const abortedEarly = await failure(numbers(client({ key }), {}, { signal: controller.signal }));
    return { timeout, aborted, abortedEarly, isQuick: Date.now() - began < 3_000 };
  },
  budget: async () => {
    const budget = new Budget({ inline: { perMinute: 2, concurrent: 1 } });
    const limited = client({ budget, maxWaitMs: 2_000 });
    const calls = await Promise.all([1, 2, 3].map((limit) => failure(numbers(limited, {}, { limit }))));
    const table = await sums(limited, { plan: "$pageview" });
    const hourly = client({ budget: new Budget({ inline: { perHour: 1 } }), maxWaitMs: 2_000 });
    const hour = [await failure(numbers(hourly)), await failure(numbers(hourly))];
    const direct = await failure(sums(limited, { plan: "$pageview" }, { refresh: "direct" }));
    const nothing = await failure((async () => new Budget({ materialized: { perHour: 0 } }))());
    return { calls, table: table.rows.length, direct, hour, nothing };
  },
  atOnce: async () => {
    let running = 0;
    let most = 0;
    const fetch: typeof globalThis.fetch = async (...call) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 100));
      const response = await globalThis.fetch(...call);
      running -= 1;
      return response;
    };
    const shared = client({ fetch });
    await Promise.all([...Array(12).keys()].map((index) => numbers(shared, {}, { limit: index + 1 })));
    const inline = most;
    most = 0;
    await Promise.all([...Array(14).keys()].map(() => sums(shared, { plan: "$pageview" })));
    return { inline, table: most };
  },
  aborted: async () => {
    const controller = new AbortController();
    const budget = new Budget({ inline: { concurrent: 1 } });
    let arrived = (): void => undefined;
    const first = new Promise<void>((resolve) => (arrived = resolve));
    const fetch: typeof globalThis.fetch = async (...call) => {
      arrived();
      await new Promise((resolve) => setTimeout(resolve, 200));
      return globalThis.fetch(...call);
    };
    const shared = client({ budget, fetch });
    const running = numbers(shared, {}, { limit: 1 });
    await first;
    const waiting = failure(numbers(shared, {}, { limit: 2, signal: controller.signal }));
    controller.abort(new Error("no longer needed"));
    const after = await Promise.all([waiting, running, numbers(shared, {}, { limit: 3 })]);
    return { waiting: after[0], rows: [after[1].rows.length, after[2].rows.length] };
  },
  browser: async () => {
    const globals = globalThis as Record<string, unknown>;
    const refused: Record<string, unknown> = {};
    for (const [name, value] of Object.entries({
      document: {},
      navigator: { userAgent: "Mozilla/5.0 (X11; Linux x86_64)" },
    })) {
      const before = Object.getOwnPropertyDescriptor(globals, name);
      Object.defineProperty(globals, name, { value, configurable: true });
      refused[name] = await failure((async () => client())());
      if (before) Object.defineProperty(globals, name, before);
      else delete globals[name];
    }
    return { ...refused, worksAgain: client() instanceof Client };
  },
  answers: async () => {
    const answer = (change: (body: Record<string, unknown>) => object): typeof globalThis.fetch => async (...call) => {
      const response = await globalThis.fetch(...call);
      const body = (await response.json()) as Record<string, unknown>;
      return new Response(JSON.stringify({ ...body, ...change(body) }));
    };
    const all = async (from: Client): Promise<number> => {
      let count = 0;
      for await (const _ of numbers.iterate(from)) count += 1;
      return count;
    };
    const echo = (status: number): typeof globalThis.fetch => async (_, sent) =>
      new Response(JSON.stringify(sent?.headers).slice(0, -1), { status });
    const broken = async (change: (body: Record<string, unknown>) => object): Promise<unknown> =>
      await failure(empty(client({ fetch: answer(change) })));
    return {
      version: await broken(() => ({ endpoint_version: 2 })),
      noVersion: await broken(() => ({ endpoint_version: undefined })),
      recreated: await broken(() => ({ endpoint_version_created_at: "2031-01-01T00:00:00+00:00" })),
      older: await broken(() => ({ endpoint_version_created_at: "2021-01-01T00:00:00+00:00" })),
      gone: await broken(() => ({ columns: ["event", "order"] })),
      type: await broken(() => ({ types: [["event", "String"], ["orders", "LowCardinality(Nullable(String))"]] })),
      width: await broken(() => ({ results: [["a"]] })),
      value: await broken(() => ({ results: [["a", "b"]] })),
      nothing: await broken(() => ({ results: [[null, 1]] })),
      others: await broken(() => ({ columns: ["new", "orders", "event"], types: [], results: [[0, "12", "a"]] })),
      noMore: await failure(all(client({ fetch: answer(() => ({ results: [], hasMore: true })) }))),
      echoes: await Promise.all([200, 401, 500].map((status) => failure(empty(client({ fetch: echo(status), maxWaitMs: 100 }))))),
      html: await failure(empty(client({ fetch: async () => new Response("<html>Log in</html>") }))),
      redirect: await failure(
        empty(client({ fetch: async () => new Response("", { status: 302, headers: { location: "https://example.com" } }) })),
      ),
      isEndpointError: new ContractBroken("a@1", "x") instanceof EndpointError && !(new RateLimited("a@1", {
        status: 429, code: null, detail: "", attr: null, retryAfterMs: null }) instanceof ContractBroken),
    };
  },
};

const scenario = scenarios[process.argv[2] ?? ""];
if (scenario === undefined) {
  throw new Error("no such scenario");
}
console.log(JSON.stringify(await scenario()));
