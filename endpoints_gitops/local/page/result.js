// Results as tables: rows of HogQL as they are, insights turned into rows by their shape.

import { ExactNumber } from "./api.js";
import { button, h, plural, showValue } from "./dom.js";

const PAGE = 100;
const LONGEST = 72;

export function numberOf(value) {
  if (value instanceof ExactNumber) return Number(value.source.replace("about ", ""));
  if (typeof value === "number") return value;
  return typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : null;
}

export function textOf(value) {
  if (value === null || value === undefined) return "NULL";
  if (typeof value === "string") return value;
  return value instanceof ExactNumber
    ? value.source
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value);
}

/** A column with a type of ClickHouse. */
function column(name, type) {
  const bare = type.replace(/^(?:(?:LowCardinality|Nullable)\()+/, "");
  return { name, type, isNumber: /^(U?Int|Float|Decimal)/.test(bare), isTime: /^Date/.test(bare) };
}

// Columns of insights, which have no types.
const number = (name) => ({ name, type: "", isNumber: true, isTime: false });
const label = (name) => ({ name, type: "", isNumber: false, isTime: false });
const time = (name) => ({ name, type: "", isNumber: false, isTime: true });

function ofSeries(series) {
  const labels = series.map((one) => one.status ?? one.breakdown_value?.toString() ?? one.label ?? "");
  const shared = series[0].days ?? [];
  if (shared.length === 0) {
    return {
      columns: [label("series"), number("value")],
      rows: series.map((one, index) => [labels[index], one.aggregated_value ?? one.count]),
    };
  }
  const isTime = typeof shared[0] === "string" && /^\d{4}-/.test(shared[0]);
  const names = labels.map((label, index) =>
    ((one) => (one.compare_label ? `${label} (${one.compare_label})` : label))(series[index]),
  );
  return {
    columns: [isTime ? time("day") : label("day"), ...names.map(number)],
    rows: shared.map((day, index) => [
      isTime ? day : String(series[0].labels?.[index] ?? day),
      ...series.map((one) => one.data[index] ?? null),
    ]),
  };
}

function ofRetention(cohorts) {
  const width = Math.max(...cohorts.map((cohort) => cohort.values.length));
  const broken = cohorts.some((cohort) => "breakdown_value" in cohort);
  return {
    columns: [
      ...(broken ? [label("breakdown")] : []),
      time("cohort"),
      ...Array.from({ length: width }, (_, index) => number(cohorts[0].values[index]?.label ?? `+${index}`)),
    ],
    rows: cohorts.map((cohort) => [
      ...(broken ? [cohort.breakdown_value] : []),
      cohort.date.slice(0, 10),
      ...Array.from({ length: width }, (_, index) => cohort.values[index]?.count ?? null),
    ]),
  };
}

function ofFunnel(paths) {
  const broken = paths.length > 1;
  const rows = paths.flatMap((steps) =>
    steps.map((step) => [
      ...(broken ? [step.breakdown?.toString() ?? step.breakdown_value?.toString() ?? ""] : []),
      `${step.order + 1}. ${step.custom_name ?? step.name}`,
      step.count,
      steps[0].count ? Math.round((step.count / steps[0].count) * 1000) / 10 : null,
      step.median_conversion_time ?? null,
    ]),
  );
  return {
    columns: [
      ...(broken ? [label("breakdown")] : []),
      label("step"),
      number("people"),
      number("% of the first step"),
      number("median seconds"),
    ],
    rows,
    hasUnits: true, // people, percent and seconds
  };
}

function ofObjects(items) {
  const names = [...new Set(items.flatMap((item) => Object.keys(item)))];
  return {
    columns: names.map((name) =>
      items.every((item) => numberOf(item[name] ?? 0) !== null) ? number(name) : label(name),
    ),
    rows: items.map((item) => names.map((name) => item[name] ?? null)),
  };
}

const isObject = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof ExactNumber);

/** The answer as `{columns, rows}`; null if it has no rows of a known shape, and is shown as JSON. */
export function tableOf(answer) {
  const { results } = answer;
  if (Array.isArray(answer.columns)) {
    const types = answer.types ?? [];
    const columns = answer.columns.map((name, index) =>
      column(name, Array.isArray(types[index]) ? types[index][1] : (types[index] ?? "")),
    );
    return { columns, rows: results };
  }
  if (!Array.isArray(results) || results.length === 0) return Array.isArray(results) ? { columns: [], rows: [] } : null;
  if (results.every((item) => isObject(item) && Array.isArray(item.data))) return ofSeries(results);
  if (results.every((item) => isObject(item) && Array.isArray(item.values))) return ofRetention(results);
  if (results.every((item) => isObject(item) && "order" in item && "count" in item)) return ofFunnel([results]);
  if (results.every((item) => Array.isArray(item) && item.every((step) => isObject(step) && "order" in step)))
    return ofFunnel(results);
  if (results.every(isObject)) return ofObjects(results);
  return null;
}

function cell(value, of) {
  const classes = of.isNumber ? "number" : "";
  if (value === null || value === undefined) return h("td", { class: classes }, h("span", { class: "null" }, "NULL"));
  if (typeof value === "boolean") return h("td", {}, h("span", { class: "flag" }, String(value)));
  const text = textOf(value);
  if (text === "") return h("td", {}, h("span", { class: "null" }, "empty text"));
  if (text.length <= LONGEST && !text.includes("\n")) return h("td", { class: classes }, text);
  const shown = text.split("\n")[0].slice(0, LONGEST);
  const whole = typeof value === "object" && !(value instanceof ExactNumber) ? JSON.stringify(value, null, 2) : text;
  return h(
    "td",
    {},
    shown,
    h(
      "button",
      {
        type: "button",
        class: "more",
        title: "Show the whole value",
        "aria-label": `Show the whole value of ${of.name}`,
        onclick: () => showValue(of.name, whole),
      },
      "…",
    ),
  );
}

/** A table that shows its rows page by page, and says how many it shows. */
export function tableView({ columns, rows }) {
  const body = h("tbody");
  const note = h("p", { class: "note", "data-role": "shown" });
  const more = button("Show more rows", () => show());
  let shown = 0;
  function show() {
    const next = rows.slice(shown, shown + PAGE);
    body.append(
      ...next.map((row, index) =>
        h(
          "tr",
          {},
          h("th", { scope: "row", class: "index" }, (shown + index + 1).toLocaleString("en")),
          columns.map((of, position) => cell(row[position], of)),
        ),
      ),
    );
    shown += next.length;
    note.textContent =
      shown < rows.length
        ? `${shown.toLocaleString("en")} of ${plural(rows.length, "row")} shown.`
        : `${plural(rows.length, "row")}.`;
    more.hidden = shown >= rows.length;
  }
  show();
  const head = h(
    "tr",
    {},
    h("th", { class: "index" }, h("span", { class: "visually-hidden" }, "Row")),
    columns.map((of) =>
      h(
        "th",
        { scope: "col", class: of.isNumber ? "number" : "" },
        of.name,
        of.type ? h("span", { class: "type" }, of.type) : null,
      ),
    ),
  );
  return h(
    "div",
    {},
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rows of the result" },
      h("table", { class: "rows" }, h("thead", {}, head), body),
    ),
    h("div", { class: "under" }, note, more),
  );
}
