// The machine: its memory, processors, GPUs and disks, now and in the last minutes, as charts by uPlot.

import { get, repeat } from "./api.js";
import { count, h, write } from "./dom.js";

/* global uPlot */
const PAUSE_SEC = 3;
const WINDOW_SEC = 900;
const LEAST_SEC = 60;
const HEIGHT = 40;

/** Shows it until `signal`. */
export function showMachine(parent, signal) {
  const tiles = new Map();
  parent.replaceChildren();
  const load = async (given) => {
    const probe = await get("probe?packages=pip", { signal: given });
    const now = Date.now() / 1000;
    for (const { name, percent, said } of measures(probe)) {
      if (!tiles.has(name)) {
        tiles.set(name, new Tile(name));
        parent.append(tiles.get(name).element);
        tiles.get(name).plot();
      }
      tiles.get(name).add(now, percent, said);
    }
  };
  const dress = () => tiles.forEach((tile) => tile.chart.redraw());
  addEventListener("theme", dress, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress, { signal });
  repeat(load, PAUSE_SEC, signal);
}

// Colab ends free machines after so long at most.
const MAX_AGE_SEC = 12 * 3600;

function measures({ compute, gpu, platform, storage }) {
  const used = compute.memory_total_gb - compute.memory_available_gb;
  const found = [{ name: "Memory", percent: compute.memory_used_pct, said: `${used.toFixed(1)} of ${compute.memory_total_gb.toFixed(1)} GB` }];
  if (compute.load_1m !== null) {
    const said = `${compute.load_1m.toFixed(1)} · ${count(compute.cpu_count, "core")}`;
    found.push({ name: "Load", percent: Math.min(100, (100 * compute.load_1m) / compute.cpu_count), said });
  }
  for (const { index, utilization_pct: busy, memory_used_gb: used, memory_total_gb: total } of gpu) {
    const title = gpu.length > 1 ? `GPU ${index}` : "GPU";
    if (busy !== null) found.push({ name: title, percent: busy, said: `${Math.round(busy)} %` });
    if (total) found.push({ name: `${title} memory`, percent: (100 * used) / total, said: `${used.toFixed(1)} of ${total.toFixed(1)} GB` });
  }
  for (const { path, free_gb: free, used_pct: percent } of storage) {
    found.push({ name: storage.length > 1 ? `Disk ${path}` : "Disk", percent, said: `${free.toFixed(0)} GB free` });
  }
  if (platform.age_sec !== null) {
    const hours = (platform.age_sec / 3600).toFixed(1);
    const percent = Math.min(100, (100 * platform.age_sec) / MAX_AGE_SEC);
    found.push({ name: "Age", percent, said: `${hours} h · free machines end by 12 h` });
  }
  return found;
}

class Tile {
  constructor(name) {
    this.name = name;
    this.data = [[], []];
    this.now = "";
    this.value = h("span", { class: "value" });
    this.holder = h("div", { class: "chart", role: "img" });
    this.element = h("div", { class: "tile" }, h("h2", {}, name), this.value, this.holder);
  }

  plot() {
    const colour = (name) => () => getComputedStyle(this.holder)[name];
    const options = {
      width: this.holder.clientWidth || 160,
      height: HEIGHT,
      padding: [2, 0, 2, 0],
      legend: { show: false },
      select: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { range: (_plot, first, last) => [Math.min(first, last - LEAST_SEC), last] }, y: { range: [0, 100] } },
      axes: [{ show: false }, { show: false }],
      series: [{}, { stroke: colour("stroke"), fill: colour("fill"), width: 1.5, points: { show: false } }],
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)] },
    };
    this.chart = new uPlot(options, this.data, this.holder);
    new ResizeObserver(() => this.chart.setSize({ width: this.holder.clientWidth, height: HEIGHT })).observe(this.holder);
  }

  add(time, percent, said) {
    const [times, values] = this.data;
    times.push(time);
    values.push(percent);
    while (times[0] < time - WINDOW_SEC) this.data.forEach((column) => column.shift());
    this.now = said;
    this.chart.setData(this.data);
    this.tell(this.chart.cursor.idx);
    const minutes = Math.round((time - times[0]) / 60);
    this.holder.setAttribute("aria-label", `${this.name} over the last ${minutes || "few"} ${minutes ? "minutes" : "seconds"}: `
      + `${Math.round(Math.min(...values))} to ${Math.round(Math.max(...values))} percent, now ${Math.round(percent)} percent`);
  }

  /** Shows the value under the pointer, else the newest. */
  tell(index) {
    const [times, values] = this.data;
    const pointed = index !== null && index !== undefined && this.chart?.cursor.left >= 0 && times[index];
    write(this.value, pointed ? `${Math.round(values[index])} % at ${new Date(pointed * 1000).toLocaleTimeString()}` : this.now);
  }
}
