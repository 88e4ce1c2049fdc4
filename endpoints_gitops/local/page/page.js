// The page: the key, the list of endpoints, and what the address asks for.

import { address, ask, everyItem, forgetKey, keepKey, key, Refused } from "./api.js";
import { button, h, plural } from "./dom.js";
import { chooseTab, endpointView } from "./endpoint.js";
import { badges, note, refusalView } from "./parts.js";
import { codeBlock } from "./sql.js";
import { asked, atEndpoint, inProject, state } from "./state.js";

const side = document.getElementById("side");
const main = document.getElementById("main");
const layout = document.getElementById("layout");
const tools = document.getElementById("tools");

/** Keep the key that the address of `serve` hands over as #key=…, and take it out of the address. */
function takeKeyFromAddress() {
  const handed = new URLSearchParams(location.hash.slice(1)).get("key");
  if (handed === null) return;
  keepKey(handed);
  history.replaceState(null, "", `${location.pathname}#/`);
}

// The key

function showKeyForm(problem = null) {
  tools.replaceChildren();
  side.replaceChildren();
  layout.dataset.shows = "key";
  const input = h("input", {
    id: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    placeholder: "phx_…",
  });
  main.replaceChildren(
    h(
      "form",
      {
        class: "card key-form",
        onsubmit: (event) => {
          event.preventDefault();
          tryKey(input.value.trim());
        },
      },
      h("h2", {}, "Which key?"),
      h(
        "p",
        {},
        "This server prints its keys in one line when it starts. Open the address that stands there as ",
        h("code", {}, "page"),
        ", or paste ",
        h("code", {}, "readonly_key"),
        " here. The keys are of this server only; do not paste a key of a real project.",
      ),
      h("label", { for: "key" }, "Key"),
      input,
      problem ? h("p", { class: "problem", role: "alert" }, problem) : null,
      h("button", { class: "primary", type: "submit" }, "Open"),
    ),
  );
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

function matches(endpoint) {
  const text = [endpoint.name, endpoint.description, ...endpoint.tags].join("\n").toLowerCase();
  return state.filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function drawList() {
  const { name } = asked();
  const shown = state.endpoints.filter(matches);
  const list = h(
    "ul",
    { class: "endpoints" },
    shown.map((endpoint) =>
      h(
        "li",
        {},
        h(
          "a",
          {
            href: `#/${encodeURIComponent(endpoint.name)}`,
            "aria-current": endpoint.name === name ? "page" : null,
          },
          h("span", { class: "endpoint-name" }, endpoint.name),
          endpoint.description ? h("span", { class: "endpoint-about" }, endpoint.description.split("\n")[0]) : null,
          h("span", { class: "badges" }, badges(endpoint)),
        ),
      ),
    ),
  );
  const count =
    shown.length === state.endpoints.length
      ? plural(shown.length, "endpoint")
      : `${shown.length} of ${plural(state.endpoints.length, "endpoint")}`;
  side.querySelector("[data-role=list]").replaceChildren(h("p", { class: "note count", role: "status" }, count), list);
}

function drawSide() {
  const filter = h("input", {
    type: "search",
    id: "filter",
    placeholder: "Filter by name, text or tag",
    "aria-label": "Filter endpoints",
    value: state.filter,
    oninput: (event) => {
      state.filter = event.target.value;
      drawList();
    },
  });
  side.replaceChildren(h("div", { class: "filter" }, filter), h("div", { "data-role": "list" }));
  drawList();
}

function drawTools() {
  const projects =
    state.projects.length > 1
      ? h(
          "select",
          {
            "aria-label": "Project",
            onchange: (event) => {
              chooseProject(event.target.value);
            },
          },
          state.projects.map((project) =>
            h("option", { value: project.id, selected: project.id === state.project.id }, project.name),
          ),
        )
      : h("span", { class: "note" }, state.project.name);
  tools.replaceChildren(
    projects,
    button("Reload", () => reload()),
    button("Forget key", () => {
      forgetKey();
      showKeyForm();
    }),
  );
}

async function chooseProject(id) {
  state.project = state.projects.find((project) => String(project.id) === id);
  location.hash = "#/";
  await reload();
}

// The endpoint

async function drawEndpoint() {
  const { name, tab } = asked();
  drawList();
  layout.dataset.shows = name ? "endpoint" : "list";
  if (!name) {
    state.drawn = "";
    main.replaceChildren(welcome());
    return;
  }
  if (state.drawn === name) {
    chooseTab(tab);
    return;
  }
  state.drawn = name;
  main.replaceChildren(note("Loading …"));
  try {
    const [endpoint, versions] = await Promise.all([
      ask(atEndpoint(name)),
      everyItem(atEndpoint(name, "versions/"), (count) => `limit=100&offset=${count}`),
    ]);
    if (state.drawn !== name) return;
    document.title = `${name} · Endpoints`;
    main.replaceChildren(back(), ...endpointView(endpoint.body, versions));
    chooseTab(asked().tab);
  } catch (error) {
    if (state.drawn === name) failed(error);
  }
}

function back() {
  return h("a", { class: "back", href: "#/" }, "← All endpoints");
}

function welcome() {
  document.title = "Endpoints on this machine";
  if (state.endpoints.length)
    return h(
      "div",
      { class: "empty" },
      h("h2", {}, "Choose an endpoint"),
      h("p", {}, "Run it with values of your own, compare its versions, or copy the request for a terminal."),
    );
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "No endpoints yet"),
    h("p", {}, "Add this server to ", h("code", {}, "endpoints.toml"), " as an environment:"),
    codeBlock(
      `[environments.here]\nhost = "${address("").replace(/\/$/, "")}"\nproject_id = ${state.project.id}\nkey = "env:LOCAL_KEY"`,
      "Configuration",
    ),
    h(
      "p",
      {},
      "Then put ",
      h("code", {}, "key"),
      " of the line that the server printed into ",
      h("code", {}, "LOCAL_KEY"),
      ", run ",
      h("code", {}, "endpoints-gitops push --env here"),
      ", and reload.",
    ),
  );
}

// Start

async function reload() {
  try {
    const [endpoints, variables] = await Promise.all([
      everyItem(inProject("endpoints/")),
      everyItem(inProject("insight_variables/"), (count) => `page=${Math.floor(count / 500) + 1}`),
    ]);
    state.endpoints = endpoints.sort((a, b) => a.name.localeCompare(b.name));
    state.variables = new Map(variables.map((variable) => [variable.code_name, variable]));
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
  } else main.replaceChildren(back(), refusalView(error));
}

async function start() {
  takeKeyFromAddress();
  if (!key()) {
    showKeyForm();
    return;
  }
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
  else if (state.project && key()) drawEndpoint();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
start();
