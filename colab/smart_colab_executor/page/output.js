// The events of a job as blocks: texts in pieces of some hundred lines, pictures, HTML. The document stays bounded: of a long output it has the end.

import { h } from "./dom.js";
import { shown } from "./rich.js";
import { dressed, nodes, Terminal } from "./terminal.js";

// Lines in the document: while the end is followed, and while somebody reads further up.
const MAX_LINES = 20_000;
const MAX_LINES_READING = 60_000;
const LINES_A_PIECE = 250;
const MAX_BLOCKS = 2_000;
// Work is cut into slices, so that keys and clicks are answered in between.
const SLICE_MS = 12;
const isBefore = (one, other) => one.seq < other.seq || (one.seq === other.seq && one.number < other.number);
const breath = () => new Promise((resolve) => setTimeout(resolve));

/** A run of events, in an element of its own. */
class Flow {
  /** `until`: the place from which on another flow shows everything. */
  constructor(output, until = null) {
    this.output = output;
    this.until = until;
    this.displays = new Map();
    this.isClearing = false;
    this.element = h("div");
    this.live = h("div", { class: "lines" });
    this.element.append(this.live);
    this.rows = [];
    this.terminal = this.opened();
    this.isDirty = false;
  }

  opened() {
    return new Terminal((row) => {
      if (this.until && !isBefore(row.at, this.until)) return;
      this.rows.push(row);
      if (this.rows.length === LINES_A_PIECE) this.piece();
    });
  }

  /** Closes a piece of text. */
  piece() {
    if (!this.rows.length) return;
    this.block(h("div", { class: "lines" }, nodes(this.rows)), this.rows.length, this.rows[0].at);
    this.rows = [];
  }

  block(element, lines, at = { seq: this.terminal.seq, number: 0 }) {
    if (this.until && !isBefore(at, this.until)) return;
    element.style.containIntrinsicHeight = `auto ${lines * 1.5}em`;
    this.live.before(Object.assign(element, { lines, at }));
  }

  /** Ends the text: what follows stands below it, and does not draw over it. */
  cut(seq = this.terminal.seq) {
    this.terminal.seq = seq;
    this.terminal.number = 1;
    this.terminal.flush();
    this.piece();
    this.isDirty = true;
  }

  take(event) {
    if (this.isClearing && ["stream", "display_data", "execute_result", "error"].includes(event.type)) this.clear();
    switch (event.type) {
      case "stream":
        this.terminal.enter(event.seq);
        this.terminal.write(event.text, event.name === "stderr" ? "stderr" : "");
        this.isDirty = true;
        break;
      case "display_data":
      case "execute_result":
        this.display(event);
        break;
      case "clear_output":
        if (event.widget) break;
        if (event.wait) this.isClearing = true;
        else this.clear();
        break;
      case "error":
        this.cut(event.seq);
        this.block(h("pre", { class: "lines error" }, dressed(event.traceback.join("\n") || `${event.ename}: ${event.evalue}`)), 20);
        break;
      case "progress":
        if (event.error) {
          this.cut(event.seq);
          const line = `Iteration ${event.iteration} was skipped: ${event.error.ename}: ${event.error.evalue}`;
          this.block(h("p", { class: "note warn" }, line), 1);
        }
        break;
    }
  }

  display(event) {
    const element = shown(this.output.jobId, event.data, event.metadata);
    const old = this.displays.get(event.display_id);
    if (event.update && old?.isConnected) {
      Object.assign(element, { at: old.at, lines: old.lines });
      old.replaceWith(element);
    } else {
      this.cut(event.seq);
      this.block(element, 15);
    }
    if (event.display_id) this.displays.set(event.display_id, element);
  }

  /** Shows the lines that the cursor can still reach. */
  draw() {
    if (!this.isDirty) return;
    this.isDirty = false;
    const rows = [...this.rows, ...this.terminal.rows];
    if (rows.length && !rows.at(-1).width) rows.pop();
    this.live.replaceChildren(nodes(rows));
  }

  clear() {
    this.isClearing = false;
    if (this === this.output.main) this.output.clear();
    this.element.replaceChildren(this.live);
    this.displays.clear();
    this.rows = [];
    this.terminal = this.opened();
    this.isDirty = true;
  }
}

/** The output of one job in a region that scrolls. */
export class Output {
  /** `earlier` is called with the place of the first that is shown, for what is before it. */
  constructor(jobId, earlier) {
    this.jobId = jobId;
    this.first = { seq: 1, number: 0 };
    this.more = h("button", { type: "button", class: "small", hidden: true, onclick: () => earlier(this.first) }, "Show earlier output");
    this.flows = h("div");
    this.empty = h("p", { class: "quiet" }, "No output yet.");
    this.region = h("div", { class: "output", role: "region", "aria-label": "Output", tabindex: 0 }, this.more, this.flows, this.empty);
    this.end = h("button", { type: "button", class: "small to-end", hidden: true, onclick: () => this.toEnd() }, "↓ Follow the end");
    this.region.addEventListener("scroll", () => this.look());
    this.element = h("div", { class: "output-frame" }, this.region, this.end);
    this.main = new Flow(this);
    this.flows.append(this.main.element);
    this.isAtEnd = true;
    this.top = this.height = 0;
    // Pictures that come, and a window that is made smaller, leave the end at the end.
    const size = new ResizeObserver(() => this.isAtEnd && this.toEnd());
    size.observe(this.flows);
    size.observe(this.region);
  }

  look() {
    const { scrollTop, clientHeight, scrollHeight } = this.region;
    // Only a movement up leaves the end: the end also moves away, when lines come or the window changes. And where the output became shorter, as when
    // a frame or a picture gets its size, the browser moved it.
    if (scrollHeight - scrollTop - clientHeight < 40) this.isAtEnd = true;
    else if (scrollTop < this.top && scrollHeight === this.height) this.isAtEnd = false;
    this.top = scrollTop;
    this.height = scrollHeight;
    this.end.hidden = this.isAtEnd;
  }

  toEnd() {
    this.isAtEnd = true;
    this.region.scrollTop = this.region.scrollHeight;
    this.look();
  }

  /** Says that what is before this place is not shown. */
  startAt(place) {
    this.first = place;
    this.more.hidden = !isBefore({ seq: 1, number: 0 }, place);
  }

  async add(events, signal) {
    let began = performance.now();
    for (const event of events) {
      this.main.take(event);
      if (performance.now() - began > SLICE_MS) {
        this.draw();
        await breath();
        if (signal.aborted) return;
        began = performance.now();
      }
    }
    this.draw();
  }

  draw() {
    this.main.draw();
    this.trim();
    this.empty.hidden = this.main.live.hasChildNodes() || this.flows.childElementCount > 1 || this.main.element.childElementCount > 1;
    if (this.isAtEnd) this.toEnd();
    else this.end.hidden = false;
  }

  /** Removes the first blocks of what has become too long. */
  trim() {
    const blocks = [...this.flows.children].flatMap((flow) => [...flow.children].filter((block) => block.lines));
    let lines = blocks.reduce((sum, block) => sum + block.lines, 0);
    const bound = this.isAtEnd ? MAX_LINES : MAX_LINES_READING;
    let left = blocks.length;
    for (const [index, block] of blocks.entries()) {
      if ((lines <= bound && left <= MAX_BLOCKS) || left === 1) break;
      lines -= block.lines;
      left -= 1;
      block.remove();
      this.startAt(blocks[index + 1].at);
    }
  }

  /** Puts events before those that are shown, without moving what is seen. */
  prepend(events) {
    const flow = new Flow(this, this.first);
    events.forEach((event) => flow.take(event));
    flow.cut();
    flow.draw();
    const before = this.region.scrollHeight - this.region.scrollTop;
    this.isAtEnd = false;
    this.flows.prepend(flow.element);
    this.startAt({ seq: events[0]?.seq ?? 1, number: 0 });
    this.region.scrollTop = this.region.scrollHeight - before;
    this.look();
  }

  /** The code cleared what was shown. */
  clear() {
    this.flows.replaceChildren(this.main.element);
    this.startAt({ seq: 1, number: 0 });
  }

  /** A last line of the page's own, or text that came after the end. */
  note(element) {
    this.main.cut();
    this.main.draw();
    this.main.block(element, 1);
    this.draw();
  }
}
