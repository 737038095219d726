// One job: what it is, its output as it comes, its code, and the button that stops it.

import { get, repeat, request, retryNow, text } from "./api.js";
import { cluster } from "./cluster.js";
import { announce, count, duration, fault, h, line, moment, size, write } from "./dom.js";
import { Output } from "./output.js";
import { question } from "./question.js";
import { search } from "./search.js";

// Of a long output so much is shown at first, and so much more at each wish: about so many bytes, between so few events and so many.
const PART_BYTES = 2 * 1024 * 1024;
const PART_EVENTS = [100, 3000];
const PAGE_BYTES = 1024 * 1024;
// How long the executor waits for news: less while there is a cluster, how it is comes with the answer.
const WAIT_SEC = 20;
const CLUSTER_WAIT_SEC = 3;
/** The id of a job. */
export const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const FINAL = ["succeeded", "failed", "interrupted", "timed_out", "lost"];

export const isFinal = (job) => FINAL.includes(job.state);
export const stateName = (job) => (job.asking ? "asks" : ({ queued: "waiting", timed_out: "timed out" })[job.state] ?? job.state);
/** A waiting job's place among those of its session. */
export const placeOf = (job) => job.queue_position && (job.queue_position === 1 ? "next in line" : `number ${job.queue_position} in line`);

const REASONS = {
  python_error: "ended by an exception",
  kernel_died: "the kernel died",
  timeout: "its time was over",
  session_restarted: "its session was restarted",
  session_deleted: "its session was deleted",
  executor_stopped: "the executor was stopped",
  executor_restarted: "the executor was restarted",
  kernel_replaced: "the kernel that it needed is gone",
  disk_full: "the disk is full",
  exited: "the code ended its kernel",
};

/** Shows a job until `signal`; one that was chosen names the tab. */
export function showJob(parent, id, signal, isChosen) {
  const state = h("span", { class: "state" });
  const title = h("h2", {});
  const stop = h("button", { type: "button", class: "danger", hidden: true });
  const facts = h("p", { class: "facts" });
  const bar = h("div", { class: "operation", hidden: true });
  const workers = cluster();
  const why = h("div", {});
  const asked = question(id, (found) => describe(found));
  const view = h("article", { class: "job" }, h("p", { class: "back" }, h("a", { href: "#/jobs" }, "← Jobs")),
    h("div", { class: "job-head" }, state, title, stop), facts, bar, workers.element, why, asked.element);
  parent.replaceChildren(view);
  if (!ID.test(id)) return view.append(fault(unknown(id)));
  const output = new Output(id, earlier);
  let job = null;
  let after = null;
  let lastState = null;
  // The iterations skipped in the events from `from` on; of a long output not all are read.
  const skipped = new Set();
  let from = 0;

  stop.addEventListener("click", async () => {
    stop.disabled = true;
    try {
      describe((await (await request("POST", `jobs/${id}/interrupt`)).json()).job);
      announce("The interrupt was sent.");
    } catch (error) {
      why.replaceChildren(fault(error));
    }
    // Code may catch an interrupt: then it can be sent again.
    setTimeout(() => (stop.disabled = false), 2000);
  });

  function note(events) {
    events.forEach((event) => event.type === "progress" && event.error && skipped.add(event.seq));
  }

  function name() {
    if (!isChosen || signal.aborted || !job) return;
    // A page that is not seen asks nothing: a state that may be over is not told.
    const told = isFinal(job) || !document.hidden ? `${stateName(job)}: ` : "";
    document.title = `${told}${job.code_head || id} · smart-colab`;
  }
  document.addEventListener("visibilitychange", name, { signal });

  function describe(found) {
    job = found;
    name();
    state.dataset.state = job.state;
    write(state, stateName(job));
    write(title, job.code_head || "(no code)");
    write(stop, job.loop ? "Stop the operation" : job.state === "queued" ? "Remove from the queue" : "Stop");
    stop.hidden = isFinal(job);
    asked.update(job.asking);
    write(output.end, isFinal(job) ? "↓ To the end" : "↓ Follow the end");
    const parts = [
      `session ${job.session}`,
      placeOf(job),
      job.started_at ? `started ${moment(job.started_at)}` : `sent ${moment(job.created_at)}`,
      job.execution_time_sec === null ? null : `${job.state === "running" ? "running for" : "took"} ${duration(job.execution_time_sec)}`,
      job.log_bytes ? `printed ${size(job.log_bytes)}` : null,
      skipped.size ? `${from ? "at least " : ""}${skipped.size.toLocaleString("en")} skipped` : null,
      REASONS[job.reason],
    ];
    write(facts, line(parts));
    operation(bar, job);
    workers.update(job.cluster);
    if (lastState !== null && lastState !== job.state) {
      announce(`The job has ${job.state === "running" ? "started" : `ended: ${stateName(job)}`}.`);
      retryNow(); // so that the list has it too
    }
    lastState = job.state;
  }

  async function earlier(first) {
    const wanted = first.number > 0 ? first.seq : first.seq - 1;
    const begin = Math.max(0, wanted - part(job));
    let at = begin;
    const events = [];
    try {
      while (at < wanted) {
        const page = await get(`jobs/${id}/events?after=${at}&max_bytes=${4 * PAGE_BYTES}`, { signal });
        if (!page.events.length) break;
        events.push(...page.events.filter((event) => event.seq <= wanted));
        at = page.next;
      }
      from = Math.min(from, begin);
      note(events);
      describe(job);
      output.prepend(events);
    } catch (error) {
      if (!signal.aborted) why.replaceChildren(fault(error));
    }
  }

  async function follow() {
    if (after === null) {
      const { job: found } = await get(`jobs/${id}`, { signal });
      describe(found);
      after = from = Math.max(0, found.last_seq - part(found));
      output.startAt({ seq: after + 1, number: 0 });
      view.append(search(id), output.element, codeOf(id, found, signal));
    }
    const wait = job.cluster ? CLUSTER_WAIT_SEC : WAIT_SEC;
    const page = await get(`jobs/${id}/events?after=${after}&wait=${wait}&linger=0.1&max_bytes=${PAGE_BYTES}`, { signal });
    note(page.events);
    describe(page.job);
    await output.add(page.events, signal);
    after = page.next;
    const finished = page.events.at(-1)?.type === "finished" ? page.events.at(-1) : null;
    if (finished) output.note(h("p", { class: `note ${finished.state}` }, ending(finished)));
    if (!isFinal(page.job) || page.more) return false;
    await later();
    return true;
  }

  /** Text that a thread or a child process printed after the end. */
  async function later() {
    const { log_bytes: all, log_bytes_at_end: end } = job;
    if (end === null || all <= end) return;
    const reply = await request("GET", `jobs/${id}/log`, { headers: { Range: `bytes=${Math.max(end, all - PAGE_BYTES)}-` }, signal });
    output.note(h("p", { class: "note" }, "Printed after the end, by a thread or a child process:"));
    await output.add([{ type: "stream", seq: after, name: "stdout", text: await reply.text() }], signal);
  }

  const clock = setInterval(() => {
    if (job?.state === "running" && !document.hidden) {
      job.execution_time_sec += 1;
      describe(job);
    }
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(clock));
  return repeat(follow, null, signal, (problem) => {
    view.append(fault(problem.status === 404 ? unknown(id) : problem));
  });
}

function unknown(id) {
  const hint = "It was sent to another executor, or lost with an earlier machine. Choose one that this executor has from the list of jobs.";
  return Object.assign(new Error(`There is no job ${id} here.`), { hint });
}

/** How many events of a job are a part of its output. */
function part(job) {
  const [least, most] = PART_EVENTS;
  return Math.min(most, Math.max(least, Math.ceil((PART_BYTES * job.last_seq) / Math.max(1, job.log_bytes))));
}

function ending(event) {
  const parts = [
    `${event.state === "timed_out" ? "Timed out" : event.state[0].toUpperCase() + event.state.slice(1)}${event.reason && REASONS[event.reason] ? ` (${REASONS[event.reason]})` : ""}`,
    duration(event.execution_time_sec),
    event.memory_delta_mb ? `${event.memory_delta_mb > 0 ? "+" : ""}${event.memory_delta_mb} MB of memory` : null,
    event.exit_code ? `exit code ${event.exit_code} of a command` : null,
    event.variables_lost ? "the session's variables are lost" : null,
    event.warning,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** Shows how far a loop is. */
export function operation(parent, job) {
  parent.hidden = !job.loop;
  if (!job.loop) return;
  const total = job.loop.total ?? job.loop.stop;
  const done = job.completed ?? 0;
  if (!parent.firstChild) parent.append(h("progress", {}), h("span", {}));
  const [bar, said] = parent.children;
  bar.max = total;
  bar.value = done;
  bar.setAttribute("aria-label", `Iterations done in session ${job.session}`);
  const run = done - job.loop.start;
  const left = job.state === "running" && run > 0 ? ((total - done) * job.execution_time_sec) / run : null;
  write(said, `${done.toLocaleString("en")} of ${count(total, "iteration")}${left ? `, about ${duration(left)} left` : ""}`);
}

function codeOf(id, job, signal) {
  const block = h("details", { class: "code" }, h("summary", {}, job.loop ? "Code of the loop" : "Code"));
  block.addEventListener("toggle", async () => {
    if (!block.open || block.querySelector("pre")) return;
    try {
      const setup = job.loop ? await text(`jobs/${id}/setup`, { signal }) : "";
      const code = await text(`jobs/${id}/code`, { signal });
      const loop = job.loop ? `# for i in range(${job.loop.start}, ${job.loop.stop}):\n` : "";
      block.append(h("pre", { tabindex: 0, "aria-label": "Code" }, (setup ? `# once, before the loop:\n${setup}\n\n` : "") + loop + code));
    } catch (error) {
      block.append(fault(error));
    }
  });
  return block;
}
