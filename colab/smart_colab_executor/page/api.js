// The executor's API. The token is in this module's memory and nowhere else.

let token = null;
let bootId = null;

/** `refused`: the token is not accepted (`detail`: the Problem). `lost` (`detail`: why), `found`: the connection. `restarted`: it is another start. */
export const link = new EventTarget();

const MAX_PAUSE_SEC = 10;
// The executor holds no request longer than 25 s.
const TIMEOUT_SEC = 60;

/** What the executor refused, with its remedy. */
export class Problem extends Error {
  constructor(status, { detail, hint, code, retryable, retry_after_sec: retryAfter } = {}) {
    super(detail ?? `The executor answered ${status}.`);
    Object.assign(this, { status, hint, code, retryable, retryAfter });
  }
}

/** No answer of an executor. */
export class Unreachable extends Error {
  hint = "Look whether the executor still runs; if it does, try again.";
}

export const isOpen = () => token !== null;

export function useToken(given) {
  token = given;
}

export function forgetToken() {
  token = null;
}

/** Sends a request; returns the Response. Throws Problem, Unreachable, or the signal's AbortError. */
export async function request(method, path, { body, headers = {}, signal, limitSec = TIMEOUT_SEC } = {}) {
  const sent = token;
  const signals = [signal, limitSec && AbortSignal.timeout(limitSec * 1000)].filter(Boolean);
  let reply;
  try {
    reply = await fetch(new URL(path, document.baseURI), {
      method,
      headers: { ...headers, Authorization: `Bearer ${sent}`, "ngrok-skip-browser-warning": "1" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.any(signals),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("No answer comes.");
  }
  const boot = reply.headers.get("X-Boot-Id");
  if (!boot) throw new Unreachable(`What answers (${reply.status}) is not the executor, but a tunnel or a proxy before it.`);
  if (bootId !== null && boot !== bootId) link.dispatchEvent(new Event("restarted"));
  bootId = boot;
  if (reply.ok) return reply;
  const problem = new Problem(reply.status, await reply.json().catch(() => ({})));
  if (problem.code === "unauthorized" && sent === token) {
    forgetToken();
    link.dispatchEvent(new CustomEvent("refused", { detail: problem }));
  }
  throw problem;
}

async function whole(kind, path, options) {
  const reply = await request("GET", path, options);
  try {
    return await reply[kind]();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Unreachable("The answer broke off.");
  }
}

export const get = (path, options) => whole("json", path, options);
export const text = (path, options) => whole("text", path, options);
export const blob = (path, options) => whole("blob", path, options);

let isLost = false;

/** Ends all pauses. */
export function retryNow() {
  link.dispatchEvent(new Event("wake"));
}

addEventListener("online", retryNow);
document.addEventListener("visibilitychange", retryNow);

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const wake = () => {
      clearTimeout(timer);
      ended.abort();
      resolve();
    };
    const timer = setTimeout(wake, seconds * 1000);
    signal.addEventListener("abort", wake, { signal: ended.signal });
    link.addEventListener("wake", wake, { signal: ended.signal });
  });
}

/**
 * Does `work` again and again until `signal`, with pauses of `seconds` (null: it waits by itself), longer ones while the connection is lost, and
 * not at all while the page is not seen. `work` returns true when it is done for good; `onProblem` gets what the executor refused, which ends it.
 */
export async function repeat(work, seconds, signal, onProblem = () => {}) {
  let failures = 0;
  while (!signal.aborted && isOpen()) {
    if (document.hidden) {
      await pause(3600, signal);
      continue;
    }
    try {
      if (await work(signal)) return;
      failures = 0;
      if (isLost) {
        isLost = false;
        link.dispatchEvent(new Event("found"));
      }
      if (seconds) await pause(seconds, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Unreachable) {
        isLost = true;
        link.dispatchEvent(new CustomEvent("lost", { detail: error.message }));
        await pause(Math.min(2 ** failures++, MAX_PAUSE_SEC), signal);
      } else if (error instanceof Problem && error.retryable && error.code !== "unauthorized") {
        await pause(error.retryAfter ?? 2, signal);
      } else if (error instanceof Problem) {
        if (error.code !== "unauthorized") onProblem(error);
        return;
      } else throw error;
    }
  }
}
