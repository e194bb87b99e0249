// One chart as SVG: axes, columns or a line, and a read-out that mouse, finger and keyboard move.

import { el, setAttribute, setText, svg } from "./dom.js";

const HEIGHT = 128;
const MARGIN = { top: 8, right: 4, bottom: 20, left: 46 };
// Room that a label of the time axis needs, in px.
const LABEL_WIDTH = 74;

// The next round number: 1, 2 or 5 times a power of ten.
export function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= value * 0.999);
  return factor * power;
}

// `spec`: {title, layers: [{name, tone, values(series)}], kind: columns|line, unit(value), say(series, at),
// sum(series), most}. `move(at)` is told which step is looked at, or null.
export function createPlot(spec, move) {
  const value = el("span", { class: "chart-value" });
  const drawing = svg("svg", { "aria-hidden": "true", height: HEIGHT });
  const plot = el(
    "div",
    {
      class: "plot",
      role: "slider",
      tabindex: "0",
      "aria-label": spec.title,
      "aria-valuemin": "0",
      "aria-valuemax": "0",
      "aria-valuenow": "0",
    },
    drawing,
  );
  const legend = spec.layers.length > 1 ? [el("ul", { class: "legend" }, ...spec.layers.map((layer) => el("li", { "data-tone": layer.tone }, layer.name)))] : [];
  const node = el("figure", { class: "chart" }, el("figcaption", {}, el("h3", { text: spec.title }), value), plot, ...legend);
  let data = null;
  let cursor = null;
  let width = 0;
  let marks = null;

  const inner = () => Math.max(1, width - MARGIN.left - MARGIN.right);
  const steps = () => data?.steps ?? 0;
  const x = (at) => MARGIN.left + (inner() * at) / Math.max(1, steps());
  const plotHeight = HEIGHT - MARGIN.top - MARGIN.bottom;

  function draw() {
    if (!data || width === 0) return;
    const layers = spec.layers.map((layer) => layer.values(data.series));
    const totals = Array.from({ length: steps() }, (_, at) => layers.reduce((sum, values) => sum + (values[at] ?? 0), 0));
    const top = spec.most ?? nice(Math.max(spec.least ?? 1, ...totals));
    const y = (number) => MARGIN.top + plotHeight * (1 - number / top);
    const parts = [...axes(top, y)];
    if (spec.kind === "line") parts.push(...line(layers[0], y));
    else parts.push(...columns(layers, y));
    marks = svg("g", { class: "cursor", visibility: "hidden" }, svg("rect", { y: MARGIN.top, height: plotHeight, width: inner() / Math.max(1, steps()) }));
    parts.push(marks);
    if (!totals.some((total) => total > 0) && spec.kind !== "line") parts.push(nothing("none"));
    if (spec.kind === "line" && !layers[0].some((number) => number !== null && number !== undefined)) parts.push(nothing("nothing measured"));
    drawing.setAttribute("width", width);
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawing.replaceChildren(...parts);
    mark();
  }

  const nothing = (text) => svg("text", { class: "none", x: MARGIN.left + inner() / 2, y: MARGIN.top + plotHeight / 2 + 4, "text-anchor": "middle", text });

  function axes(top, y) {
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      const height = Math.round(y(top * part)) + 0.5;
      parts.push(svg("line", { class: part === 0 ? "base" : "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: height, y2: height }));
      const text = spec.unit(top * part, top);
      if (text !== null) parts.push(svg("text", { x: MARGIN.left - 6, y: height + 3.5, "text-anchor": "end", text }));
    }
    const most = Math.max(2, Math.floor(inner() / LABEL_WIDTH));
    const every = Math.max(1, Math.ceil(steps() / most));
    // Labels stand at the newest step and backwards, so that they do not run about as time goes on.
    for (let at = steps() - 1; at >= 0; at -= every) {
      const middle = x(at + 0.5);
      const last = at === steps() - 1;
      parts.push(svg("line", { class: "base", x1: middle, x2: middle, y1: HEIGHT - MARGIN.bottom, y2: HEIGHT - MARGIN.bottom + 3 }));
      if (middle < MARGIN.left + 14) continue;
      parts.push(svg("text", { x: last ? Math.min(middle + 12, width - MARGIN.right) : middle, y: HEIGHT - 5, "text-anchor": last ? "end" : "middle", text: data.label(at) }));
    }
    return parts;
  }

  function columns(layers, y) {
    const step = inner() / Math.max(1, steps());
    const gap = step > 6 ? 2 : step > 3 ? 1 : 0.4;
    const base = Array.from({ length: steps() }, () => 0);
    const parts = [];
    layers.forEach((values, index) => {
      let path = "";
      for (let at = 0; at < steps(); at += 1) {
        const number = values[at] ?? 0;
        if (number <= 0) continue;
        const bottom = y(base[at]);
        base[at] += number;
        // What is there is seen, however little it is.
        const height = Math.max(index === 0 ? 1.5 : 1, bottom - y(base[at]));
        path += `M${(x(at) + gap / 2).toFixed(1)} ${bottom.toFixed(1)}v${(-height).toFixed(1)}h${(step - gap).toFixed(1)}v${height.toFixed(1)}z`;
      }
      if (path) parts.push(svg("path", { class: "column", "data-tone": spec.layers[index].tone, d: path }));
    });
    return parts;
  }

  function line(values, y) {
    const parts = [];
    let run = [];
    let left = null;
    const end = () => {
      if (run.length > 0) {
        // Where nothing was measured, the line is only a thread.
        if (left) parts.push(svg("path", { class: "gap", d: `M${left[0]} ${left[1]}L${run[0][0]} ${run[0][1]}` }));
        left = run.at(-1);
        const points = run.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`);
        const floor = HEIGHT - MARGIN.bottom;
        if (run.length > 1) {
          parts.push(svg("path", { class: "area", d: `M${run[0][0].toFixed(1)} ${floor}L${points.join("L")}L${run.at(-1)[0].toFixed(1)} ${floor}z` }));
          parts.push(svg("path", { class: "line", d: `M${points.join("L")}` }));
        }
        if (run.length === 1 || steps() <= 30) for (const [cx, cy] of run) parts.push(svg("circle", { cx, cy, r: run.length === 1 ? 2.5 : 2 }));
      }
      run = [];
    };
    for (let at = 0; at < steps(); at += 1) {
      const number = values[at];
      if (number === null || number === undefined) end();
      else run.push([x(at + 0.5), y(Math.min(number, spec.most ?? number))]);
    }
    end();
    return parts;
  }

  function mark() {
    if (!data) return;
    const at = cursor !== null && cursor < steps() ? cursor : null;
    if (marks) {
      setAttribute(marks, "visibility", at === null ? "hidden" : "visible");
      if (at !== null) marks.firstChild.setAttribute("x", x(at));
    }
    const said = at === null ? spec.sum(data.series) : spec.say(data.series, at);
    setText(value, said);
    setAttribute(plot, "aria-valuemax", Math.max(0, steps() - 1));
    setAttribute(plot, "aria-valuenow", at ?? Math.max(0, steps() - 1));
    setAttribute(plot, "aria-valuetext", at === null ? `whole span: ${said}` : `${data.label(at, true)}: ${said}`);
  }

  const pointed = (event) => {
    const left = event.clientX - drawing.getBoundingClientRect().left - MARGIN.left;
    const at = Math.floor((left / inner()) * steps());
    move(at >= 0 && at < steps() ? at : null);
  };
  plot.addEventListener("pointermove", pointed);
  plot.addEventListener("pointerdown", pointed);
  plot.addEventListener("pointerleave", () => move(null));
  plot.addEventListener("blur", () => move(null));
  plot.addEventListener("keydown", (event) => {
    const last = steps() - 1;
    const from = cursor ?? last + 1;
    const to = {
      ArrowLeft: Math.max(0, from - 1),
      ArrowDown: Math.max(0, from - 1),
      ArrowRight: Math.min(last, from + 1),
      ArrowUp: Math.min(last, from + 1),
      PageDown: Math.max(0, from - 10),
      PageUp: Math.min(last, from + 10),
      Home: 0,
      End: last,
      Escape: null,
    }[event.key];
    if (to === undefined || steps() === 0) return;
    event.preventDefault();
    move(to);
  });
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now !== width) {
      width = now;
      draw();
    }
  }).observe(plot);

  return {
    node,
    set(next) {
      data = next;
      draw();
    },
    look(at) {
      cursor = at;
      mark();
    },
  };
}
