// Two versions side by side: their settings, and the lines of their queries.

import { sideBySide, words } from "./difference.js";
import { h, plural } from "./dom.js";
import { note } from "./parts.js";
import { textOf } from "./result.js";
import { codeBlock, colored, queryText } from "./sql.js";

const SETTINGS = {
  description: "description",
  data_freshness_seconds: "cached for (seconds)",
  is_active: "active",
  is_materialized: "has a table",
  bucket_overrides: "bucket overrides",
  optional_breakdown_properties: "optional breakdowns",
  columns: "columns",
};

const AROUND = 3;

function settingsOf(version) {
  const variables = Object.values(version.query.variables ?? {}).map(
    (variable) => `${variable.code_name} = ${JSON.stringify(variable.value)}`,
  );
  const columns = version.columns.map((column) => `${column.name}: ${column.type}`).join("\n");
  const settings = Object.entries(SETTINGS).map(([name, label]) => [
    label,
    name === "columns" ? columns : textOf(version[name]),
  ]);
  return new Map([
    ...settings,
    ["variables", variables.join("\n")],
    ["created", `${version.version_created_at} by ${version.version_created_by?.first_name ?? "unknown"}`],
  ]);
}

export function versionsPanel(versions) {
  const select = (id, selected) =>
    h(
      "select",
      { id },
      versions.map((one) =>
        h("option", { value: one.version, selected: one.version === selected }, `version ${one.version}`),
      ),
    );
  const newest = versions[0].version;
  const left = select("left-version", (versions[1] ?? versions[0]).version);
  const right = select("right-version", newest);
  const whole = h("input", { type: "checkbox", id: "whole" });
  const difference = h("div");
  const find = (element) => versions.find((one) => String(one.version) === element.value);
  function draw() {
    difference.replaceChildren(...differenceView(find(left), find(right), whole.checked));
  }
  for (const element of [left, right, whole]) element.addEventListener("change", draw);
  draw();
  if (versions.length === 1)
    return h(
      "div",
      { class: "card" },
      note("There is one version only."),
      h("h3", {}, "Settings"),
      settingsView(versions[0], versions[0]),
      h("h3", {}, "Query"),
      codeBlock(queryText(versions[0].query), "The query"),
    );
  return h(
    "div",
    { class: "card" },
    h(
      "div",
      { class: "compare" },
      h("label", { class: "inline", for: "left-version" }, "Compare", left),
      h("label", { class: "inline", for: "right-version" }, "with", right),
      h("label", { class: "check", for: "whole" }, whole, "all lines and settings"),
    ),
    difference,
  );
}

function differenceView(left, right, isWhole) {
  const rows = sideBySide(queryText(left.query), queryText(right.query));
  const changed = rows.filter((row) => row.changed).length;
  const settings = settingsView(left, right, isWhole);
  return [
    h("h3", {}, "Settings"),
    settings ?? note("The settings are equal."),
    h("h3", {}, "Query"),
    changed ? linesView(rows, isWhole) : note("The queries are equal."),
    changed === 0 && isWhole ? linesView(rows, true) : null,
  ].filter(Boolean);
}

function settingsView(left, right, isWhole = true) {
  const [before, after] = [settingsOf(left), settingsOf(right)];
  const isOne = left === right;
  const rows = [...before]
    .map(([name, value]) => ({ name, value, other: after.get(name), isChanged: value !== after.get(name) }))
    .filter((row) => isWhole || (row.isChanged && row.name !== "created"));
  if (rows.length === 0) return null;
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "settings" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "setting"),
          h("th", { scope: "col" }, `version ${left.version}`),
          isOne ? null : h("th", { scope: "col" }, `version ${right.version}`),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            { class: row.isChanged && row.name !== "created" ? "changed" : "" },
            h("th", { scope: "row" }, row.name),
            h("td", { class: row.isChanged ? "removed" : "" }, row.value),
            isOne ? null : h("td", { class: row.isChanged ? "added" : "" }, row.other),
          ),
        ),
      ),
    ),
  );
}

function linesView(rows, isWhole) {
  const near = rows.map(
    (_, index) => isWhole || rows.slice(Math.max(0, index - AROUND), index + AROUND + 1).some((row) => row.changed),
  );
  const views = [];
  let skipped = 0;
  rows.forEach((row, index) => {
    if (!near[index]) {
      skipped += 1;
      return;
    }
    if (skipped) {
      views.push(skippedView(skipped));
      skipped = 0;
    }
    views.push(lineView(row));
  });
  if (skipped) views.push(skippedView(skipped));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Difference of the queries" },
    h("table", { class: "lines-table" }, h("tbody", {}, views)),
  );
}

function skippedView(count) {
  return h("tr", { class: "skipped" }, h("td", { colspan: 4 }, `${plural(count, "equal line")}`));
}

function lineView({ left, right, changed }) {
  const isPair = changed && left !== null && right !== null;
  const [leftParts, rightParts] = isPair ? words(left.text, right.text) : [null, null];
  const code = (line, parts) =>
    line === null
      ? ""
      : parts === null
        ? colored(line.text)
        : parts.map((part) => (part.changed ? h("mark", {}, part.text) : part.text));
  const cells = (line, parts, kind, word) => [
    h("td", { class: `number ${changed && line ? kind : ""}` }, line === null ? "" : line.number),
    h(
      "td",
      { class: `code-line ${line === null ? "missing" : changed ? kind : ""}` },
      changed && line ? h("span", { class: "visually-hidden" }, `${word}: `) : null,
      code(line, parts),
    ),
  ];
  return h(
    "tr",
    { class: changed ? "" : "same" },
    cells(left, leftParts, "removed", "removed"),
    cells(right, rightParts, "added", "added"),
  );
}
