// Making and changing elements. Text goes in as text only: labels, models and user agents are anybody's words.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// One of the symbols of index.html.
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

export const byId = (id) => document.getElementById(id);

// The following change only what differs, so that nothing flickers and nothing is read out again.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// What stands between backticks is code.
export function prose(text) {
  return String(text).split("`").map((part, index) => (index % 2 === 1 ? el("code", { text: part }) : part));
}

export function setProse(node, text) {
  if (node.dataset.prose === text) return;
  node.dataset.prose = text;
  node.replaceChildren(...prose(text));
}

export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

export function setIcon(node, name) {
  setAttribute(node.matches("use") ? node : node.querySelector("use"), "href", `#i-${name}`);
}

const known = new WeakMap();

// Has `parent` show `items` in their order, one node each, kept as long as its key is there. A node is moved
// only if it has to be: one that is moved loses the focus.
export function reconcile(parent, items, keyOf, create, update) {
  const before = known.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (after.has(key)) continue;
    const row = before.get(key) ?? create(item);
    after.set(key, row);
    update(row, item);
  }
  for (const [key, row] of before) {
    if (!after.has(key)) row.node.remove();
  }
  let next = parent.firstChild;
  for (const row of after.values()) {
    if (row.node === next) next = next.nextSibling;
    else parent.insertBefore(row.node, next);
  }
  known.set(parent, after);
}

// Whether somebody is at it: what is pointed at or has the focus does not move away.
export function isInUse(node) {
  return node.matches(":hover") || (node.contains(document.activeElement) && node !== document.activeElement);
}

// A cell that names its column, for narrow screens, where columns become lines.
export function cell(label, attributes = {}, ...children) {
  return el("td", { role: "cell", "data-label": label, ...attributes }, ...children);
}

// A bar and its words: `set(part of 1 or null, words)`.
export function bar(kind = "") {
  const fillNode = el("span", { class: "bar-fill" });
  const words = el("span", { class: "bar-words" });
  const track = el("span", { class: "bar-track", "aria-hidden": "true" }, fillNode);
  const node = el("span", { class: `bar-line ${kind}` }, words, track);
  const set = (part, text) => {
    setText(words, text);
    const width = `${Math.round(Math.min(1, Math.max(0, part ?? 0)) * 1000) / 10}%`;
    if (fillNode.style.width !== width) fillNode.style.width = width;
    setAttribute(node, "data-none", part === null || part === undefined);
  };
  return { node, set };
}
