// Searches the log of a job, which has all text of its output.

import { blob, Problem, request } from "./api.js";
import { count, fault, h, save, size } from "./dom.js";

// Of a longer log the end is searched.
const MAX_BYTES = 32 * 1024 * 1024;
const MAX_SHOWN = 500;
const MAX_LINE_CHARS = 2_000;
const ESCAPES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g;

/** A form, and the lines that it finds below it. */
export function search(jobId) {
  const field = h("input", { type: "search", placeholder: "Search the log", "aria-label": "Search the log", spellcheck: false });
  const said = h("p", { role: "status", class: "quiet" });
  const lines = h("ol", { class: "found", hidden: true, tabindex: 0, "aria-label": "Lines found" });
  let current = new AbortController();

  const run = async (event) => {
    event.preventDefault();
    current.abort();
    current = new AbortController();
    const { signal } = current;
    lines.hidden = true;
    lines.replaceChildren();
    said.textContent = "";
    if (!field.value) return;
    said.textContent = "Searching…";
    try {
      const found = await find(jobId, field.value, signal);
      if (signal.aborted) return;
      lines.replaceChildren(...found.lines.map((line) => item(line, field.value)));
      lines.hidden = !found.lines.length;
      const where = found.isWhole ? "" : ` in the last ${size(MAX_BYTES)} of the log`;
      const shown = found.count > MAX_SHOWN ? `; the last ${MAX_SHOWN} are here` : "";
      said.textContent = found.count ? `${count(found.count, "line matches", "lines match")}${where}${shown}.` : `No line matches${where}.`;
    } catch (error) {
      if (!signal.aborted) said.replaceChildren(fault(error));
    }
  };
  field.addEventListener("search", (event) => field.value || run(event));
  const saving = async () => {
    try {
      save(await blob(`jobs/${jobId}/log`), `${jobId}.log`);
    } catch (error) {
      said.replaceChildren(fault(error));
    }
  };
  const form = h("form", { role: "search", class: "search", onsubmit: run }, field, h("button", { type: "submit" }, "Search"),
    h("button", { type: "button", onclick: saving }, "Save log"));
  return h("div", {}, form, said, lines);
}

async function find(jobId, wanted, signal) {
  let reply;
  try {
    reply = await request("GET", `jobs/${jobId}/log`, { headers: { Range: `bytes=-${MAX_BYTES}` }, signal });
  } catch (error) {
    // An empty log has no range.
    if (error instanceof Problem && error.status === 416) return { lines: [], count: 0, isWhole: true };
    throw error;
  }
  const range = /bytes (\d+)-/.exec(reply.headers.get("Content-Range") ?? "");
  const isWhole = !range || range[1] === "0";
  const needle = wanted.toLowerCase();
  const found = { lines: [], count: 0, isWhole };
  const texts = (await reply.text()).replace(ESCAPES, "").split("\n");
  for (const [index, text] of texts.entries()) {
    if (index % 20_000 === 19_999) await new Promise((resolve) => setTimeout(resolve));
    if (!text.toLowerCase().includes(needle)) continue;
    found.count += 1;
    const shown = text.slice(text.lastIndexOf("\r", text.length - 2) + 1);
    found.lines.push({ number: isWhole ? index + 1 : null, text: shown.toLowerCase().includes(needle) ? shown : text });
    if (found.lines.length > MAX_SHOWN) found.lines.shift();
  }
  return found;
}

function item({ number, text }, wanted) {
  const line = text.length > MAX_LINE_CHARS ? `${text.slice(0, MAX_LINE_CHARS)}…` : text;
  const element = h("li", { value: number ?? 0, class: number ? "" : "unnumbered" });
  const lower = line.toLowerCase();
  let at = 0;
  for (let hit = lower.indexOf(wanted.toLowerCase()); hit >= 0; hit = lower.indexOf(wanted.toLowerCase(), at)) {
    element.append(line.slice(at, hit), h("mark", {}, line.slice(hit, hit + wanted.length)));
    at = hit + wanted.length;
  }
  element.append(line.slice(at));
  return element;
}
