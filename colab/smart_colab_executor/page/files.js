// The files of the content root, to look at and to download.

import { blob, get, repeat, request } from "./api.js";
import { count, fault, h, moment, save, size } from "./dom.js";
import { framed } from "./rich.js";

const LIMIT = 200;
const LINES = 500;
const MAX_PICTURE_BYTES = 32 * 1024 * 1024;
// What a browser holds in memory for a download, where it cannot write to a file.
const MAX_HELD_BYTES = 512 * 1024 * 1024;

const address = (path) => `#/files/${encodeURIComponent(path)}`;

/** Shows a folder or a file. */
export function showFiles(parent, path, signal, root) {
  const trail = h("nav", { class: "trail", "aria-label": "Folder" });
  const body = h("div", {});
  const section = h("section", { class: "page", "aria-label": "Files" }, trail, body);
  parent.replaceChildren(section);
  const load = async () => {
    const stat = await get(`files/stat?path=${encodeURIComponent(path ?? root)}`, { signal });
    trail.replaceChildren(...steps(stat.path, root));
    if (stat.type === "directory") await showFolder(body, stat.path, signal);
    else await showFile(body, stat, signal);
    return true;
  };
  repeat(load, 1, signal, (problem) => body.replaceChildren(...failed(problem)));
}

const failed = (problem) => [fault(problem), h("p", {}, h("a", { href: "#/files" }, "Back to the first folder"))];

/** The folders from the content root to a path in it. */
function steps(path, root) {
  // Elsewhere than on Windows a name may have a \ in it.
  const parts = [root, ...path.slice(root.length).split(root.startsWith("/") ? "/" : /[\\/]/).filter(Boolean)];
  return parts.map((name, index) => {
    const isLast = index === parts.length - 1;
    const step = isLast ? h("strong", {}, name) : h("a", { href: address(parts.slice(0, index + 1).join("/")) }, name);
    return h("span", {}, index ? " / " : "", step);
  });
}

async function showFolder(parent, path, signal) {
  const body = h("tbody", {});
  const columns = ["Name", "Size", "Changed"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", { class: "files" }, h("thead", {}, h("tr", {}, ...columns)), body);
  const said = h("p", { class: "quiet" });
  const more = h("button", { type: "button", class: "small", hidden: true }, "Show more");
  parent.replaceChildren(table, said, more);
  let cursor = null;
  const load = async () => {
    const at = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const found = await get(`files/list?path=${encodeURIComponent(path)}&limit=${LIMIT}${at}`, { signal });
    for (const entry of found.entries) {
      const isFolder = entry.type === "directory";
      const name = h("th", { scope: "row" }, h("a", { href: address(entry.path) }, isFolder ? `${entry.name}/` : entry.name));
      body.append(h("tr", {}, name, h("td", {}, isFolder ? "" : size(entry.size)), h("td", {}, moment(entry.modified_at))));
    }
    cursor = found.next_cursor;
    more.hidden = !cursor;
    table.hidden = !found.total;
    said.textContent = found.total ? `${count(found.total, "entry", "entries")}.` : "This folder is empty.";
  };
  more.addEventListener("click", () => load().catch((error) => signal.aborted || said.replaceChildren(fault(error))));
  await load();
}

async function showFile(parent, stat, signal) {
  if (stat.type !== "file") return parent.replaceChildren(h("p", {}, "This is no regular file: there is nothing to show or to download."));
  const query = `path=${encodeURIComponent(stat.path)}`;
  const said = h("p", { role: "status", class: "quiet" });
  const button = h("button", { type: "button", class: "primary" }, "Download");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await download(stat, `files/download?${query}`, (text) => (said.textContent = text));
    } catch (error) {
      if (error.name === "AbortError") said.textContent = "";
      else if (error.status === 404) parent.replaceChildren(...failed(error));
      else said.replaceChildren(fault(error));
    }
    button.disabled = false;
  });
  const content = h("div", {});
  const facts = h("p", {}, `${size(stat.size)}, changed ${moment(stat.modified_at)} `);
  parent.replaceChildren(facts, button, said, content);
  const found = await get(`files/read?${query}&lines=${LINES}`, { signal });
  if (/^image\/(png|jpeg|gif|webp|svg\+xml)$/.test(found.mime) && stat.size <= MAX_PICTURE_BYTES) {
    const picture = h("img", { alt: stat.name });
    picture.src = URL.createObjectURL(new Blob([await blob(`files/download?${query}`, { signal })], { type: found.mime }));
    picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
    return content.append(h("figure", {}, picture));
  }
  if (found.is_text) return showText(content, query, found, signal);
  const preview = await get(`files/preview?${query}`, { signal }).catch((error) => {
    if (signal.aborted || !error.status) throw error;
    return { text: null, note: `${error.message} ${error.hint ?? ""}` };
  });
  const none = preview.missing_package ? `A preview needs the package ${preview.missing_package} there.` : "There is no preview of this kind of file.";
  if (preview.note) content.append(h("p", { class: "quiet" }, preview.note));
  if (preview.text) content.append(h("pre", { class: "text", tabindex: 0, "aria-label": "Preview" }, preview.text));
  else if (!preview.note) content.append(h("p", { class: "quiet" }, none));
}

function showText(parent, query, first, signal) {
  const text = h("pre", { class: "text", tabindex: 0, "aria-label": "Content" }, first.text);
  const more = h("button", { type: "button", class: "small", hidden: !first.next_line }, `Show ${LINES} more lines`);
  let next = first.next_line;
  more.addEventListener("click", async () => {
    const found = await get(`files/read?${query}&line=${next}&lines=${LINES}`, { signal }).catch((error) => parent.append(fault(error)));
    if (!found) return;
    text.append(found.text);
    next = found.next_line;
    more.hidden = !next;
  });
  if (first.mime === "text/html" && !first.next_line) {
    const page = h("button", { type: "button", class: "small", onclick: () => parent.replaceChildren(framed(first.text)) }, "Show as HTML");
    parent.append(page);
  }
  parent.append(text, more);
}

/** Writes to a file where the browser can, else holds the bytes in memory. */
async function download(stat, path, report) {
  if (self.showSaveFilePicker && isSecureContext && stat.size > MAX_HELD_BYTES) {
    const file = await self.showSaveFilePicker({ suggestedName: stat.name });
    const reply = await request("GET", path, { limitSec: null });
    await reply.body.pipeTo(await file.createWritable());
    return report(`${stat.name} was saved.`);
  }
  if (stat.size > MAX_HELD_BYTES) {
    const remedy = "Have your client download it (“download this file”): that resumes and verifies it.";
    throw Object.assign(new Error(`${size(stat.size)} is more than this browser can take in here.`), { hint: remedy });
  }
  report(`Downloading ${size(stat.size)}…`);
  save(await blob(path, { limitSec: null }), stat.name);
  report(`${stat.name} was saved by the browser.`);
}
