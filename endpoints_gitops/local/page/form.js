// The variables of a version as a form. The types and defaults are those of its OpenAPI document.

import { h } from "./dom.js";

const NAMES = { string: "text", number: "number", boolean: "true or false", array: "list", date: "date" };

function control(id, schema, variable) {
  const common = { id, name: id, autocomplete: "off", spellcheck: "false" };
  const choices = variable?.type === "List" && Array.isArray(variable.values) ? variable.values : [];
  if (schema.type === "boolean") return choice(common, ["true", "false"], false);
  if (choices.length) return choice(common, choices, variable.is_multi);
  if (schema.type === "array") return h("textarea", { ...common, rows: 2, placeholder: "one value in each line" });
  if (schema.type === "number") return h("input", { ...common, type: "number", step: "any" });
  if (schema.format === "date") return h("input", { ...common, type: "date" });
  return h("input", { ...common, type: "text" });
}

function choice(common, values, isMany) {
  return h(
    "select",
    { ...common, multiple: isMany, size: isMany ? Math.min(5, values.length) : null },
    isMany ? null : h("option", { value: "" }, "not sent"),
    values.map((value) => h("option", { value }, String(value))),
  );
}

function valueOf(element, schema) {
  if (element.multiple) {
    const chosen = [...element.selectedOptions].map((option) => option.value);
    return chosen.length ? chosen : undefined;
  }
  if (element.value === "") return undefined;
  if (schema.type === "boolean") return element.value === "true";
  if (schema.type === "number") return Number(element.value);
  if (element.tagName === "TEXTAREA") return element.value.split("\n").filter((line) => line !== "");
  return element.value;
}

function fill(element, value) {
  const values = (Array.isArray(value) ? value : [value]).map(String);
  if (element.multiple) for (const option of element.options) option.selected = values.includes(option.value);
  else element.value = values.join("\n");
}

function hint(schema, isRequired, isSql) {
  if (isRequired) return "required, because the version has a table";
  if (schema.example === undefined) return "not sent if empty";
  const example = typeof schema.example === "string" ? `“${schema.example}”` : JSON.stringify(schema.example);
  return isSql ? `default ${example}` : `optional, such as ${example}`;
}

/**
 * The fields of a version's variables. `required` are those without which the server refuses a run, and `declared` the
 * project's variables by code name. The example of a variable of HogQL is its default, which is filled in where a value
 * is required; that of an insight is only an example. `values()` gives what would be sent.
 */
export function variableFields(schemas, { required, declared, isSql, onchange }) {
  const properties = Object.entries(schemas.Variables?.properties ?? {});
  const fields = properties.map(([name, schema], index) => {
    const id = `variable-${index}`;
    const element = control(id, schema, declared.get(name));
    const asNull = h("input", { type: "checkbox", id: `${id}-null` });
    const isRequired = required.includes(name);
    element.required = isRequired;
    if (isRequired && isSql && schema.example !== undefined) fill(element, schema.example);
    element.setAttribute("aria-describedby", `${id}-hint`);
    asNull.addEventListener("change", () => {
      element.disabled = asNull.checked;
      onchange();
    });
    element.addEventListener("input", onchange);
    const kind = NAMES[schema.format ?? schema.type] ?? schema.type;
    return {
      name,
      read: () => (asNull.checked ? null : valueOf(element, schema)),
      view: h(
        "div",
        { class: "field" },
        h("label", { for: id }, name, h("span", { class: "type" }, kind)),
        element,
        h(
          "div",
          { class: "hint" },
          h("span", { id: `${id}-hint` }, hint(schema, isRequired, isSql)),
          isRequired ? null : h("label", { class: "check", for: `${id}-null` }, asNull, "send null"),
        ),
      ),
    };
  });
  return {
    views: fields.map((field) => field.view),
    values: () =>
      Object.fromEntries(fields.map((field) => [field.name, field.read()]).filter(([, value]) => value !== undefined)),
  };
}
