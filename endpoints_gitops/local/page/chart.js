// A chart of a table as SVG: lines over times, bars over categories.

import { h, plural, svg } from "./dom.js";
import { numberOf, textOf } from "./result.js";

const MOST_ROWS = 5000;
const MOST_POINTS = 1000;
const MOST_BARS = 40;
const MOST_SERIES = 8;
const MOST_GROUPS = 24;
const WIDTH = 800;
const LEFT = 64;
const RIGHT = 16;

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const full = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });

/** What can be drawn: the columns of the x axis, of numbers, and of categories. Null if there is nothing to draw. */
function axes({ columns, rows }) {
  if (rows.length === 0) return null;
  const numbers = columns
    .map((of, index) => ({ of, index }))
    .filter(({ of, index }) => of.isNumber && rows.some((row) => numberOf(row[index]) !== null));
  const others = columns
    .map((of, index) => ({ of, index }))
    .filter(({ index }) => !numbers.some((number) => number.index === index));
  if (numbers.length === 0 || rows.length < 2) return null;
  const x = others.find(({ of }) => of.isTime) ?? others[0] ?? (numbers.length > 1 ? numbers[0] : null);
  return x === null ? null : { x, numbers: numbers.filter(({ index }) => index !== x.index), others };
}

/** The chart with the choice of its columns; null for a result without a number over something. */
export function chartView(table) {
  const found = axes(table);
  if (found === null) return null;
  const x = chooser("X", table.columns, found.x.index);
  const distinct = (index) => new Set(table.rows.map((row) => textOf(row[index]))).size;
  const isGroup = ({ of, index }) =>
    index !== found.x.index && !of.isTime && distinct(index) > 1 && distinct(index) <= MOST_GROUPS;
  const group = distinct(found.x.index) < table.rows.length ? found.others.find(isGroup) : undefined;
  const several = found.numbers.length > 1 && group === undefined;
  const indexes = found.numbers.map(({ index }) => index);
  const y = chooser(
    "Y",
    found.numbers.map(({ of }) => of),
    several && areAlike(table, indexes) ? -1 : indexes[0],
    several ? "all numbers" : null,
    indexes,
  );
  const by = chooser("Series", table.columns, group?.index ?? -1, "none");
  const plot = h("div", { class: "plot" });
  function draw() {
    const chosen = y.value === "-1" ? found.numbers.map(({ index }) => index) : [Number(y.value)];
    plot.replaceChildren(...drawn(table, Number(x.value), chosen, Number(by.value)));
  }
  for (const select of [x, y, by]) select.addEventListener("change", draw);
  draw();
  const labelled = (text, select) => h("label", { class: "inline" }, text, select);
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", { class: "chart-tools" }, labelled("X", x), labelled("Y", y), labelled("Series", by)),
    plot,
  );
}

/** Whether columns can share an axis: they have one unit, and the largest numbers of none are a hundred times those of another. */
function areAlike(table, indexes) {
  if (table.hasUnits) return false;
  const largest = indexes
    .map((index) => table.rows.reduce((most, row) => Math.max(most, Math.abs(numberOf(row[index]) ?? 0)), 0))
    .filter((size) => size > 0);
  return Math.max(...largest) < 100 * Math.min(...largest);
}

function chooser(label, columns, selected, none = null, indexes = columns.map((_, index) => index)) {
  const option = (value, text, chosen) => h("option", { value, selected: chosen }, text);
  return h(
    "select",
    { "aria-label": `${label} of the chart` },
    none === null ? null : option(-1, none, selected === -1),
    columns.map((of, position) =>
      option(indexes[position], of.name || `column ${position + 1}`, indexes[position] === selected),
    ),
  );
}

/**
 * The series of the chosen columns, `{name, values}`, with a number for each place; and the places, `{text}`. A place
 * is a value of x. Where a series has several numbers there, each has a place of its own, and none is added up or lost.
 */
function seriesOf(table, x, ys, by) {
  const places = new Map();
  const series = new Map();
  for (const row of table.rows) {
    const text = textOf(row[x]);
    if (!places.has(text)) places.set(text, []);
    for (const y of ys) {
      const name =
        by >= 0 ? textOf(row[by]) + (ys.length > 1 ? ` · ${table.columns[y].name}` : "") : table.columns[y].name;
      if (!series.has(name)) series.set(name, new Map());
      const number = numberOf(row[y]);
      if (number === null) continue;
      let place = places.get(text).find((known) => !series.get(name).has(known));
      if (place === undefined) {
        place = { text };
        places.get(text).push(place);
      }
      series.get(name).set(place, number);
    }
  }
  return { places: [...places.values()].flat(), series: [...series].map(([name, values]) => ({ name, values })) };
}

/** The time of a text in milliseconds; one without a zone is in UTC, like the project. */
function timeOf(text) {
  const hasZone = /(?:Z|[+-]\d\d:?\d\d)$/.test(text.slice(10));
  return Date.parse(text.length > 10 && !hasZone ? `${text.replace(" ", "T")}Z` : text);
}

function drawn(table, x, ys, by) {
  const all = seriesOf({ ...table, rows: table.rows.slice(0, MOST_ROWS) }, x, ys, by);
  const isTime = table.columns[x].isTime && all.places.every((place) => !Number.isNaN(timeOf(place.text)));
  const most = isTime ? MOST_POINTS : MOST_BARS;
  const places = isTime
    ? [...all.places].sort((a, b) => timeOf(a.text) - timeOf(b.text)).slice(0, most)
    : all.places.slice(0, most);
  const series = all.series.slice(0, MOST_SERIES);
  const notes = [
    table.rows.length > MOST_ROWS ? `Of the first ${MOST_ROWS.toLocaleString("en")} rows.` : null,
    all.places.length > places.length
      ? `The first ${places.length.toLocaleString("en")} of ${plural(all.places.length, "value")} of ${table.columns[x].name}.`
      : null,
    all.series.length > series.length ? `The first ${series.length} of ${all.series.length} series.` : null,
  ].filter(Boolean);
  const label = `${series.map((one) => one.name).join(", ")} by ${table.columns[x].name}`;
  const picture = isTime ? lines(places, series, label) : bars(places, series, label);
  const legend = h(
    "ul",
    { class: "legend" },
    series.map((one, index) => h("li", {}, h("span", { class: `swatch series-${index}` }), one.name || "empty text")),
  );
  return [
    picture,
    series.length > 1 ? legend : null,
    notes.length ? h("p", { class: "note" }, notes.join(" ")) : null,
  ].filter(Boolean);
}

function ticks(low, high) {
  if (low === high) return [low];
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.floor(low / step);
  const count = Math.ceil(high / step) - first;
  return Array.from({ length: count + 1 }, (_, index) => (first + index) * step);
}

function bounds(series) {
  const numbers = series.flatMap((one) => [...one.values.values()]).filter(Number.isFinite);
  const marks = ticks(Math.min(0, ...numbers), Math.max(0, ...numbers, numbers.length ? -Infinity : 1));
  return { marks, low: marks[0], high: marks.at(-1) === marks[0] ? marks[0] + 1 : marks.at(-1) };
}

function short(text, length = 22) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function dayOf(text, isWhole) {
  return isWhole ? text.slice(0, 10) : text.replace("T", " ").replace(/(:\d\d)(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?$/, "$1");
}

const DAY = 86_400_000;

/** At most five times for the labels of an axis: whole days, or times of a short range. */
function marksOf(first, last) {
  const unit = last - first >= 4 * DAY ? DAY : 1;
  const marks = [0, 1, 2, 3, 4].map((step) =>
    Math.min(last, first + Math.round(((step / 4) * (last - first)) / unit) * unit),
  );
  const text = (time) => {
    const iso = new Date(time).toISOString();
    return unit === DAY ? iso.slice(0, 10) : iso.slice(5, 16).replace("T", " ");
  };
  return [...new Set(marks)].map((time) => ({ time, text: text(time) }));
}

function lines(places, series, label) {
  const height = 280;
  const top = 12;
  const bottom = height - 34;
  const { marks, low, high } = bounds(series);
  const times = places.map((place) => timeOf(place.text));
  const span = times.at(-1) - times[0] || 1;
  const across = (time) => LEFT + ((time - times[0]) / span) * (WIDTH - LEFT - RIGHT);
  const up = (number) => bottom - ((number - low) / (high - low)) * (bottom - top);
  const isWhole = places.every(({ text }) => /^\d{4}-\d\d-\d\d(?:$|[T ]00:00:00)/.test(text));
  const timeMarks = marksOf(times[0], times.at(-1));
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label, class: "lines" },
    marks.map((mark) => [
      svg("line", { class: mark === 0 ? "axis" : "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: up(mark), y2: up(mark) }),
      svg("text", { class: "tick", x: LEFT - 8, y: up(mark) + 4, "text-anchor": "end" }, compact.format(mark)),
    ]),
    timeMarks.map(({ time, text }, index) =>
      svg(
        "text",
        {
          class: "tick",
          x: across(time),
          y: height - 12,
          "text-anchor": index === 0 ? "start" : across(time) > WIDTH - 60 ? "end" : "middle",
        },
        text,
      ),
    ),
    series.map((one, index) => {
      const points = places
        .map((place, at) => ({ place, number: one.values.get(place), x: across(times[at]) }))
        .filter((point) => point.number !== undefined);
      const path = points
        .map((point, at) => `${at ? "L" : "M"}${point.x.toFixed(1)} ${up(point.number).toFixed(1)}`)
        .join("");
      return svg(
        "g",
        { class: `series-${index}` },
        svg("path", { class: "line", d: path }),
        points.map((point) =>
          svg(
            "circle",
            {
              class: points.length > 80 ? "point hidden" : "point",
              cx: point.x.toFixed(1),
              cy: up(point.number).toFixed(1),
              r: 3.5,
            },
            svg(
              "title",
              {},
              `${dayOf(point.place.text, isWhole)}: ${full.format(point.number)}${series.length > 1 ? ` (${one.name})` : ""}`,
            ),
          ),
        ),
      );
    }),
  );
}

function bars(places, series, label) {
  const thick = series.length > 3 ? 9 : series.length > 1 ? 12 : 18;
  const gap = 10;
  const names = 176;
  const row = series.length * thick + gap;
  const height = places.length * row + 34;
  const { marks, low, high } = bounds(series);
  const across = (number) => names + ((number - low) / (high - low)) * (WIDTH - names - 72);
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label, class: "bars" },
    marks.map((mark) => [
      svg("line", { class: mark === 0 ? "axis" : "grid", x1: across(mark), x2: across(mark), y1: 4, y2: height - 28 }),
      svg("text", { class: "tick", x: across(mark), y: height - 10, "text-anchor": "middle" }, compact.format(mark)),
    ]),
    places.map((place, position) => [
      svg(
        "text",
        {
          class: "name",
          x: names - 10,
          y: position * row + gap + (row - gap) / 2,
          "text-anchor": "end",
          "dominant-baseline": "middle",
        },
        short(place.text) || "empty text",
        svg("title", {}, place.text),
      ),
      series.map((one, index) => {
        const number = one.values.get(place);
        if (number === undefined) return null;
        const y = position * row + gap + index * thick;
        const [from, to] = [across(Math.min(0, number)), across(Math.max(0, number))];
        return svg(
          "g",
          { class: `series-${index}` },
          svg(
            "rect",
            { class: "bar", x: from, y, width: Math.max(1, to - from), height: thick - 2, rx: 2 },
            svg("title", {}, `${place.text}: ${full.format(number)}${series.length > 1 ? ` (${one.name})` : ""}`),
          ),
          series.length === 1
            ? svg("text", { class: "tick value", x: to + 6, y: y + thick / 2 + 3 }, compact.format(number))
            : null,
        );
      }),
    ]),
  );
}
