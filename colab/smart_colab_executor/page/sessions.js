// The sessions, and the variables in each.

import { get, repeat } from "./api.js";
import { count, duration, fault, h, line, size, sync, write } from "./dom.js";

const PAUSE_SEC = 2;
const VARIABLES_PAUSE_SEC = 3;

/** Shows them until `signal`. */
export function showSessions(parent, _chosen, signal) {
  const list = h("ul", { class: "sessions" });
  const section = h("section", { class: "page", "aria-label": "Sessions" }, h("h2", {}, "Sessions"), list);
  parent.replaceChildren(section);
  const load = async (given) => {
    const { sessions } = await get("sessions", { signal: given });
    sync(list, sessions, (session) => session.name, (session) => entry(session, signal), update);
  };
  repeat(load, PAUSE_SEC, signal, (problem) => section.append(fault(problem)));
}

function entry(session, signal) {
  const details = h("details", {}, h("summary", {}, "Variables"));
  let opened = new AbortController();
  details.addEventListener("toggle", () => {
    opened.abort();
    opened = new AbortController();
    if (details.open) showVariables(details, session.name, AbortSignal.any([signal, opened.signal]));
  });
  return h("li", {}, h("h3", {}, h("span", { class: "state" }), ` ${session.name}`), h("p", { class: "quiet" }), h("p", { hidden: true }, h("a", {})), details);
}

function update(item, session) {
  const [head, facts, running] = item.children;
  const state = head.firstElementChild;
  state.dataset.state = session.state;
  write(state, session.state);
  const parts = [
    session.memory_mb === null ? "no kernel" : `${size(session.memory_mb * 1024 * 1024)} of memory`,
    session.queued_jobs ? `${count(session.queued_jobs, "job")} waiting` : null,
    session.idle_sec === null ? null : `idle for ${duration(session.idle_sec)}`,
    session.adopted ? "the kernel of a notebook" : null,
  ];
  write(facts, line(parts));
  running.hidden = !session.running_job;
  if (session.running_job) {
    running.firstChild.href = `#/jobs/${session.running_job}`;
    write(running.firstChild, "Show the running job");
  }
}

function showVariables(parent, session, signal) {
  const filter = h("input", { type: "search", placeholder: "Filter by name", "aria-label": `Filter the variables of ${session}` });
  const said = h("p", { class: "quiet" });
  const body = h("tbody", {});
  const columns = ["Name", "Type", "Shape", "Size", "Value"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...columns)), body);
  const holder = h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `Variables of ${session}` }, table);
  parent.replaceChildren(parent.firstElementChild, filter, said, holder);
  let found = { variables: [], total: 0, source: "none" };
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const shown = found.variables.filter((variable) => variable.name.toLowerCase().includes(wanted));
    sync(body, shown, (variable) => variable.name, row, fill);
    holder.hidden = !shown.length;
    const sources = { live: "", snapshot: ", as of the end of the last job: the kernel is in a long call", none: "" };
    const bounded = found.total > found.variables.length ? `; the ${found.variables.length} largest are here` : "";
    write(said, found.source === "none" ? "There is no kernel, so no variables." : `${count(found.total, "variable")}${bounded}${sources[found.source]}.`);
  };
  filter.addEventListener("input", draw);
  const load = async (given) => {
    found = await get(`variables?session=${encodeURIComponent(session)}`, { signal: given });
    draw();
  };
  repeat(load, VARIABLES_PAUSE_SEC, signal, (problem) => parent.append(fault(problem)));
}

function row() {
  return h("tr", {}, h("th", { scope: "row" }), ...Array.from({ length: 4 }, () => h("td", {})));
}

function fill(element, variable) {
  const shape = variable.shape ? `(${variable.shape.join(", ")})` : variable.length === null ? "" : String(variable.length);
  const texts = [variable.name, variable.type, shape, size(variable.bytes), variable.repr];
  texts.forEach((text, index) => write(element.children[index], text));
}
