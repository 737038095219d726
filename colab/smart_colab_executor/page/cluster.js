// The cluster that a loop runs on: its facts in a line, and its workers in a table.

import { count, h, line, size, sync, write } from "./dom.js";

/** Makes the element for a job's cluster; `update` shows how it is, and nothing for null. */
export function cluster() {
  const summary = h("summary", {});
  const place = h("p", { class: "scheduler" });
  const body = h("tbody", {});
  const columns = ["Worker", "Threads", "Memory", "Tasks"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...columns)), body);
  const more = h("p", { class: "quiet" });
  const element = h("details", { class: "cluster", hidden: true }, summary, place,
    h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Workers of the cluster" }, table), more);

  function update(found) {
    element.hidden = !found;
    if (!found) return;
    write(summary, line([count(found.worker_count, "worker"), memory(found), tasks(found)]));
    write(place, line([`scheduler ${found.scheduler}`, found.dashboard && `dask's dashboard on the runtime: ${found.dashboard}`]));
    sync(body, found.workers, (worker) => worker.name, row, fill);
    const rest = found.worker_count - found.workers.length;
    write(more, rest > 0 ? `and ${count(rest, "worker")} with more memory left` : "");
  }
  return { element, update };
}

const memory = ({ memory_bytes: used, limit_bytes: limit }) => (limit ? `${size(used)} of ${size(limit)}` : size(used));
const tasks = ({ tasks_running: running, tasks_waiting: waiting }) => `${running.toLocaleString("en")} running, ${waiting.toLocaleString("en")} waiting`;

function row() {
  return h("tr", {}, h("th", { scope: "row" }), ...Array.from({ length: 3 }, () => h("td", {})));
}

function fill(element, worker) {
  const texts = [worker.name, String(worker.threads), memory(worker), tasks(worker)];
  texts.forEach((text, index) => write(element.children[index], text));
}
