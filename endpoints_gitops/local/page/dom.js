// Elements without markup in text: everything that comes from the server is a text node, never HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

export function button(label, onclick, properties = {}) {
  return h("button", { type: "button", class: "quiet", onclick, ...properties }, label);
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** A button that copies what `text()` gives, and says so. */
export function copyButton(text, label = "Copy") {
  const made = button(label, async () => {
    await navigator.clipboard.writeText(text());
    made.textContent = "Copied";
    announce("Copied to the clipboard");
    setTimeout(() => {
      made.textContent = label;
    }, 1500);
  });
  return made;
}

/** The complete value in a dialog, for cells that are cut. */
export function showValue(title, text) {
  const dialog = document.getElementById("value-dialog");
  document.getElementById("value-title").textContent = title;
  document.getElementById("value-text").textContent = text;
  document.getElementById("value-close").onclick = () => dialog.close();
  document.getElementById("value-copy").onclick = async (event) => {
    await navigator.clipboard.writeText(text);
    event.target.textContent = "Copied";
    setTimeout(() => {
      event.target.textContent = "Copy";
    }, 1500);
  };
  dialog.showModal();
}

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
