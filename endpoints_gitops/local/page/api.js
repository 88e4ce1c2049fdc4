// Requests to this server, and answers whose numbers are kept as they were sent.

const ROOT = new URL(".", document.baseURI);
const STORED = "endpoints-gitops-key";

/** A number that JavaScript cannot hold as it was written, such as a 64-bit id. */
export class ExactNumber {
  constructor(source) {
    this.source = source;
  }
  toJSON() {
    return JSON.rawJSON ? JSON.rawJSON(this.source) : this.source;
  }
  toString() {
    return this.source;
  }
}

export class Refused extends Error {
  constructor(status, body, text) {
    super(body?.detail ?? body?.error ?? text);
    this.status = status;
    this.body = body;
    this.text = text;
  }
}

/** Older browsers do not tell how a number was written; theirs is marked, because its last digits can be wrong. */
function exact(_key, value, context) {
  if (typeof value !== "number" || !Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  return new ExactNumber(context?.source ?? `about ${value}`);
}

export function key() {
  return sessionStorage.getItem(STORED);
}
export function keepKey(text) {
  sessionStorage.setItem(STORED, text);
}
export function forgetKey() {
  sessionStorage.removeItem(STORED);
}

export function address(path) {
  return new URL(path, ROOT).href;
}

export async function ask(path, { method = "GET", body, withKey = key() } = {}) {
  const headers = { Authorization: `Bearer ${withKey}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const started = performance.now();
  const response = await fetch(address(path), {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  let parsed = null;
  try {
    parsed = JSON.parse(text, exact);
  } catch {
    /* an answer that is not JSON is shown as it is */
  }
  if (!response.ok || parsed === null) throw new Refused(response.status, parsed, text);
  return { body: parsed, text, status: response.status, milliseconds: Math.round(performance.now() - started) };
}

/** All items of a list, page by page. */
export async function everyItem(path, paged = (count) => `limit=500&offset=${count}`) {
  const items = [];
  for (;;) {
    const { body } = await ask(`${path}?${paged(items.length)}`);
    items.push(...body.results);
    if (items.length >= body.count || body.results.length === 0) return items;
  }
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The request as a shell command. */
export function curl(path, body) {
  return [
    `curl -X POST ${quoted(address(path))}`,
    `  -H ${quoted(`Authorization: Bearer ${key()}`)}`,
    "  -H 'Content-Type: application/json'",
    `  -d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n");
}
