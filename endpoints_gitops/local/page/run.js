// Running a version: its variables and options as a form, the request as curl, and the result.

import { ask, curl } from "./api.js";
import { chartView } from "./chart.js";
import { announce, copyButton, h } from "./dom.js";
import { variableFields } from "./form.js";
import { note, refusalView } from "./parts.js";
import { tableOf, tableView } from "./result.js";
import { codeBlock, queryText } from "./sql.js";
import { atEndpoint, state } from "./state.js";

export function runPanel(endpoint, versions) {
  const version = h(
    "select",
    { id: "run-version" },
    versions.map((one) =>
      h(
        "option",
        { value: one.version },
        `${one.version}${one.version === endpoint.current_version ? " (current)" : ""}${one.is_active ? "" : ", inactive"}`,
      ),
    ),
  );
  const isSql = () => chosen().query.kind === "HogQLQuery";
  const chosen = () => versions.find((one) => String(one.version) === version.value) ?? endpoint;
  const limit = h("input", { id: "run-limit", type: "number", min: 1, placeholder: "as the query" });
  const offset = h("input", { id: "run-offset", type: "number", min: 0, placeholder: "0" });
  const refresh = h(
    "select",
    { id: "run-refresh" },
    ["cache", "force", "direct"].map((mode) => h("option", { value: mode }, mode)),
  );
  const fields = h("div", { class: "fields" });
  const request = h("pre", { class: "code", tabindex: 0, "aria-label": "The request as curl" });
  const query = h("div", { class: "query" });
  const result = h("div", { class: "result", "aria-live": "off" });
  const submit = h("button", { class: "primary", type: "submit" }, "Run");
  let variables = { views: [], values: () => ({}) };

  function body() {
    const values = variables.values();
    const number = (input) => (input.value === "" ? undefined : Number(input.value));
    return Object.fromEntries(
      Object.entries({
        variables: Object.keys(values).length ? values : undefined,
        version: version.value === String(endpoint.current_version) ? undefined : Number(version.value),
        limit: number(limit),
        offset: number(offset),
        refresh: refresh.value === "cache" ? undefined : refresh.value,
      }).filter(([, value]) => value !== undefined),
    );
  }
  const path = atEndpoint(endpoint.name, "run");
  const drawRequest = () => {
    request.textContent = curl(path, body());
  };

  async function drawVersion() {
    const shown = chosen();
    query.replaceChildren(codeBlock(queryText(shown.query), "The query"));
    limit.closest(".field").hidden = !isSql();
    offset.closest(".field").hidden = !isSql();
    try {
      const document = await ask(
        atEndpoint(endpoint.name, `openapi.json?version=${shown.version ?? endpoint.current_version}`),
      );
      const schemas = document.body.components.schemas;
      const required = shown.is_materialized ? (schemas.Variables?.required ?? []) : [];
      variables = variableFields(schemas, {
        required,
        declared: state.variables,
        isSql: isSql(),
        onchange: drawRequest,
      });
      fields.replaceChildren(...(variables.views.length ? variables.views : [note("This version has no variables.")]));
    } catch (error) {
      fields.replaceChildren(refusalView(error));
    }
    drawRequest();
  }

  async function run(event) {
    event.preventDefault();
    submit.disabled = true;
    result.replaceChildren(note("Running …"));
    try {
      const answer = await ask(path, { method: "POST", body: body() });
      result.replaceChildren(...resultView(answer));
      announce("The endpoint has answered.");
    } catch (error) {
      result.replaceChildren(refusalView(error));
    }
    submit.disabled = false;
    result.scrollIntoView({ block: "nearest" });
  }

  for (const input of [limit, offset, refresh]) input.addEventListener("input", drawRequest);
  version.addEventListener("change", drawVersion);
  const option = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  const view = [
    h(
      "div",
      { class: "run" },
      h(
        "form",
        { class: "card", onsubmit: run },
        h("h3", {}, "Variables"),
        fields,
        h("h3", {}, "Options"),
        h(
          "div",
          { class: "options" },
          option("Version", version),
          option("Limit", limit),
          option("Offset", offset),
          option("Refresh", refresh),
        ),
        submit,
      ),
      h(
        "div",
        { class: "card request" },
        h(
          "div",
          { class: "card-head" },
          h("h3", {}, "Query"),
          copyButton(() => queryText(chosen().query)),
        ),
        query,
        h(
          "div",
          { class: "card-head" },
          h("h3", {}, "As curl"),
          copyButton(() => request.textContent),
        ),
        request,
      ),
      result,
    ),
  ];
  drawVersion();
  return view;
}

function resultView({ body, text, milliseconds }) {
  const facts = [
    `Answered in ${milliseconds.toLocaleString("en")} ms`,
    `version ${body.endpoint_version}`,
    body.endpoint_materialized ? "read from the table" : "computed",
    body.is_cached ? `in the cache since ${body.last_refresh.slice(0, 19)}Z` : null,
    body.hasMore ? "the server has more rows: set a limit and an offset" : null,
  ]
    .filter(Boolean)
    .join(" · ");
  const table = tableOf(body);
  const head = h("div", { class: "card-head" }, h("h3", {}, "Result"), h("span", { class: "note" }, facts));
  const raw = h(
    "details",
    {},
    h("summary", {}, "The answer as it was sent"),
    h("pre", { class: "code", tabindex: 0 }, text),
  );
  if (table === null)
    return [h("div", { class: "card" }, head, note("The results have a shape that is not shown as a table."), raw)];
  const chart = chartView(table);
  return [h("div", { class: "card" }, head, chart, table.rows.length ? tableView(table) : note("No rows."), raw)];
}
