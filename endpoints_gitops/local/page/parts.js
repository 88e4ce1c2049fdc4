// Small parts that several views have.

import { Refused } from "./api.js";
import { h } from "./dom.js";
import { textOf } from "./result.js";

export function refusalView(error) {
  if (!(error instanceof Refused))
    return h(
      "div",
      { class: "refusal", role: "alert" },
      h("strong", {}, "The server did not answer"),
      h("p", {}, String(error.message)),
    );
  const { body, status, text } = error;
  const facts = ["type", "code", "attr"]
    .filter((name) => body?.[name])
    .map((name) => [h("dt", {}, name), h("dd", {}, textOf(body[name]))]);
  return h(
    "div",
    { class: "refusal", role: "alert" },
    h("strong", {}, `Answer ${status}`),
    h("p", { class: "detail" }, error.message),
    facts.length ? h("dl", { class: "facts" }, facts) : null,
    h("details", {}, h("summary", {}, "The answer as it was sent"), h("pre", { class: "code", tabindex: 0 }, text)),
  );
}

export function note(text) {
  return h("p", { class: "note" }, text);
}

export function when(text) {
  if (!text) return "never";
  const moment = new Date(text);
  return h(
    "time",
    { datetime: text, title: text },
    moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }),
  );
}

export function badges(endpoint) {
  const kind = endpoint.query.kind === "HogQLQuery" ? "SQL" : endpoint.query.kind.replace(/Query$/, "");
  return [
    h("span", { class: "badge" }, kind),
    endpoint.versions_count > 1 || endpoint.current_version > 1
      ? h("span", { class: "badge" }, `v${endpoint.current_version}`)
      : null,
    endpoint.materialization?.enabled ? h("span", { class: "badge good" }, "table") : null,
    endpoint.is_active ? null : h("span", { class: "badge bad" }, "inactive"),
  ];
}
