// The jobs: what runs, what waits, what has ended; and the one that was chosen.

import { get, repeat } from "./api.js";
import { duration, fault, h, line, moment, sync, write } from "./dom.js";
import { ID, isFinal, operation, placeOf, showJob, stateName } from "./job.js";

const FEW = 50;
// The most that the executor lists.
const MANY = 1000;
const PAUSE_SEC = { [FEW]: 3, [MANY]: 10 };
// As in the style: there is room for a job beside the list.
const WIDE = matchMedia("(min-width: 761px)");

/** Shows the list, and beside it the job `id`, or without one a job that may be of interest; returns what shows another one. */
export function showJobs(parent, id, signal) {
  const filter = h("input", { type: "search", placeholder: "Filter, or a job's id", "aria-label": "Filter jobs by code, session, state or id" });
  const groups = ["Running", "Waiting", "Ended"].map(group);
  const said = h("p", { class: "quiet" });
  const more = h("button", { type: "button", class: "small", hidden: true }, `Show the newest ${MANY.toLocaleString("en")}`);
  const opened = h("p", { hidden: true }, h("a", {}, "Open the job with this id"));
  const list = h("section", { class: "jobs", "aria-label": "Jobs" }, filter, opened, ...groups.map((one) => one.element), said, more);
  const chosen = h("div", { class: "chosen" });
  const split = h("div", {}, list, chosen);
  parent.replaceChildren(split);
  // The job beside the list that nobody chose.
  let picked = null;
  let watching = new AbortController();
  const show = (job) => {
    watching.abort();
    watching = new AbortController();
    showJob(chosen, job, AbortSignal.any([signal, watching.signal]), job === id);
  };
  const choose = (other) => {
    id = other;
    picked = null;
    split.className = id ? "split with-job" : "split";
    if (id) show(id);
    else {
      watching.abort();
      chosen.replaceChildren();
      pick();
    }
    draw();
  };

  /** Shows what runs, else the newest job. One that runs stays, and so does one that somebody is at. */
  const pick = () => {
    if (id || !isLoaded || !WIDE.matches) return;
    if (!jobs.length) return chosen.replaceChildren(h("p", { class: "quiet hint" }, "Choose a job to see its output."));
    if (picked && chosen.matches(":hover, :focus-within")) return;
    const running = jobs.filter((job) => job.state === "running");
    if (running.some((job) => job.id === picked)) return;
    const { id: best } = running[0] ?? jobs[0];
    if (best === picked) return;
    picked = best;
    show(best);
  };

  let limit = FEW;
  let jobs = [];
  let isLoaded = false;
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const fits = (job) => !wanted || [job.code_head, job.session, job.state, stateName(job), job.id].some((part) => part.toLowerCase().includes(wanted));
    const shown = jobs.filter(fits);
    const parts = [
      shown.filter((job) => job.state === "running"),
      shown.filter((job) => job.state === "queued").sort((one, other) => one.session.localeCompare(other.session) || one.queue_position - other.queue_position),
      shown.filter(isFinal),
    ];
    parts.forEach((part, index) => groups[index].show(part, id ?? picked));
    opened.hidden = !ID.test(wanted) || shown.length > 0;
    opened.firstChild.href = `#/jobs/${wanted}`;
    const bounded = jobs.length >= limit ? `The newest ${limit.toLocaleString("en")} jobs are here${limit === MANY ? "; an older one opens by its id" : ""}.` : "";
    if (!isLoaded) return;
    write(said, jobs.length ? bounded || (shown.length ? "" : "No job matches.") : "No job yet. Code that a client sends appears here as it runs.");
    more.hidden = limit === MANY || jobs.length < limit;
  };
  filter.addEventListener("input", draw);
  const load = async (given) => {
    const found = (await get(`jobs?limit=${limit}`, { signal: given })).jobs;
    if (found.length >= limit) {
      // One that runs may have been sent before all of these.
      const states = await Promise.all(["running", "queued"].map((state) => get(`jobs?state=${state}&limit=${limit}`, { signal: given })));
      const known = new Set(found.map((job) => job.id));
      found.push(...states.flatMap((state) => state.jobs).filter((job) => !known.has(job.id)));
    }
    jobs = found;
    isLoaded = true;
    pick();
    draw();
  };
  let polling = new AbortController();
  const poll = () => {
    polling.abort();
    polling = new AbortController();
    repeat(load, PAUSE_SEC[limit], AbortSignal.any([signal, polling.signal]), (problem) => list.append(fault(problem)));
  };
  more.addEventListener("click", () => {
    limit = MANY;
    poll();
  });
  poll();
  choose(id);
  return choose;
}

function group(name) {
  const title = h("h2", {});
  const list = h("ul", {});
  const element = h("div", { hidden: true }, title, list);
  const show = (jobs, chosen) => {
    element.hidden = !jobs.length;
    write(title, `${name} · ${jobs.length.toLocaleString("en")}`);
    sync(list, jobs, (job) => job.id, entry, (item, job) => update(item, job, chosen));
  };
  return { element, show };
}

function entry(job) {
  const bar = h("div", { class: "operation", hidden: true });
  return h("li", {}, h("a", { href: `#/jobs/${job.id}` }, h("span", { class: "state" }), h("span", { class: "head" }), h("span", { class: "quiet" })), bar);
}

function update(item, job, chosen) {
  const [link, bar] = item.children;
  const [state, head, facts] = link.children;
  state.dataset.state = job.state;
  write(state, stateName(job));
  write(head, job.code_head || "(no code)");
  const times = job.state === "queued" ? `sent ${moment(job.created_at)}` : moment(job.started_at ?? job.created_at);
  const part = job.loop && isFinal(job) ? `${job.completed ?? 0} of ${job.loop.total ?? job.loop.stop}` : null;
  write(facts, line([job.session, placeOf(job), times, duration(job.execution_time_sec), part]));
  if (job.id === chosen) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  if (isFinal(job)) bar.hidden = true;
  else operation(bar, job);
}

