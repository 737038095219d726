// What the code of a job asks with `input()`, and the field for the answer.

import { request } from "./api.js";
import { announce, fault, h, write } from "./dom.js";

/** A form that `update(asking)` shows while the job asks; `onAnswered` gets the job once an answer was taken. */
export function question(jobId, onAnswered) {
  const id = `answer-${jobId}`;
  const prompt = h("label", { htmlFor: id });
  const field = h("input", { id, autocomplete: "off", spellcheck: false });
  const send = h("button", { type: "submit" }, "Send");
  const said = h("div", {});
  let number = null;

  const answer = async (event) => {
    event.preventDefault();
    send.disabled = true;
    said.replaceChildren();
    try {
      onAnswered((await (await request("POST", `jobs/${jobId}/input`, { body: { number, value: field.value } })).json()).job);
    } catch (error) {
      said.replaceChildren(fault(error));
    }
    send.disabled = false;
  };
  const element = h("form", { class: "question", hidden: true, onsubmit: answer }, prompt, field, send, said);

  function update(asking) {
    element.hidden = !asking;
    if (!asking || asking.number === number) return;
    number = asking.number;
    field.value = "";
    write(prompt, asking.prompt.trim() || "The code waits for a line of input");
    announce("The code asks.");
  }
  return { element, update };
}
