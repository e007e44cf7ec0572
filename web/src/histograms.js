/** Histograms of all columns: a range dragged across one, or written below it, filters the others and the list. */

import uPlot from "uplot";
import { MISSING, valueOf } from "./clips.js";
import { atNextFrame, h } from "./dom.js";
import { count, short } from "./format.js";

const HEIGHT = 150; // CSS pixels
const NEARLY_IN_SIGHT = "400px";

export function histograms(element, state) {
  const columns = state.clips.columns.filter((column) => column.edges.length && column.codes?.length);
  const plots = columns.map((column) => new Histogram(column, state));
  const clear = h(
    "button",
    { type: "button", id: "clear-brushes", onclick: () => state.clearBrushes() },
    "Clear all ranges",
  );
  element.append(clear, h("div", { class: "plots" }, ...plots.map((plot) => plot.element)));
  const draw = atNextFrame(() => {
    clear.disabled = !state.brushes.size;
    for (const plot of plots) plot.draw();
  });
  watchSight(plots);
  for (const name of ["decided", "selected"]) state.addEventListener(name, draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.remake()));
  new ResizeObserver(atNextFrame(() => plots.forEach((plot) => plot.resize()))).observe(element);
  draw();
}

/** Only plots in sight, or nearly so, are drawn: there may be many, and many clips. */
function watchSight(plots) {
  const byElement = new Map(plots.map((plot) => [plot.element, plot]));
  const see = (entries) => {
    for (const { target, isIntersecting } of entries) byElement.get(target).setInSight(isIntersecting);
  };
  const observer = new IntersectionObserver(see, { rootMargin: NEARLY_IN_SIGHT });
  for (const plot of plots) observer.observe(plot.element);
}

class Histogram {
  #plot = null;
  #isInSight = false;
  #isDue = true;
  #binOf;

  constructor(column, state) {
    this.column = column;
    this.state = state;
    this.tested = state.clips.tested.findIndex(({ name }) => name === column.name);
    const { edges } = column;
    const last = edges.length - 2;
    this.bins = last + 1;
    // The outermost bins hold what lies beyond the edges too.
    const bin = (value) =>
      Math.min(
        Math.max(
          edges.findLastIndex((edge) => edge <= value),
          0,
        ),
        last,
      );
    this.#binOf = Uint16Array.from({ length: column.stops.length + 1 }, (_, code) => bin(valueOf(column, code)));
    this.place = h("div", { class: "plot", role: "img", "aria-label": `histogram of ${column.name}` });
    this.readout = h("p", { class: "readout", "aria-live": "off" });
    this.low = this.#field("from");
    this.high = this.#field("to");
    this.clear = h("button", { type: "button", onclick: () => state.setBrush(column, null) }, "Clear");
    this.element = h(
      "figure",
      { id: `histogram-${column.name}` },
      h("figcaption", {}, h("b", {}, column.name), column.about, column.unit ? `, ${column.unit}` : ""),
      this.place,
      this.readout,
      h("div", { class: "range" }, this.low, "–", this.high, this.clear),
    );
  }

  #field(word) {
    const set = () => {
      const [low, high] = [this.low, this.high].map((field) => field.value);
      const range = { low: low === "" ? -Infinity : Number(low), high: high === "" ? Infinity : Number(high) };
      this.state.setBrush(this.column, low === "" && high === "" ? null : range);
    };
    return h("input", {
      type: "number",
      step: "any",
      placeholder: word,
      "aria-label": `${this.column.name} ${word}`,
      onchange: set,
    });
  }

  /** Count the clips that all filters but the own brush leave. */
  #count() {
    const { column, state } = this;
    const { missedBrush, then } = state;
    const own = [...state.brushes.keys()].indexOf(column.name) + 1; // 0: none, and clips that miss nothing have 0
    const [kept, all] = [new Uint32Array(this.bins), new Uint32Array(this.bins)];
    for (let row = 0; row < state.clips.count; row++) {
      const code = column.codes[row];
      const missed = missedBrush[row];
      if (code === MISSING || (missed !== 0 && missed !== own)) continue;
      const bin = this.#binOf[code];
      all[bin]++;
      kept[bin] += then.kept[row];
    }
    [this.kept, this.all] = [Array.from(kept), Array.from(all)];
  }

  setInSight(isInSight) {
    this.#isInSight = isInSight;
    if (isInSight && this.#isDue) this.draw();
  }

  /** Make the plot anew, in the colours that the page has now. */
  remake() {
    this.#plot?.destroy();
    this.#plot = null;
    this.draw();
  }

  #make() {
    const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const { edges } = this.column;
    const bars = uPlot.paths.bars({ align: 1, size: [0.94, Infinity, 1] });
    const series = (label, colour) => ({ label, fill: ink(colour), width: 0, paths: bars, points: { show: false } });
    const axis = {
      stroke: ink("--faint"),
      grid: { stroke: ink("--line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui",
    };
    this.#plot = new uPlot(
      {
        width: this.#width(),
        height: HEIGHT,
        legend: { show: false },
        padding: [14, 10, 0, 0],
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
        scales: {
          x: { time: false, range: [edges[0], edges.at(-1)] },
          y: { range: (_, low, high) => [0, Math.max(1, high)] },
        },
        axes: [
          { ...axis, size: 24 },
          { ...axis, size: 46, values: (_, marks) => marks.map((mark) => (mark % 1 ? "" : compact(mark))) },
        ],
        series: [{}, series("rejected", "--rejected"), series("kept", "--kept")],
        hooks: {
          draw: [(plot) => this.#drawLimit(plot, ink("--ink"))],
          setCursor: [(plot) => this.#tell(plot)],
          setSelect: [(plot) => this.#brush(plot)],
        },
      },
      this.#data(),
      this.place,
    );
  }

  #width() {
    return Math.max(200, this.element.clientWidth - 34);
  }

  resize() {
    this.#plot?.setSize({ width: this.#width(), height: HEIGHT });
  }

  #data() {
    const { edges } = this.column;
    return [
      [...edges.slice(0, -1), edges.at(-1)],
      [...this.all, null],
      [...this.kept, null],
    ];
  }

  draw() {
    this.#isDue = !this.#isInSight;
    if (this.#isDue) return;
    this.#count();
    if (!this.#plot) this.#make();
    const brush = this.state.brushes.get(this.column.name);
    this.low.value = Number.isFinite(brush?.low) ? brush.low : "";
    this.high.value = Number.isFinite(brush?.high) ? brush.high : "";
    this.clear.disabled = !brush;
    this.element.classList.toggle("brushed", Boolean(brush));
    const [kept, all] = [this.kept, this.all].map((bins) => bins.reduce((sum, bin) => sum + bin, 0));
    this.counts = `${count(kept)} kept, ${count(all - kept)} rejected`;
    this.place.setAttribute("aria-label", `histogram of ${this.column.name}: ${this.counts}`);
    this.readout.textContent = this.counts;
    this.#plot?.setData(this.#data());
    this.#mark(brush);
  }

  /** Show the brushed range. */
  #mark(brush) {
    const plot = this.#plot;
    if (!plot) return;
    const place = (value) => Math.min(Math.max(plot.valToPos(value, "x"), 0), plot.over.clientWidth);
    const [left, right] = brush ? [place(brush.low), place(brush.high)] : [0, 0];
    plot.setSelect({ left, width: right - left, top: 0, height: plot.over.clientHeight }, false);
  }

  /** A dashed line at the threshold that the slider has. */
  #drawLimit(plot, colour) {
    const position = this.tested < 0 ? null : this.state.limit(this.tested);
    if (position === null) return;
    const { ctx, bbox } = plot;
    const x = Math.round(plot.valToPos(this.column.stops[position], "x", true));
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4, 3].map((length) => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - 8);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  /** Say what the bar under the pointer holds. */
  #tell(plot) {
    const { edges } = this.column;
    const left = plot.cursor.left;
    if (left === undefined || left < 0) {
      this.readout.textContent = this.counts;
      return;
    }
    const value = plot.posToVal(left, "x");
    const bin = Math.min(
      Math.max(
        edges.findLastIndex((edge) => edge <= value),
        0,
      ),
      this.bins - 1,
    );
    const [kept, all] = [this.kept[bin], this.all[bin]];
    const range = `${short(edges[bin])} to ${short(edges[bin + 1])}`;
    this.readout.textContent = `${range}: ${count(kept)} kept, ${count(all - kept)} rejected`;
  }

  #brush(plot) {
    const { left, width } = plot.select;
    if (width < 3) {
      if (this.state.brushes.has(this.column.name)) this.state.setBrush(this.column, null);
      return;
    }
    const [low, high] = [left, left + width].map((at) => Number(plot.posToVal(at, "x").toPrecision(3)));
    this.state.setBrush(this.column, { low, high });
  }
}

const compact = (number) => new Intl.NumberFormat("en-US", { notation: "compact" }).format(number);
