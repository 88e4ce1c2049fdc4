// What is shown: the project, its endpoints, and the address of the page.

export const TABS = { run: "Run", versions: "Versions", log: "Log" };
export const state = { projects: [], project: null, endpoints: [], variables: new Map(), filter: "", drawn: "" };

export const inProject = (path) => `api/projects/${state.project.id}/${path}`;
export const atEndpoint = (name, path = "") => inProject(`endpoints/${encodeURIComponent(name)}/${path}`);

/** The endpoint and the tab of the address: #/NAME or #/NAME/TAB. */
export function asked() {
  const [, name = "", tab = "run"] = location.hash.split("/");
  return { name: decodeURIComponent(name), tab: tab in TABS ? tab : "run" };
}
