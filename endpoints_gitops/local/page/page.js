// The page: the list of endpoints, and one endpoint with its run, its versions and its log.

import { address, ask, curl, everyItem, forgetKey, keepKey, key, Refused } from "./api.js";
import { chartView } from "./chart.js";
import { sideBySide, words } from "./difference.js";
import { announce, button, copyButton, h, plural } from "./dom.js";
import { variableFields } from "./form.js";
import { tableOf, tableView, textOf } from "./result.js";
import { codeBlock, colored, queryText } from "./sql.js";

const side = document.getElementById("side");
const main = document.getElementById("main");
const layout = document.getElementById("layout");
const tools = document.getElementById("tools");
const TABS = { run: "Run", versions: "Versions", log: "Log" };
const state = { projects: [], project: null, endpoints: [], filter: "", drawn: "" };

const inProject = (path) => `api/projects/${state.project.id}/${path}`;
const atEndpoint = (name, path = "") => inProject(`endpoints/${encodeURIComponent(name)}/${path}`);

// The address: #key=… hands over the key that `serve` printed, #/NAME and #/NAME/TAB name what is shown.

function takeKeyFromAddress() {
  const handed = new URLSearchParams(location.hash.slice(1)).get("key");
  if (handed === null) return;
  keepKey(handed);
  history.replaceState(null, "", `${location.pathname}#/`);
}

function asked() {
  const [, name = "", tab = "run"] = location.hash.split("/");
  return { name: decodeURIComponent(name), tab: tab in TABS ? tab : "run" };
}

function refusalView(error) {
  if (!(error instanceof Refused)) return h("div", { class: "refusal", role: "alert" }, h("strong", {}, "The server did not answer"), h("p", {}, String(error.message)));
  const { body, status, text } = error;
  const facts = ["type", "code", "attr"].filter((name) => body?.[name]).map((name) => [h("dt", {}, name), h("dd", {}, textOf(body[name]))]);
  return h("div", { class: "refusal", role: "alert" },
    h("strong", {}, `Answer ${status}`),
    h("p", { class: "detail" }, error.message),
    facts.length ? h("dl", { class: "facts" }, facts) : null,
    h("details", {}, h("summary", {}, "The answer as it was sent"), h("pre", { class: "code", tabindex: 0 }, text)));
}

function note(text) { return h("p", { class: "note" }, text); }

function when(text) {
  if (!text) return "never";
  const moment = new Date(text);
  return h("time", { datetime: text, title: text }, moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
}

// The key

function showKeyForm(problem = null) {
  tools.replaceChildren();
  side.replaceChildren();
  layout.dataset.shows = "key";
  const input = h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, placeholder: "phx_…" });
  main.replaceChildren(h("form", { class: "card key-form", onsubmit: (event) => { event.preventDefault(); tryKey(input.value.trim()); } },
    h("h2", {}, "Which key?"),
    h("p", {}, "This server prints its keys in one line when it starts. Open the address that stands there as ", h("code", {}, "page"),
      ", or paste ", h("code", {}, "readonly_key"), " here. The keys are of this server only; do not paste a key of a real project."),
    h("label", { for: "key" }, "Key"), input,
    problem ? h("p", { class: "problem", role: "alert" }, problem) : null,
    h("button", { class: "primary", type: "submit" }, "Open")));
  input.focus();
}

async function tryKey(text) {
  try {
    await ask("api/personal_api_keys/@current/", { withKey: text });
  } catch (error) {
    showKeyForm(error instanceof Refused ? `The server refused this key: ${error.message}` : error.message);
    return;
  }
  keepKey(text);
  await start();
}

// The list

function badges(endpoint) {
  const kind = endpoint.query.kind === "HogQLQuery" ? "SQL" : endpoint.query.kind.replace(/Query$/, "");
  return [
    h("span", { class: "badge" }, kind),
    endpoint.versions_count > 1 || endpoint.current_version > 1 ? h("span", { class: "badge" }, `v${endpoint.current_version}`) : null,
    endpoint.materialization?.enabled ? h("span", { class: "badge good" }, "table") : null,
    endpoint.is_active ? null : h("span", { class: "badge bad" }, "inactive"),
  ];
}

function matches(endpoint) {
  const text = [endpoint.name, endpoint.description, ...endpoint.tags].join("\n").toLowerCase();
  return state.filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function drawList() {
  const { name } = asked();
  const shown = state.endpoints.filter(matches);
  const list = h("ul", { class: "endpoints" }, shown.map((endpoint) => h("li", {}, h("a", {
    href: `#/${encodeURIComponent(endpoint.name)}`, "aria-current": endpoint.name === name ? "page" : null,
  }, h("span", { class: "endpoint-name" }, endpoint.name),
  endpoint.description ? h("span", { class: "endpoint-about" }, endpoint.description.split("\n")[0]) : null,
  h("span", { class: "badges" }, badges(endpoint))))));
  const count = shown.length === state.endpoints.length ? plural(shown.length, "endpoint") : `${shown.length} of ${plural(state.endpoints.length, "endpoint")}`;
  side.querySelector("[data-role=list]").replaceChildren(h("p", { class: "note count", role: "status" }, count), list);
}

function drawSide() {
  const filter = h("input", { type: "search", id: "filter", placeholder: "Filter by name, text or tag", "aria-label": "Filter endpoints", value: state.filter, oninput: (event) => { state.filter = event.target.value; drawList(); } });
  side.replaceChildren(h("div", { class: "filter" }, filter), h("div", { "data-role": "list" }));
  drawList();
}

function drawTools() {
  const projects = state.projects.length > 1 ? h("select", { "aria-label": "Project", onchange: (event) => { chooseProject(event.target.value); } },
    state.projects.map((project) => h("option", { value: project.id, selected: project.id === state.project.id }, project.name))) : h("span", { class: "note" }, state.project.name);
  tools.replaceChildren(projects, button("Reload", () => reload()), button("Forget key", () => { forgetKey(); showKeyForm(); }));
}

async function chooseProject(id) {
  state.project = state.projects.find((project) => String(project.id) === id);
  location.hash = "#/";
  await reload();
}

// One endpoint

function factsOf(endpoint) {
  const table = endpoint.materialization;
  const facts = [
    ["Version", endpoint.current_version],
    ["Cached for", `${endpoint.data_freshness_seconds.toLocaleString("en")} s`],
    ["Table", table.enabled ? `${table.status}${table.ready ? ", ready" : ""}` : "none"],
    ["Updated", when(endpoint.updated_at)],
    ["Last run", when(endpoint.last_executed_at)],
    ["By", endpoint.created_by?.first_name ?? "unknown"],
  ];
  return h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

async function drawEndpoint() {
  const { name, tab } = asked();
  drawList();
  layout.dataset.shows = name ? "endpoint" : "list";
  if (!name) { state.drawn = ""; main.replaceChildren(welcome()); return; }
  if (state.drawn === name) { chooseTab(tab); return; }
  state.drawn = name;
  main.replaceChildren(note("Loading …"));
  try {
    const [endpoint, versions] = await Promise.all([ask(atEndpoint(name)), everyItem(atEndpoint(name, "versions/"), (count) => `limit=100&offset=${count}`)]);
    if (state.drawn !== name) return;
    document.title = `${name} · Endpoints`;
    main.replaceChildren(...endpointView(endpoint.body, versions));
    chooseTab(tab);
  } catch (error) {
    main.replaceChildren(back(), refusalView(error));
  }
}

function back() { return h("a", { class: "back", href: "#/" }, "← All endpoints"); }

function endpointView(endpoint, versions) {
  const panels = { run: runPanel(endpoint, versions), versions: versionsPanel(versions), log: logPanel(endpoint) };
  return [
    back(),
    h("header", { class: "endpoint-head" },
      h("h2", {}, endpoint.name, h("span", { class: "badges" }, badges(endpoint))),
      endpoint.description ? h("p", { class: "about" }, endpoint.description) : null,
      endpoint.tags.length ? h("ul", { class: "tags" }, endpoint.tags.map((tag) => h("li", {}, tag))) : null,
      factsOf(endpoint)),
    h("div", { class: "tabs", role: "tablist", "aria-label": "Views of the endpoint", onkeydown: moveTab }, Object.entries(TABS).map(([tab, label]) => h("button", {
      type: "button", role: "tab", id: `tab-${tab}`, "aria-controls": `panel-${tab}`,
      onclick: () => { location.hash = `#/${encodeURIComponent(endpoint.name)}/${tab}`; },
    }, label, tab === "versions" ? h("span", { class: "badge" }, versions.length) : null))),
    ...Object.entries(panels).map(([tab, view]) => h("section", { role: "tabpanel", id: `panel-${tab}`, "aria-labelledby": `tab-${tab}` }, view)),
  ];
}

function chooseTab(chosen) {
  for (const tab of Object.keys(TABS)) {
    const label = document.getElementById(`tab-${tab}`);
    if (label === null) return;
    label.setAttribute("aria-selected", String(tab === chosen));
    label.tabIndex = tab === chosen ? 0 : -1;
    document.getElementById(`panel-${tab}`).hidden = tab !== chosen;
  }
  document.getElementById(`panel-${chosen}`).dispatchEvent(new CustomEvent("shown"));
}

function moveTab(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const names = Object.keys(TABS);
  const next = names[(names.indexOf(asked().tab) + step + names.length) % names.length];
  document.getElementById(`tab-${next}`).click();
  document.getElementById(`tab-${next}`).focus();
}

// Run

function runPanel(endpoint, versions) {
  const version = h("select", { id: "run-version" }, versions.map((one) => h("option", { value: one.version }, `${one.version}${one.version === endpoint.current_version ? " (current)" : ""}${one.is_active ? "" : ", inactive"}`)));
  const isSql = () => chosen().query.kind === "HogQLQuery";
  const chosen = () => versions.find((one) => String(one.version) === version.value) ?? endpoint;
  const limit = h("input", { id: "run-limit", type: "number", min: 1, placeholder: "as the query" });
  const offset = h("input", { id: "run-offset", type: "number", min: 0, placeholder: "0" });
  const refresh = h("select", { id: "run-refresh" }, ["cache", "force", "direct"].map((mode) => h("option", { value: mode }, mode)));
  const fields = h("div", { class: "fields" });
  const request = h("pre", { class: "code", tabindex: 0, "aria-label": "The request as curl" });
  const query = h("div", { class: "query" });
  const result = h("div", { class: "result", "aria-live": "off" });
  const submit = h("button", { class: "primary", type: "submit" }, "Run");
  let variables = { views: [], values: () => ({}) };

  function body() {
    const values = variables.values();
    const number = (input) => (input.value === "" ? undefined : Number(input.value));
    return Object.fromEntries(Object.entries({
      variables: Object.keys(values).length ? values : undefined,
      version: version.value === String(endpoint.current_version) ? undefined : Number(version.value),
      limit: number(limit), offset: number(offset), refresh: refresh.value === "cache" ? undefined : refresh.value,
    }).filter(([, value]) => value !== undefined));
  }
  const path = atEndpoint(endpoint.name, "run");
  const drawRequest = () => { request.textContent = curl(path, body()); };

  async function drawVersion() {
    const shown = chosen();
    query.replaceChildren(codeBlock(queryText(shown.query), "The query"));
    limit.closest(".field").hidden = !isSql();
    offset.closest(".field").hidden = !isSql();
    try {
      const [document, declared] = await Promise.all([ask(atEndpoint(endpoint.name, `openapi.json?version=${shown.version ?? endpoint.current_version}`)), state.variables]);
      const schemas = document.body.components.schemas;
      const required = shown.is_materialized ? schemas.Variables?.required ?? [] : [];
      variables = variableFields(schemas, { required, declared, isSql: isSql(), onchange: drawRequest });
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
    h("div", { class: "run" },
      h("form", { class: "card", onsubmit: run },
        h("h3", {}, "Variables"), fields,
        h("h3", {}, "Options"),
        h("div", { class: "options" }, option("Version", version), option("Limit", limit), option("Offset", offset), option("Refresh", refresh)),
        submit),
      h("div", { class: "card request" },
        h("div", { class: "card-head" }, h("h3", {}, "Query"), copyButton(() => queryText(chosen().query))), query,
        h("div", { class: "card-head" }, h("h3", {}, "As curl"), copyButton(() => request.textContent)), request),
      result),
  ];
  drawVersion();
  return view;
}

function resultView({ body, text, milliseconds }) {
  const facts = [
    `Answered in ${milliseconds.toLocaleString("en")} ms`,
    `version ${body.endpoint_version}`,
    body.endpoint_materialized ? "read from the table" : "computed",
    body.hasMore ? "the server has more rows: set a limit and an offset" : null,
  ].filter(Boolean).join(" · ");
  const table = tableOf(body);
  const head = h("div", { class: "card-head" }, h("h3", {}, "Result"), h("span", { class: "note" }, facts));
  const raw = h("details", {}, h("summary", {}, "The answer as it was sent"), h("pre", { class: "code", tabindex: 0 }, text));
  if (table === null) return [h("div", { class: "card" }, head, note("The results have a shape that is not shown as a table."), raw)];
  const chart = chartView(table);
  return [h("div", { class: "card" }, head, chart, table.rows.length ? tableView(table) : note("No rows."), raw)];
}

// Versions

const SETTINGS = {
  description: "description", data_freshness_seconds: "cached for (seconds)", is_active: "active", is_materialized: "has a table",
  bucket_overrides: "bucket overrides", optional_breakdown_properties: "optional breakdowns", columns: "columns",
};

function settingsOf(version) {
  const variables = Object.values(version.query.variables ?? {}).map((variable) => `${variable.code_name} = ${JSON.stringify(variable.value)}`);
  const columns = version.columns.map((column) => `${column.name}: ${column.type}`).join("\n");
  const settings = Object.entries(SETTINGS).map(([name, label]) => [label, name === "columns" ? columns : textOf(version[name])]);
  return new Map([...settings, ["variables", variables.join("\n")], ["created", `${version.version_created_at} by ${version.version_created_by?.first_name ?? "unknown"}`]]);
}

function versionsPanel(versions) {
  const select = (id, selected) => h("select", { id }, versions.map((one) => h("option", { value: one.version, selected: one.version === selected }, `version ${one.version}`)));
  const newest = versions[0].version;
  const left = select("left-version", (versions[1] ?? versions[0]).version);
  const right = select("right-version", newest);
  const whole = h("input", { type: "checkbox", id: "whole" });
  const difference = h("div");
  const find = (element) => versions.find((one) => String(one.version) === element.value);
  function draw() { difference.replaceChildren(...differenceView(find(left), find(right), whole.checked)); }
  for (const element of [left, right, whole]) element.addEventListener("change", draw);
  draw();
  if (versions.length === 1) return h("div", { class: "card" }, note("There is one version only."), h("h3", {}, "Settings"), settingsView(versions[0], versions[0]), h("h3", {}, "Query"), codeBlock(queryText(versions[0].query), "The query"));
  return h("div", { class: "card" },
    h("div", { class: "compare" }, h("label", { class: "inline", for: "left-version" }, "Compare", left), h("label", { class: "inline", for: "right-version" }, "with", right), h("label", { class: "check", for: "whole" }, whole, "all lines and settings")),
    difference);
}

function differenceView(left, right, isWhole) {
  const rows = sideBySide(queryText(left.query), queryText(right.query));
  const changed = rows.filter((row) => row.changed).length;
  const settings = settingsView(left, right, isWhole);
  return [
    h("h3", {}, "Settings"), settings ?? note("The settings are equal."),
    h("h3", {}, "Query"), changed ? linesView(rows, isWhole) : note("The queries are equal."),
    changed === 0 && isWhole ? linesView(rows, true) : null,
  ].filter(Boolean);
}

function settingsView(left, right, isWhole = true) {
  const [before, after] = [settingsOf(left), settingsOf(right)];
  const isOne = left === right;
  const rows = [...before].map(([name, value]) => ({ name, value, other: after.get(name), isChanged: value !== after.get(name) })).filter((row) => isWhole || (row.isChanged && row.name !== "created"));
  if (rows.length === 0) return null;
  return h("div", { class: "scroll" }, h("table", { class: "settings" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "setting"), h("th", { scope: "col" }, `version ${left.version}`), isOne ? null : h("th", { scope: "col" }, `version ${right.version}`))),
    h("tbody", {}, rows.map((row) => h("tr", { class: row.isChanged && row.name !== "created" ? "changed" : "" }, h("th", { scope: "row" }, row.name), h("td", { class: row.isChanged ? "removed" : "" }, row.value), isOne ? null : h("td", { class: row.isChanged ? "added" : "" }, row.other))))));
}

const AROUND = 3;

function linesView(rows, isWhole) {
  const near = rows.map((_, index) => isWhole || rows.slice(Math.max(0, index - AROUND), index + AROUND + 1).some((row) => row.changed));
  const views = [];
  let skipped = 0;
  rows.forEach((row, index) => {
    if (!near[index]) { skipped += 1; return; }
    if (skipped) { views.push(skippedView(skipped)); skipped = 0; }
    views.push(lineView(row));
  });
  if (skipped) views.push(skippedView(skipped));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Difference of the queries" }, h("table", { class: "lines-table" }, h("tbody", {}, views)));
}

function skippedView(count) { return h("tr", { class: "skipped" }, h("td", { colspan: 4 }, `${plural(count, "equal line")}`)); }

function lineView({ left, right, changed }) {
  const isPair = changed && left !== null && right !== null;
  const [leftParts, rightParts] = isPair ? words(left.text, right.text) : [null, null];
  const code = (line, parts) => (line === null ? "" : parts === null ? colored(line.text) : parts.map((part) => (part.changed ? h("mark", {}, part.text) : part.text)));
  const cells = (line, parts, kind, word) => [
    h("td", { class: `number ${changed && line ? kind : ""}` }, line === null ? "" : line.number),
    h("td", { class: `code-line ${line === null ? "missing" : changed ? kind : ""}` }, changed && line ? h("span", { class: "visually-hidden" }, `${word}: `) : null, code(line, parts)),
  ];
  return h("tr", { class: changed ? "" : "same" }, cells(left, leftParts, "removed", "removed"), cells(right, rightParts, "added", "added"));
}

// Log

function logPanel(endpoint) {
  const entries = h("div");
  async function load() {
    try {
      const { body } = await ask(atEndpoint(endpoint.name, "logs/?limit=100"));
      entries.replaceChildren(body.count === 0 ? note("No run yet.") : h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs" }, h("table", { class: "log" }, h("tbody", {}, body.results.map((entry) => h("tr", {},
        h("td", {}, when(entry.timestamp)), h("td", {}, h("span", { class: `badge ${entry.level === "ERROR" ? "bad" : "good"}` }, entry.level)), h("td", {}, entry.message)))))));
    } catch (error) {
      entries.replaceChildren(refusalView(error));
    }
  }
  const panel = h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", {}, "The last 100 runs"), button("Reload", load)), entries);
  queueMicrotask(() => panel.parentElement?.addEventListener("shown", load));
  return panel;
}

function welcome() {
  document.title = "Endpoints on this machine";
  if (state.endpoints.length) return h("div", { class: "empty" }, h("h2", {}, "Choose an endpoint"), h("p", {}, "Run it with values of your own, compare its versions, or copy the request for a terminal."));
  return h("div", { class: "empty" }, h("h2", {}, "No endpoints yet"),
    h("p", {}, "Add this server to ", h("code", {}, "endpoints.toml"), " as an environment:"),
    codeBlock(`[environments.here]\nhost = "${address("").replace(/\/$/, "")}"\nproject_id = ${state.project.id}\nkey = "env:LOCAL_KEY"`, "Configuration"),
    h("p", {}, "Then put ", h("code", {}, "key"), " of the line that the server printed into ", h("code", {}, "LOCAL_KEY"), ", run ", h("code", {}, "endpoints-gitops push --env here"), ", and reload."));
}

// Start

async function reload() {
  try {
    const [endpoints] = await Promise.all([everyItem(inProject("endpoints/"))]);
    state.variables = everyItem(inProject("insight_variables/"), (count) => `page=${Math.floor(count / 500) + 1}`).then((items) => new Map(items.map((item) => [item.code_name, item])));
    await state.variables;
    state.endpoints = endpoints.sort((a, b) => a.name.localeCompare(b.name));
  } catch (error) {
    failed(error);
    return;
  }
  state.drawn = "";
  drawTools();
  drawSide();
  await drawEndpoint();
}

function failed(error) {
  if (error instanceof Refused && error.status === 401) {
    forgetKey();
    showKeyForm("The server does not know this key. It makes new keys whenever it starts.");
  } else main.replaceChildren(refusalView(error));
}

async function start() {
  takeKeyFromAddress();
  if (!key()) { showKeyForm(); return; }
  try {
    state.projects = await everyItem("api/projects/");
    state.project ??= state.projects[0];
  } catch (error) {
    failed(error);
    return;
  }
  await reload();
}

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#key=")) start();
  else if (state.project) drawEndpoint();
});
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
start();
