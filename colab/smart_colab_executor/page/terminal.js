// Text as a terminal shows it: colours, and bars that are drawn again by \r and cursor movements. Nothing here makes HTML of text.

// Lines that the cursor can still reach, as on the smallest terminals.
const ROWS = 24;
const MAX_LINE_CHARS = 64 * 1024;
// A sequence for the cursor or the look; the start of a sequence whose rest has not come; another sequence; a control character; other text.
const TOKENS = /(\x1b\[[0-?]*[ -/]*[@-~])|(\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,4096}\x1b?|[ -/]*)$)|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]|[\x00-\x1f\x7f]|[^\x00-\x1f\x7f]+/g;

const PLAIN = { key: "", classes: [], fg: null, bg: null };
const styles = new Map([["", PLAIN]]);

function style(state) {
  const classes = [...state.flags];
  if (typeof state.fg === "number") classes.push(`f${state.fg}`);
  if (typeof state.bg === "number") classes.push(`b${state.bg}`);
  const fg = typeof state.fg === "string" ? state.fg : null;
  const bg = typeof state.bg === "string" ? state.bg : null;
  if (fg) classes.push("own-fg");
  if (bg) classes.push("own-bg");
  const key = `${classes.sort().join(" ")}|${fg}|${bg}`;
  if (key === "|null|null") return PLAIN;
  if (!styles.has(key)) styles.set(key, { key, classes, fg, bg });
  return styles.get(key);
}

/** One of the 256 colours: a number for the first 16, which the style sheet has, else a colour. */
function colour(number) {
  if (number < 16) return number;
  if (number > 231) {
    const grey = 8 + 10 * (number - 232);
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (part) => (part ? 55 + 40 * part : 0);
  const rest = number - 16;
  return `rgb(${level(Math.floor(rest / 36))} ${level(Math.floor(rest / 6) % 6)} ${level(rest % 6)})`;
}

class Row {
  runs = [];
  width = 0;

  /** `at`: the event in which it began, and which of that event's rows it is. */
  constructor(at) {
    this.at = at;
  }

  /** Puts text at a column, over what is there. */
  put(column, text, look) {
    if (column > this.width) this.put(this.width, " ".repeat(column - this.width), PLAIN);
    if (column === this.width) {
      const last = this.runs.at(-1);
      if (last && last[1] === look) last[0] += text;
      else this.runs.push([text, look]);
    } else this.runs = [...this.slice(0, column), [text, look], ...this.slice(column + text.length, this.width)];
    this.width = Math.max(this.width, column + text.length);
  }

  slice(from, to) {
    const cut = [];
    let at = 0;
    for (const [text, look] of this.runs) {
      const part = text.slice(Math.max(0, from - at), Math.max(0, to - at));
      if (part) cut.push([part, look]);
      at += text.length;
    }
    return cut;
  }

  keep(from, to) {
    this.runs = from ? [[" ".repeat(Math.min(from, this.width)), PLAIN], ...this.slice(from, to)] : this.slice(0, to);
    this.width = Math.min(this.width, to);
  }
}

/** A terminal in memory. `onRow` gets each row that the cursor has left for good. */
export class Terminal {
  constructor(onRow) {
    this.onRow = onRow;
    this.seq = 0;
    this.number = 0;
    this.rows = [this.begun()];
    this.row = 0;
    this.column = 0;
    this.state = { flags: new Set(), fg: null, bg: null };
    this.look = PLAIN;
    this.rest = "";
  }

  begun() {
    return new Row({ seq: this.seq, number: this.number++ });
  }

  /** Says which event the text is of that follows. */
  enter(seq) {
    this.seq = seq;
    this.number = 1;
  }

  /** Writes text; `stream` is the name of a class. */
  write(text, stream = "") {
    const whole = this.rest + text;
    this.rest = "";
    for (const [token, control, partial] of whole.matchAll(TOKENS)) {
      const code = token.charCodeAt(0);
      if (control) this.control(token);
      else if (partial) this.rest = partial;
      else if (code === 10) this.feed();
      else if (code === 13) this.column = 0;
      else if (code === 8) this.column = Math.max(0, this.column - 1);
      else if (code === 9) this.put(" ".repeat(8 - (this.column % 8)), stream);
      else if (code > 31 && code !== 127) this.put(token, stream);
    }
  }

  put(text, stream) {
    let look = this.look;
    if (stream) {
      const key = `${stream}|${look.key}`;
      if (!styles.has(key)) styles.set(key, { ...look, key, classes: [...look.classes, stream] });
      look = styles.get(key);
    }
    this.rows[this.row].put(this.column, text, look);
    this.column += text.length;
    if (this.rows[this.row].width > MAX_LINE_CHARS) this.feed();
  }

  feed() {
    this.column = 0;
    if (++this.row < this.rows.length) return;
    this.rows.push(this.begun());
    while (this.rows.length > ROWS) {
      this.onRow(this.rows.shift());
      this.row -= 1;
    }
  }

  control(token) {
    const kind = token.at(-1);
    const numbers = token.slice(2, -1).split(/[;:]/).map((part) => parseInt(part, 10) || 0);
    const by = Math.max(1, numbers[0]);
    const row = this.rows[this.row];
    if (kind === "m") this.dress(numbers);
    else if (kind === "K") {
      if (numbers[0] === 0) row.keep(0, this.column);
      else row.keep(numbers[0] === 1 ? this.column : row.width, row.width);
    } else if (kind === "A") this.row = Math.max(0, this.row - by);
    else if (kind === "B") this.row = Math.min(this.rows.length - 1, this.row + by);
    else if (kind === "C") this.column = Math.min(this.column + by, MAX_LINE_CHARS);
    else if (kind === "D") this.column = Math.max(0, this.column - by);
    else if (kind === "G") this.column = Math.min(by, MAX_LINE_CHARS) - 1;
    else if (kind === "J" && numbers[0] !== 1) {
      const from = numbers[0] === 0 ? this.row : 0;
      if (numbers[0] === 0) row.keep(0, this.column);
      for (const below of this.rows.slice(numbers[0] === 0 ? from + 1 : 0)) below.keep(0, 0);
    }
  }

  dress(numbers) {
    const { state } = this;
    const names = { 1: "bold", 2: "dim", 3: "italic", 4: "under", 7: "swap", 9: "struck" };
    for (let at = 0; at < numbers.length; at += 1) {
      const number = numbers[at];
      const [kind, a, b, c] = numbers.slice(at + 1);
      if (number === 0) this.state = Object.assign(state, { flags: new Set(), fg: null, bg: null });
      else if (names[number]) state.flags.add(names[number]);
      else if (number === 22) ["bold", "dim"].forEach((name) => state.flags.delete(name));
      else if (number > 22 && number < 30) state.flags.delete(names[number - 20]);
      else if (number === 38 || number === 48) {
        const chosen = kind === 5 ? colour(a) : `rgb(${a} ${b} ${c})`;
        if (kind === 5 || kind === 2) state[number === 38 ? "fg" : "bg"] = chosen;
        at += kind === 5 ? 2 : kind === 2 ? 4 : 0;
      } else if (number === 39) state.fg = null;
      else if (number === 49) state.bg = null;
      else if (number >= 30 && number < 38) state.fg = number - 30;
      else if (number >= 40 && number < 48) state.bg = number - 40;
      else if (number >= 90 && number < 98) state.fg = number - 82;
      else if (number >= 100 && number < 108) state.bg = number - 92;
    }
    this.look = style(state);
  }

  /** Hands over all rows but an empty last one; the cursor is then on a new row. */
  flush() {
    if (!this.rows.at(-1).width) this.rows.pop();
    this.rows.forEach(this.onRow);
    this.rows = [this.begun()];
    this.row = 0;
    this.column = 0;
  }
}

/** Rows as nodes: neighbours of the same look are one text. */
export function nodes(rows) {
  const fragment = document.createDocumentFragment();
  let look = PLAIN;
  let text = "";
  const end = () => {
    if (!text) return;
    if (look === PLAIN) fragment.append(text);
    else {
      const span = document.createElement("span");
      span.className = look.classes.join(" ");
      if (look.fg) span.style.setProperty("--fg", look.fg);
      if (look.bg) span.style.setProperty("--bg", look.bg);
      span.textContent = text;
      fragment.append(span);
    }
    text = "";
  };
  for (const row of rows) {
    for (const [part, of] of row.runs) {
      if (of !== look) {
        end();
        look = of;
      }
      text += part;
    }
    text += "\n";
  }
  end();
  return fragment;
}

/** A whole text, such as a traceback. */
export function dressed(text) {
  const rows = [];
  const terminal = new Terminal((row) => rows.push(row));
  terminal.write(text);
  terminal.flush();
  return nodes(rows);
}
