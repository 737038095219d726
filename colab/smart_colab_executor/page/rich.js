// Output that is no text: pictures, HTML, and the data of other types.

import { blob, text } from "./api.js";
import { h, save, size } from "./dom.js";
import { dressed } from "./terminal.js";

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"];
const MAX_FRAMES = 20;
const MAX_TEXT_BYTES = 5_000_000;
const MAX_FRAME_HEIGHT = 560;

const isBlob = (value) => typeof value === "object" && value !== null && Number.isInteger(value.blob);

/** What `display_data` or `execute_result` shows, as an element. */
export function shown(jobId, data, metadata) {
  const picture = PICTURES.find((type) => type in data);
  const plain = data["text/plain"];
  if (picture) return figure(jobId, picture, data[picture], plain, metadata?.[picture]);
  if ("text/html" in data) return html(jobId, data["text/html"], plain);
  const type = ["text/markdown", "text/latex", "text/plain"].find((name) => name in data) ?? Object.keys(data)[0];
  if (type === undefined) return h("div");
  const value = data[type];
  if (isBlob(value)) return large(jobId, type, value);
  return h("pre", { class: "lines" }, dressed(typeof value === "string" ? value : JSON.stringify(value, null, 1)));
}

function figure(jobId, type, value, plain, extent) {
  const alt = typeof plain === "string" ? plain.slice(0, 300) : "Picture";
  const picture = h("img", { alt: `Output of the job: ${alt}`, width: extent?.width ?? null, height: extent?.height ?? null });
  const saving = h("button", { type: "button", class: "small" }, "Save picture");
  const why = h("p", { class: "quiet" });
  const element = h("figure", {}, picture, h("figcaption", {}, saving, why));
  let bytes = null;
  const load = async () => {
    try {
      const loaded = isBlob(value) ? await blob(`jobs/${jobId}/blobs/${value.blob}`) : decoded(type, value);
      bytes = new Blob([loaded], { type });
      picture.src = URL.createObjectURL(bytes);
      picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
      why.textContent = "";
    } catch (error) {
      why.textContent = `The picture did not come: ${error.message} `;
      why.append(h("button", { type: "button", class: "small", onclick: load }, "Try again"));
    }
  };
  saving.addEventListener("click", () => bytes && save(bytes, `figure.${type.split("/")[1].split("+")[0]}`));
  near(element, load);
  return element;
}

function decoded(type, value) {
  return type === "image/svg+xml" ? value : Uint8Array.from(atob(value), (char) => char.charCodeAt(0));
}

/** Calls `act` once the element is about to be seen. */
function near(element, act) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      act();
    },
    { rootMargin: "600px" },
  );
  watch.observe(element);
}

function html(jobId, value, plain) {
  const told = typeof plain === "string" ? h("pre", { class: "lines" }, dressed(plain)) : null;
  const button = h("button", { type: "button", class: "small" }, isBlob(value) ? `Show as HTML (${size(value.bytes)})` : "Show as HTML");
  const element = h("div", { class: "html" }, told, button);
  const open = async () => {
    button.disabled = true;
    try {
      const source = isBlob(value) ? await text(`jobs/${jobId}/blobs/${value.blob}`) : value;
      element.replaceChildren(framed(source));
    } catch (error) {
      button.disabled = false;
      element.append(h("p", { class: "quiet" }, `It did not come: ${error.message}`));
    }
  };
  button.addEventListener("click", open);
  if (!isBlob(value) && document.querySelectorAll("iframe").length < MAX_FRAMES) near(element, open);
  return element;
}

/** HTML in a frame whose own policy and sandbox run no script, load nothing, and lead nowhere. */
export function framed(source) {
  const frame = h("iframe", { title: "HTML output", src: "page/frame.html" });
  frame.setAttribute("sandbox", "allow-same-origin");
  frame.addEventListener("load", () => {
    const inner = frame.contentDocument;
    if (!inner?.body) return;
    inner.documentElement.dataset.theme = document.documentElement.dataset.theme ?? "";
    inner.body.innerHTML = source;
    const fit = () => {
      frame.style.height = `${Math.min(MAX_FRAME_HEIGHT, inner.body.scrollHeight + 4)}px`;
    };
    fit();
    new ResizeObserver(fit).observe(inner.body);
  });
  return frame;
}

function large(jobId, type, value) {
  const address = `jobs/${jobId}/blobs/${value.blob}`;
  const why = h("p", { class: "quiet" }, `${type}, ${size(value.bytes)}`);
  const head = value.head === undefined ? null : h("pre", { class: "lines" }, `${value.head}\n…\n${value.tail ?? ""}`);
  const element = h("div", {}, head, why);
  const attempt = async (act) => {
    try {
      await act();
    } catch (error) {
      why.textContent = `It did not come: ${error.message}`;
    }
  };
  const whole = async () => element.replaceChildren(h("pre", { class: "lines" }, dressed(await text(address))), why);
  const button = (name, act) => h("button", { type: "button", class: "small", onclick: () => attempt(act) }, name);
  if (head && value.bytes <= MAX_TEXT_BYTES) element.append(button("Show all of it", whole), " ");
  element.append(button("Save", async () => save(await blob(address), `output.${type.split("/")[1].replace(/[^a-z0-9]/g, "")}`)));
  return element;
}
