// Colors for HogQL and JSON, as nodes.

import { h } from "./dom.js";

const TOKEN =
  /(--.*|\/\*.*?\*\/)|('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")|(\{[\w.]+\})|\b(\d+(?:\.\d+)?)\b|\b([A-Za-z_]\w*)\b/g;
const KEYWORDS = new Set(
  (
    "select distinct from where prewhere group by having order limit offset with as and or not in is null like ilike between case " +
    "when then else end join inner left right full outer cross on using union all intersect except asc desc interval over " +
    "partition rows range array true false if"
  ).split(" "),
);
const KINDS = ["comment", "text", "variable", "number"];

function kindOf(match) {
  const group = match.slice(1).findIndex((part) => part !== undefined);
  return group < 4 ? KINDS[group] : KEYWORDS.has(match[5].toLowerCase()) ? "keyword" : "";
}

/** One line of code as nodes. */
export function colored(line) {
  const nodes = [];
  let end = 0;
  for (const match of line.matchAll(TOKEN)) {
    if (match.index > end) nodes.push(line.slice(end, match.index));
    const kind = kindOf(match);
    nodes.push(kind ? h("span", { class: `code-${kind}` }, match[0]) : match[0]);
    end = match.index + match[0].length;
  }
  nodes.push(line.slice(end));
  return nodes;
}

export function codeBlock(text, label) {
  const lines = text.split("\n").map((line) => h("span", { class: "line" }, ...colored(line), "\n"));
  return h("pre", { class: "code", tabindex: 0, "aria-label": label }, h("code", {}, lines));
}

function withoutNulls(value) {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== "object" || value.source !== undefined) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([name, inner]) => [name, withoutNulls(inner)]),
  );
}

/** The query of a version as text: its HogQL, or the JSON of an insight without nulls. */
export function queryText(query) {
  return query.kind === "HogQLQuery" ? query.query : JSON.stringify(withoutNulls(query), null, 2);
}
