/** Any value of JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** The key is missing or is not a key, or the client runs in a browser, where everyone can read the key. Nothing was
 * sent. */
export class KeyRefused extends Error {
  override readonly name: string = "KeyRefused";
}

/** What a call failed with. `endpoint` is its name and pinned version, such as `revenue@3`. */
export class EndpointError extends Error {
  override readonly name: string = "EndpointError";
  readonly endpoint: string;

  constructor(endpoint: string, message: string, options?: ErrorOptions) {
    super(`${endpoint}: ${message}`, options);
    this.endpoint = endpoint;
  }
}

/** No answer arrived within `maxWaitMs`: the host cannot be reached, or each attempt took longer than `timeoutMs`. */
export class Unreachable extends EndpointError {
  override readonly name: string = "Unreachable";
}

/** What the server said of an error. */
export interface ErrorDetails {
  /** Null if nothing was sent, because the client's own budget of the key is used up. */
  readonly status: number | null;
  /** The server's word for the error, such as `invalid_input`. */
  readonly code: string | null;
  readonly detail: string;
  /** The part of the request that is wrong, such as `variables`. */
  readonly attr: string | null;
  /** How long to wait before the next call, if the server (or the client's budget) says so. */
  readonly retryAfterMs: number | null;
}

/** The server refused the call, or failed. The subclasses are for the statuses that an app tells apart. */
export class ApiError extends EndpointError implements ErrorDetails {
  override readonly name: string = "ApiError";
  readonly status: number | null;
  readonly code: string | null;
  readonly detail: string;
  readonly attr: string | null;
  readonly retryAfterMs: number | null;

  constructor(endpoint: string, details: ErrorDetails) {
    const about = details.attr === null ? "" : ` (${details.attr})`;
    super(endpoint, `${details.status === null ? "" : `${details.status} `}${details.detail}${about}`);
    this.status = details.status;
    this.code = details.code;
    this.detail = details.detail;
    this.attr = details.attr;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** 400: unknown or missing variables, a query that fails or takes too long, an inactive version. */
export class BadRequest extends ApiError {
  override readonly name: string = "BadRequest";
}

/** 401: the server does not know the key. */
export class Unauthorized extends ApiError {
  override readonly name: string = "Unauthorized";
}

/** 403: the key may not run this endpoint. */
export class Forbidden extends ApiError {
  override readonly name: string = "Forbidden";
}

/** 404: the endpoint or the version does not exist, or the endpoint is inactive. */
export class NotFound extends ApiError {
  override readonly name: string = "NotFound";
}

/** 429, or the client's own budget of the key is used up: too many calls in a minute or an hour, or at once. */
export class RateLimited extends ApiError {
  override readonly name: string = "RateLimited";
}

/** 5xx: the server failed. */
export class ServerError extends ApiError {
  override readonly name: string = "ServerError";
}

/** The answer is not what the lock promises for the pinned version. */
export class ContractBroken extends EndpointError {
  override readonly name: string = "ContractBroken";
}

/** An integer is beyond Number.MAX_SAFE_INTEGER, so a number of JavaScript would be another one. The way out is to
 * select `toString(column)`. */
export class UnsafeInteger extends ContractBroken {
  override readonly name: string = "UnsafeInteger";
  readonly column: string;
  readonly digits: string;

  constructor(endpoint: string, column: string, digits: string) {
    super(endpoint, `${column} is ${digits}, which a number cannot hold: select toString(…) instead`);
    this.column = column;
    this.digits = digits;
  }
}

/** How many calls the server allows one key. */
export interface Limits {
  readonly perMinute: number;
  readonly perHour: number;
  /** Calls at the same time. */
  readonly concurrent: number;
}

type BudgetKind = "inline" | "materialized";

const LIMITS: Readonly<Record<BudgetKind, Limits>> = {
  inline: { perMinute: 240, perHour: 2_400, concurrent: 3 },
  materialized: { perMinute: 1_200, perHour: 12_000, concurrent: 10 },
};
/** The server counts a request when it arrives, which is later than here by a varying delay. */
const MARGIN_MS = 1_000;
const MINUTE_MS = 60_000 + MARGIN_MS;
const HOUR_MS = 3_600_000 + MARGIN_MS;

class Window {
  readonly limits: Limits;
  sent: number[] = [];
  pausedUntil = 0;
  running = 0;
  readonly queue: (() => void)[] = [];

  constructor(limits: Limits) {
    if (Object.values(limits).some((limit) => !(limit >= 1))) {
      throw new RangeError("a limit of a Budget must be at least 1");
    }
    this.limits = limits;
  }

  /** Counts one call and returns 0, or returns how many milliseconds to wait. */
  acquire(now: number): number {
    if (this.pausedUntil > now) {
      return this.pausedUntil - now;
    }
    // a time in the future is from a clock that was ahead
    this.sent = this.sent.filter((at) => now - at < HOUR_MS && at <= now + MARGIN_MS);
    const wait = Math.max(
      this.#waitFor(this.limits.perMinute, MINUTE_MS, now),
      this.#waitFor(this.limits.perHour, HOUR_MS, now),
    );
    if (wait === 0) {
      this.sent.push(now);
    }
    return wait;
  }

  #waitFor(limit: number, window: number, now: number): number {
    const nth = this.sent.at(-limit);
    return nth === undefined ? 0 : Math.max(0, nth + window - now);
  }
}

/** What the server allows one key, counted in the memory of this process: a moving minute, a moving hour, and the calls
 * at the same time. Calls of materialized versions have limits of their own. Share one between clients that use the
 * same key. */
export class Budget {
  readonly #windows: Readonly<Record<BudgetKind, Window>>;

  /** Limits that are not set are those that PostHog documents. Throws a RangeError for one below 1. */
  constructor(limits: { readonly [Kind in BudgetKind]?: Partial<Limits> } = {}) {
    this.#windows = {
      inline: new Window({ ...LIMITS.inline, ...limits.inline }),
      materialized: new Window({ ...LIMITS.materialized, ...limits.materialized }),
    };
  }

  /** Counts one call and returns 0, or counts none and returns how many milliseconds to wait. */
  acquire(kind: BudgetKind): number {
    return this.#windows[kind].acquire(Date.now());
  }

  /** Holds every call back, because the server asked for it. */
  pause(kind: BudgetKind, milliseconds: number): void {
    const window = this.#windows[kind];
    window.pausedUntil = Math.max(window.pausedUntil, Date.now() + Math.min(milliseconds, HOUR_MS));
  }

  /** Runs one call, as soon as fewer than the limit run. Rejects like `leave` if that rejects earlier. */
  async whileFree<Result>(kind: BudgetKind, leave: Promise<never>, call: () => Promise<Result>): Promise<Result> {
    const window = this.#windows[kind];
    if (window.running >= window.limits.concurrent) {
      let enter = (): void => undefined;
      const free = new Promise<void>((resolve) => {
        enter = resolve;
      });
      window.queue.push(enter);
      try {
        await Promise.race([free, leave]);
      } catch (error) {
        const index = window.queue.indexOf(enter);
        if (index >= 0) {
          window.queue.splice(index, 1);
        } else {
          this.#release(window); // this call got the slot while it was leaving
        }
        throw error;
      }
    } else {
      window.running += 1;
    }
    try {
      return await call();
    } finally {
      this.#release(window);
    }
  }

  /** Hands the slot of a call that ended to the next call. */
  #release(window: Window): void {
    const next = window.queue.shift();
    if (next === undefined) {
      window.running -= 1;
    } else {
      next();
    }
  }
}

export interface ClientOptions {
  /** A key with the scope `endpoint:read`, or what returns it. It is asked for with each attempt, and never stored. */
  readonly key: string | (() => string | undefined | Promise<string | undefined>);
  readonly projectId: number | string;
  /** `https://us.posthog.com` by default. */
  readonly host?: string | undefined;
  /** Send the key over plain http to a host other than this machine, where others can read it on the way. */
  readonly allowPlainHttp?: boolean | undefined;
  /** How long one attempt may take; 60,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** How long a call may take with its retries and waits; 60,000 by default. */
  readonly maxWaitMs?: number | undefined;
  /** By default each client has its own. */
  readonly budget?: Budget | undefined;
  /** Instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

/** Options of one call. `refresh: "force"` bypasses the cache of the server. */
export interface CallOptions<Refresh extends string = "cache" | "force"> {
  readonly refresh?: Refresh | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly maxWaitMs?: number | undefined;
}

/** Options of one call that answers with rows. Without `limit`, the server returns at most 100 rows of a query without
 * LIMIT. `offset` needs a `limit`. */
export interface RowOptions<Refresh extends string = "cache" | "force"> extends CallOptions<Refresh> {
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
}

/** Options of all rows, page by page. `pageSize` is 10,000 by default. */
export interface PageOptions<Refresh extends string = "cache" | "force"> extends CallOptions<Refresh> {
  readonly pageSize?: number | undefined;
}

/** The values of `refresh` for a materialized version: `direct` computes the query and does not read the table. */
export type TableRefresh = "cache" | "force" | "direct";

/** What a call returned. */
export interface Answer<Row> {
  readonly rows: readonly Row[];
  /** Whether the server has more rows. Null if that is unknown: 100 rows, and no `limit`. */
  readonly hasMore: boolean | null;
  /** Whether the rows come from a materialized table. */
  readonly isFromTable: boolean;
  /** The id of the call in the endpoint's log. */
  readonly executionId: string | null;
}

type Kind =
  | "integer"
  | "float"
  | "decimal"
  | "string"
  | "boolean"
  | "date"
  | "datetime"
  | "array"
  | "tuple"
  | "map"
  | "any";

interface ValueType {
  readonly kind: Kind;
  readonly nullable?: true;
  readonly items?: readonly ValueType[];
}

interface Pin {
  readonly name: string;
  readonly version: number;
  /** When the endpoint was created. */
  readonly createdAt: string | null;
  readonly materialized: boolean;
}

interface RowPin extends Pin {
  /** Null if the lock does not know them. */
  readonly columns: readonly (readonly [name: string, type: ValueType])[] | null;
  /** Rows are arrays, because several columns have the same name. */
  readonly byPosition?: true;
}

/** The arguments of a call: variables can be left out if none is required. */
export type Arguments<Variables, Options> = Record<never, never> extends Variables
  ? [variables?: Variables, options?: Options]
  : [variables: Variables, options?: Options];

/** A pinned endpoint whose calls answer with rows. */
export interface RowEndpoint<Variables, Row, Refresh extends string> {
  /** Calls the pinned version. Rejects with an EndpointError, or with the reason of the signal. */
  (client: Client, ...call: Arguments<Variables, RowOptions<Refresh>>): Promise<Answer<Row>>;
  /** All rows, page by page. Rows can be missing or repeated unless the query has ORDER BY a unique column. */
  iterate(client: Client, ...call: Arguments<Variables, PageOptions<Refresh>>): AsyncGenerator<Row, void, undefined>;
}

/** A pinned insight. */
export interface InsightEndpoint<Variables, Result, Refresh extends string> {
  /** Calls the pinned version. Rejects with an EndpointError, or with the reason of the signal. */
  (client: Client, ...call: Arguments<Variables, CallOptions<Refresh>>): Promise<Answer<Result>>;
}

const RETRIED: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const PAGE_ROWS = 10_000;
const UNPAGED_ROWS = 100;
/** A longer timer would end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** What Node says of a host whose name does not exist, or whose certificate is not trusted. */
const WRONG_HOST = new Set([
  "ENOTFOUND",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
const CREATION_MS = 60_000;

interface Body {
  readonly [key: string]: unknown;
}

/** Calls the pinned endpoints with one key. Make one for a key and keep it, because it counts the calls. */
export class Client {
  readonly #options: ClientOptions;
  readonly #budget: Budget;
  readonly #url: string;

  /** Throws KeyRefused in a browser and for plain http, TypeError for a host or project that cannot be in an address. */
  constructor(options: ClientOptions) {
    if (isBrowser()) {
      throw new KeyRefused(
        "a key in a browser can be read by everyone: call a route of your own server, which holds the key",
      );
    }
    this.#options = options;
    this.#budget = options.budget ?? new Budget();
    const { host = "https://us.posthog.com", projectId } = options;
    if (!/^https?:\/\/[^/\s]+/i.test(host)) {
      throw new TypeError(`host must be an address such as https://us.posthog.com, not "${host}"`);
    }
    if (options.allowPlainHttp !== true && isPlain(host)) {
      throw new KeyRefused(`${host} is plain http, so others can read the key on the way: use https://, or allowPlainHttp`);
    }
    if (!/^([1-9]\d*|@current)$/.test(`${projectId}`)) {
      throw new TypeError(`projectId must be the number of a project, not "${projectId}"`);
    }
    this.#url = `${host.replace(/\/+$/, "")}/api/projects/${projectId}/endpoints/`;
  }

  /** The answer of one call, after retries. */
  async call(pin: Pin, variables: object | undefined, options: RowOptions<string>): Promise<Body> {
    const endpoint = `${pin.name}@${pin.version}`;
    const kind: BudgetKind = pin.materialized && options.refresh !== "direct" ? "materialized" : "inline";
    const body = JSON.stringify({
      variables: variables === undefined || Object.keys(variables).length === 0 ? undefined : variables,
      limit: options.limit,
      offset: options.offset,
      refresh: options.refresh,
    });
    const url = `${this.#url}${pin.name}/run?version=${pin.version}`;
    const patience = options.maxWaitMs ?? this.#options.maxWaitMs ?? 60_000;
    const timer = new Timer(patience, options.signal);
    try {
      for (let attempt = 1; ; attempt++) {
        timer.check();
        await this.#waitForBudget(kind, endpoint, timer);
        let failure: ApiError | Unreachable;
        try {
          return await this.#budget.whileFree(kind, timer.ended, () =>
            this.#send(endpoint, url, body, timer, options.timeoutMs ?? this.#options.timeoutMs ?? 60_000),
          );
        } catch (error) {
          if (error === timer.over) {
            const detail = `other calls with the key took all slots for ${patience} ms`;
            throw new RateLimited(endpoint, { status: null, code: "budget", detail, attr: null, retryAfterMs: null });
          }
          if (!(error instanceof ApiError || error instanceof Unreachable)) {
            throw error;
          }
          failure = error;
        }
        const after = failure instanceof ApiError ? failure.retryAfterMs : null;
        if (failure instanceof RateLimited && after !== null) {
          this.#budget.pause(kind, after);
        }
        const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
        const pause = after === null ? between(most / 2, most) : after + between(0, FIRST_PAUSE_MS);
        if (!isRetried(failure) || pause >= timer.left) {
          throw failure;
        }
        await timer.sleep(pause);
      }
    } finally {
      timer.stop();
    }
  }

  async #waitForBudget(kind: BudgetKind, endpoint: string, timer: Timer): Promise<void> {
    for (let wait = this.#budget.acquire(kind); wait > 0; wait = this.#budget.acquire(kind)) {
      if (wait >= timer.left) {
        const seconds = Math.ceil(wait / 1000);
        const detail = `the budget of the key is used up; the next call is possible in ${seconds} s`;
        throw new RateLimited(endpoint, { status: null, code: "budget", detail, attr: null, retryAfterMs: wait });
      }
      await timer.sleep(wait + between(0, 50));
    }
  }

  async #send(endpoint: string, url: string, body: string, timer: Timer, timeoutMs: number): Promise<Body> {
    const { key: source, fetch = globalThis.fetch } = this.#options;
    const key = typeof source === "function" ? await source() : source;
    if (!key) {
      throw new KeyRefused(`${endpoint}: there is no key`);
    }
    if (!/^[!-~]+$/.test(key)) {
      throw new KeyRefused(`${endpoint}: the key contains a character that no key contains, such as a line break`);
    }
    timer.check(); // the signal can be aborted while the key is awaited
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    timer.signal?.addEventListener("abort", abort);
    const patience = Math.max(0, Math.min(timeoutMs, timer.left, LONGEST_TIMER_MS));
    const timeout = setTimeout(abort, patience);
    let response: Response;
    let text: string;
    try {
      const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json", Accept: "application/json" };
      response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal: controller.signal });
      text = await response.text();
    } catch (error) {
      timer.check();
      const reason = controller.signal.aborted ? `no answer within ${Math.round(patience)} ms` : `no answer: ${reasonOf(error)}`;
      throw new Unreachable(endpoint, reason, { cause: error });
    } finally {
      clearTimeout(timeout);
      timer.signal?.removeEventListener("abort", abort);
    }
    if (response.status !== 200) {
      throw refused(endpoint, response, text.replaceAll(key, "…"));
    }
    const parsed = parsedBody(text);
    if (parsed === null) {
      const detail = `not a JSON object: ${text.replaceAll(key, "…").slice(0, 120)}`;
      throw new ApiError(endpoint, { status: 200, code: "bad_answer", detail, attr: null, retryAfterMs: null });
    }
    return parsed;
  }
}

/** How long a call may still take; ends early with a signal. */
class Timer {
  readonly signal: AbortSignal | undefined;
  /** What `ended` rejects with when the time is over. */
  readonly over = new Error("the time of this call is over");
  /** Rejects with the reason of the signal, or with `over`. */
  readonly ended: Promise<never>;
  readonly #until: number;
  readonly #stops: (() => void)[] = [];

  constructor(milliseconds: number, signal: AbortSignal | undefined) {
    this.signal = signal;
    this.#until = Date.now() + milliseconds;
    this.ended = new Promise<never>((_, reject) => {
      const timeout = setTimeout(() => reject(this.over), Math.min(milliseconds, LONGEST_TIMER_MS));
      const abort = (): void => reject(signal?.reason);
      signal?.addEventListener("abort", abort);
      this.#stops.push(
        () => clearTimeout(timeout),
        () => signal?.removeEventListener("abort", abort),
      );
    });
    this.ended.catch(() => undefined); // nothing may wait for it
  }

  get left(): number {
    return this.#until - Date.now();
  }

  /** Throws the reason of a signal that was aborted. */
  check(): void {
    this.signal?.throwIfAborted();
  }

  /** Waits, at most until the time is over. Rejects with the reason of the signal. */
  async sleep(milliseconds: number): Promise<void> {
    let timeout: ReturnType<typeof setTimeout> | undefined;
    const slept = new Promise<void>((resolve) => {
      timeout = setTimeout(resolve, milliseconds);
    });
    try {
      await Promise.race([slept, this.ended]);
    } catch (error) {
      if (error !== this.over) {
        throw error;
      }
    } finally {
      clearTimeout(timeout);
    }
  }

  stop(): void {
    for (const stop of this.#stops) {
      stop();
    }
  }
}

function between(least: number, most: number): number {
  return least + Math.random() * (most - least);
}

function isRetried(failure: ApiError | Unreachable): boolean {
  if (failure instanceof ApiError) {
    return failure.status !== null && RETRIED.has(failure.status);
  }
  const cause = failure.cause instanceof Error ? (failure.cause.cause as { readonly code?: unknown } | undefined) : undefined;
  return !WRONG_HOST.has(String(cause?.code));
}

/** Whether a host is reached without TLS, over a network. */
function isPlain(host: string): boolean {
  const { protocol, hostname } = new URL(host);
  return protocol === "http:" && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/** Whether this runs in a browser, one of its workers, or an app of React Native. Node, Deno, Bun and edge runtimes have
 * neither a document nor a user agent that begins with `Mozilla/`. */
function isBrowser(): boolean {
  const { document, navigator } = globalThis as {
    readonly document?: unknown;
    readonly navigator?: { readonly userAgent?: unknown; readonly product?: unknown };
  };
  const agent = navigator?.userAgent;
  const isAgentOfBrowser = typeof agent === "string" && agent.startsWith("Mozilla/");
  return typeof document === "object" || isAgentOfBrowser || navigator?.product === "ReactNative";
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return error instanceof Error ? `${error.message}${cause}` : String(error);
}

/** The error of an answer that is not a 200. */
function refused(endpoint: string, response: Response, text: string): ApiError {
  const { status } = response;
  const body = parsedBody(text) ?? {};
  const { code, attr } = body;
  const detail = body["detail"] ?? body["error"];
  const isRedirect = (status >= 300 && status < 400) || response.type === "opaqueredirect";
  const details: ErrorDetails = {
    status,
    code: typeof code === "string" ? code : null,
    detail: isRedirect
      ? "a redirect, which is not followed with the key: is the host right?"
      : typeof detail === "string"
        ? detail
        : text.slice(0, 120),
    attr: typeof attr === "string" ? attr : null,
    retryAfterMs: retryAfter(response.headers.get("retry-after")),
  };
  const classes = new Map<number, typeof ApiError>([
    [400, BadRequest],
    [401, Unauthorized],
    [403, Forbidden],
    [404, NotFound],
    [429, RateLimited],
  ]);
  const Kind = classes.get(status) ?? (status >= 500 ? ServerError : ApiError);
  return new Kind(endpoint, details);
}

/** The header Retry-After, seconds or a date, in milliseconds. */
function retryAfter(header: string | null): number | null {
  if (header === null || header.trim() === "") {
    return null;
  }
  const seconds = Number(header);
  const milliseconds = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(milliseconds) ? null : Math.min(Math.max(0, milliseconds), HOUR_MS);
}

/** Stands for an integer that a number cannot hold; no text of an answer begins with these characters. */
const LARGE = "\u0000integer:";
const TEXT_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** The object in a text of JSON; null if there is none. Integers that a number cannot hold keep their digits. */
function parsedBody(text: string): Body | null {
  let exact = text;
  if (/\d{16}/.test(text)) {
    exact = text.replace(TEXT_OR_NUMBER, (token) =>
      /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? JSON.stringify(LARGE + token) : token,
    );
  }
  try {
    const value: unknown = JSON.parse(exact);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Body) : null;
  } catch {
    return null;
  }
}

function isLarge(value: unknown): value is string {
  return typeof value === "string" && value.startsWith(LARGE);
}

/** Throws if the answer is from another version, or from a new endpoint of the same name. */
function checkVersion(pin: Pin, body: Body): void {
  const version = body["endpoint_version"];
  if (version !== pin.version) {
    const other = version === undefined ? "does not name its version" : `is from version ${String(version)}`;
    throw broken(pin, `the answer ${other}`);
  }
  const createdAt = Date.parse(String(body["endpoint_version_created_at"]));
  const later = createdAt - Date.parse(String(pin.createdAt));
  // an endpoint and its first version are created together, and no other version is older
  if (later < -CREATION_MS || (pin.version === 1 && later > CREATION_MS)) {
    throw broken(pin, "the endpoint was deleted and created again since the lock was written");
  }
}

function broken(pin: Pin, message: string): ContractBroken {
  return new ContractBroken(`${pin.name}@${pin.version}`, message);
}

function shown(value: unknown): string {
  const text = isLarge(value) ? value.slice(LARGE.length) : (JSON.stringify(value) ?? "nothing");
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** A value as the pin promises it. Throws ContractBroken, UnsafeInteger. */
function decoded(pin: Pin, column: string, type: ValueType, value: unknown): unknown {
  if (value === null && (type.nullable || type.kind === "any")) {
    return null;
  }
  const wrong = (): ContractBroken => broken(pin, `${column} must be of type ${type.kind}, not ${shown(value)}`);
  const item = (index: number): ValueType => type.items?.[index] ?? { kind: "any" };
  switch (type.kind) {
    case "integer": {
      const digits = isLarge(value) ? value.slice(LARGE.length) : String(value);
      if (!/^-?\d+$/.test(digits) || (typeof value !== "number" && typeof value !== "string")) {
        throw wrong();
      }
      if (!Number.isSafeInteger(Number(digits))) {
        throw new UnsafeInteger(`${pin.name}@${pin.version}`, column, digits);
      }
      return Number(digits);
    }
    case "float": {
      if (isLarge(value)) {
        return Number(value.slice(LARGE.length));
      }
      if (typeof value !== "number") {
        throw wrong();
      }
      return value;
    }
    case "decimal":
      if (isLarge(value)) {
        return value.slice(LARGE.length);
      }
      if (typeof value !== "string" && typeof value !== "number") {
        throw wrong();
      }
      return String(value);
    case "string":
    case "date":
    case "datetime":
      if (typeof value !== "string" || isLarge(value)) {
        throw wrong();
      }
      return value;
    case "boolean":
      if (typeof value !== "boolean" && value !== 0 && value !== 1) {
        throw wrong();
      }
      return Boolean(value);
    case "array":
      if (!Array.isArray(value)) {
        throw wrong();
      }
      return value.map((element) => decoded(pin, column, item(0), element));
    case "tuple": {
      // a tuple with named items is an object
      const items: unknown[] = Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
      if (items.length !== type.items?.length) {
        throw wrong();
      }
      return items.map((element, index) => decoded(pin, column, item(index), element));
    }
    case "map":
      if (!isObject(value)) {
        throw wrong();
      }
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, decoded(pin, column, item(1), entry)]));
    case "any":
      if (isLarge(value)) {
        throw new UnsafeInteger(`${pin.name}@${pin.version}`, column, value.slice(LARGE.length));
      }
      if (Array.isArray(value)) {
        return value.map((element) => decoded(pin, column, type, element));
      }
      if (isObject(value)) {
        return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, decoded(pin, column, type, entry)]));
      }
      return value;
  }
}

function isObject(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The server's word for a type of ClickHouse; undefined for a type that it has none for. */
function typeWord(written: string): string | undefined {
  const bare = unwrapped(written);
  const words: readonly (readonly [pattern: RegExp, word: string])[] = [
    [/^U?Int/, "integer"],
    [/^B?Float/, "float"],
    [/^Decimal/, "decimal"],
    [/^(String|FixedString|UUID|Enum)/, "string"],
    [/^DateTime/, "datetime"],
    [/^Date/, "date"],
    [/^Bool/, "boolean"],
    [/^Array/, "array"],
    [/^(Tuple|Map)/, "json"],
  ];
  return words.find(([pattern]) => pattern.test(bare))?.[1];
}

/** A type without Nullable, LowCardinality and SimpleAggregateFunction around it. */
function unwrapped(written: string): string {
  const inner = /^(?:Nullable\(|LowCardinality\(|SimpleAggregateFunction\(\w+,)\s*(.*)\)$/.exec(written.trim())?.[1];
  return inner === undefined ? written.trim() : unwrapped(inner);
}

/** Throws if a column of the answer has another type than the pinned one, which is told even without rows. */
function checkType(pin: Pin, body: Body, name: string, type: ValueType, index: number): void {
  const types: unknown[] = Array.isArray(body["types"]) ? body["types"] : [];
  const entry = types[index];
  const written = Array.isArray(entry) ? entry[1] : entry;
  if (typeof written !== "string" || type.kind === "any") {
    return;
  }
  const expected = type.kind === "tuple" || type.kind === "map" ? "json" : type.kind;
  const word = typeWord(written);
  if (word !== undefined && word !== expected) {
    throw broken(pin, `the type of column ${JSON.stringify(name)} changed: ${written}; it was ${expected}`);
  }
}

/** The rows of an answer. */
function rowsOf(pin: RowPin, body: Body): unknown[] {
  const { results, columns } = body;
  if (!Array.isArray(results) || !Array.isArray(columns)) {
    throw broken(pin, "the answer has no rows with columns");
  }
  const names = columns.map(String);
  const wanted = pin.columns ?? names.map((name) => [name, { kind: "any" }] as const);
  const fields = wanted.map(([name, type], position) => {
    const index = pin.byPosition ? position : names.indexOf(name);
    if (index < 0 || names[index] !== name) {
      throw broken(pin, `column ${JSON.stringify(name)} is missing; the answer has ${names.join(", ")}`);
    }
    checkType(pin, body, name, type, index);
    return { name, type, index, label: JSON.stringify(name) };
  });
  if (!pin.byPosition && new Set(fields.map(({ name }) => name)).size < fields.length) {
    throw broken(pin, `several columns have the same name: ${names.join(", ")}`);
  }
  return results.map((row: unknown) => {
    if (!Array.isArray(row) || row.length !== names.length) {
      throw broken(pin, `a row does not have ${names.length} values, one for each column`);
    }
    const values = fields.map(({ name, type, index, label }) => [name, decoded(pin, label, type, row[index])] as const);
    return pin.byPosition ? values.map(([, value]) => value) : Object.fromEntries(values);
  });
}

function answerOf<Row>(body: Body, rows: Row[], hasMore: boolean | null): Answer<Row> {
  const executionId = body["execution_id"];
  return {
    rows,
    hasMore,
    isFromTable: body["endpoint_materialized"] === true,
    executionId: typeof executionId === "string" ? executionId : null,
  };
}

/** What calls a pin whose answers are rows. */
function rowEndpoint<Variables extends object, Row, Refresh extends string>(
  pin: RowPin,
): RowEndpoint<Variables, Row, Refresh> {
  async function run(client: Client, variables?: Variables, options: RowOptions<Refresh> = {}): Promise<Answer<Row>> {
    const body = await client.call(pin, variables, options);
    checkVersion(pin, body);
    const rows = rowsOf(pin, body) as Row[];
    const isUnknown = options.limit === undefined && rows.length === UNPAGED_ROWS;
    return answerOf(body, rows, body["hasMore"] === true || (isUnknown ? null : false));
  }
  async function* iterate(
    client: Client,
    variables?: Variables,
    { pageSize = PAGE_ROWS, ...options }: PageOptions<Refresh> = {},
  ): AsyncGenerator<Row, void, undefined> {
    for (let offset = 0; ; ) {
      const page = offset === 0 ? { limit: pageSize } : { limit: pageSize, offset };
      const { rows, hasMore } = await run(client, variables, { ...options, ...page });
      yield* rows;
      offset += rows.length;
      if (hasMore !== true) {
        return;
      }
      if (rows.length === 0) {
        throw broken(pin, "the server says that there are more rows, but sent none");
      }
    }
  }
  return Object.assign(run, { iterate }) as RowEndpoint<Variables, Row, Refresh>;
}
