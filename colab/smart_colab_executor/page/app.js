// Starts the page: the token from the address, the views, and what all of them share.

import { forgetToken, get, isOpen, link, Problem, retryNow, useToken } from "./api.js";
import { announce, fault, write } from "./dom.js";
import { showFiles } from "./files.js";
import { showJobs } from "./jobs.js";
import { showMachine } from "./machine.js";
import { showSessions } from "./sessions.js";

const VIEWS = { jobs: showJobs, sessions: showSessions, files: showFiles };
const ROUTE = /^#\/(jobs|sessions|files)(?:\/(.*))?$/s;
const THEMES = ["system", "light", "dark"];

const part = (id) => document.getElementById(id);
const login = part("login");
let view = new AbortController();
// The view that is shown, and what shows another part of it without a new start.
let shown = { name: "", choose: null };
let machine = new AbortController();
let root = "";
let openedFor = "#/jobs";

/** Whether a fragment is a token: one that begins with / is a view's address, or meant as one. */
const hasToken = (hash) => hash.length > 1 && !hash.startsWith("#/");

/** Takes the token out of the address, and the address out of the history. */
function takeToken() {
  const { hash } = location;
  if (!hasToken(hash)) {
    if (hash.length > 1) openedFor = hash;
    return null;
  }
  history.replaceState(null, "", location.pathname + location.search);
  return tokenOf(hash.slice(1));
}

/** The token of a pasted line, or of what is a token alone. Throws an Error with a sentence where it is another machine's. */
function tokenOf(line) {
  const [before, ...after] = line.trim().split("#");
  if (!after.length) return before;
  let address = null;
  try {
    address = new URL(before);
  } catch {
    // Not an address: a token with # in it.
    return line.trim();
  }
  if (address.origin !== location.origin) throw new Error(`That line is for ${address.origin}: open it there. Nothing was sent.`);
  if (ROUTE.test(`#${after[0]}`)) throw new Error("That line has no token: paste the one that the executor prints.");
  return after.join("#");
}

async function open(token) {
  useToken(token);
  try {
    const probe = await get("probe?packages=pip");
    root = probe.executor.root;
    const system = probe.platform.colab ? "Colab" : probe.platform.system;
    const gpus = [...new Set(probe.gpu.map((gpu) => gpu.name))];
    write(part("place"), [location.host, root, `${system}, Python ${probe.python.version}`, ...gpus].join(" · "));
  } catch (error) {
    forgetToken();
    if (!(error instanceof Problem && error.code === "unauthorized")) ask(error);
    return;
  }
  login.hidden = true;
  part("line").value = "";
  part("nav").hidden = false;
  part("machine").hidden = false;
  machine.abort();
  machine = new AbortController();
  showMachine(part("machine"), machine.signal);
  if (location.hash.length < 2) history.replaceState(null, "", openedFor);
  route();
}

/** Asks for the token, with what was wrong. */
function ask(error = null) {
  view.abort();
  machine.abort();
  shown = { name: "", choose: null };
  part("view").replaceChildren();
  write(part("place"), "");
  part("nav").hidden = part("machine").hidden = part("lost").hidden = true;
  login.hidden = false;
  part("login-why").replaceChildren(error ? fault(error) : "");
  part("line").focus();
}

function route() {
  if (!ROUTE.test(location.hash)) history.replaceState(null, "", "#/jobs");
  const [, name, rest] = ROUTE.exec(location.hash);
  const chosen = rest ? decoded(rest) : null;
  const { activeElement: focused } = document;
  openedFor = location.hash;
  document.title = `${name[0].toUpperCase()}${name.slice(1)} · smart-colab`;
  if (shown.name === name && shown.choose) {
    shown.choose(chosen);
    return settle(focused);
  }
  view.abort();
  view = new AbortController();
  for (const anchor of part("nav").children) {
    if (anchor.hash === `#/${name}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  shown = { name, choose: VIEWS[name](part("view"), chosen, view.signal, root) };
  settle(focused);
}

/** What is chosen in an address; what no browser wrote stays as it is. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Where the element that had the focus is gone, what came in its place has it. */
function settle(focused) {
  if (focused && !focused.checkVisibility()) part("main").focus({ preventScroll: true });
}

function refusal(problem) {
  const hint = problem.status === 429
    ? `Too many wrong tokens came from your address. Wait ${problem.retryAfter ?? 2} s; the right token always passes.`
    : "Paste the line that the executor prints now, with the part after #: a start on a new machine creates a new token.";
  return Object.assign(new Error(problem.status === 429 ? "No more tokens are tried for the moment." : "The executor does not accept this token."), { hint });
}

addEventListener("hashchange", () => {
  if (hasToken(location.hash)) start();
  else if (isOpen()) route();
});
// Its address would be taken for a token.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  part("main").focus();
});
login.addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    open(tokenOf(part("line").value));
  } catch (error) {
    ask(error);
  }
});
link.addEventListener("refused", (event) => ask(refusal(event.detail)));
link.addEventListener("lost", (event) => {
  if (part("lost").hidden) part("lost").hidden = false;
  write(part("lost-why"), event.detail);
});
link.addEventListener("found", () => {
  part("lost").hidden = true;
  announce("The connection is back.");
});
link.addEventListener("restarted", () => {
  announce("The executor was restarted.");
  shown.choose = null;
  if (isOpen() && login.hidden) setTimeout(route);
});
part("retry").addEventListener("click", retryNow);
part("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const theme = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
  root.dataset.theme = theme;
  write(part("theme"), `Theme: ${theme}`);
  for (const frame of document.querySelectorAll("iframe")) frame.contentDocument.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("theme"));
});

function start() {
  try {
    const token = takeToken();
    if (token) open(token);
    else ask();
  } catch (error) {
    ask(error);
  }
}

start();
