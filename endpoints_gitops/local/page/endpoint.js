// One endpoint: its facts, and a tab each for its runs, its versions and its log.

import { ask } from "./api.js";
import { button, h } from "./dom.js";
import { badges, note, refusalView, when } from "./parts.js";
import { runPanel } from "./run.js";
import { asked, atEndpoint, TABS } from "./state.js";
import { versionsPanel } from "./versions.js";

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
  return h(
    "dl",
    { class: "facts" },
    facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

export function endpointView(endpoint, versions) {
  const log = logPanel(endpoint);
  const panels = {
    run: { view: runPanel(endpoint, versions) },
    versions: { view: versionsPanel(versions) },
    log: { view: log.view, onshown: log.load },
  };
  return [
    h(
      "header",
      { class: "endpoint-head" },
      h("h2", {}, endpoint.name, h("span", { class: "badges" }, badges(endpoint))),
      endpoint.description ? h("p", { class: "about" }, endpoint.description) : null,
      endpoint.tags.length
        ? h(
            "ul",
            { class: "tags" },
            endpoint.tags.map((tag) => h("li", {}, tag)),
          )
        : null,
      factsOf(endpoint),
    ),
    h(
      "div",
      { class: "tabs", role: "tablist", "aria-label": "Views of the endpoint", onkeydown: moveTab },
      Object.entries(TABS).map(([tab, label]) =>
        h(
          "button",
          {
            type: "button",
            role: "tab",
            id: `tab-${tab}`,
            "aria-controls": `panel-${tab}`,
            onclick: () => {
              location.hash = `#/${encodeURIComponent(endpoint.name)}/${tab}`;
            },
          },
          label,
          tab === "versions" ? h("span", { class: "badge" }, versions.length) : null,
        ),
      ),
    ),
    ...Object.entries(panels).map(([tab, { view, onshown }]) =>
      h("section", { role: "tabpanel", id: `panel-${tab}`, "aria-labelledby": `tab-${tab}`, onshown }, view),
    ),
  ];
}

export function chooseTab(chosen) {
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

function logPanel(endpoint) {
  const entries = h("div");
  async function load() {
    try {
      const { body } = await ask(atEndpoint(endpoint.name, "logs/?limit=100"));
      entries.replaceChildren(
        body.count === 0
          ? note("No run yet.")
          : h(
              "div",
              { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs" },
              h(
                "table",
                { class: "log" },
                h(
                  "tbody",
                  {},
                  body.results.map((entry) =>
                    h(
                      "tr",
                      {},
                      h("td", {}, when(entry.timestamp)),
                      h(
                        "td",
                        {},
                        h("span", { class: `badge ${entry.level === "ERROR" ? "bad" : "good"}` }, entry.level),
                      ),
                      h("td", {}, entry.message),
                    ),
                  ),
                ),
              ),
            ),
      );
    } catch (error) {
      entries.replaceChildren(refusalView(error));
    }
  }
  const view = h(
    "div",
    { class: "card" },
    h("div", { class: "card-head" }, h("h3", {}, "The last 100 runs"), button("Reload", load)),
    entries,
  );
  return { view, load };
}
