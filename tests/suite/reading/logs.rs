//! Logs written for a terminal: no line is lost, and bars are shown in their last state.

use std::fmt::Write;

use serde_json::{Value, json};

use super::odd::Reader;

/// Returns `L 1` to `L 50`, each between `before` and `after`.
fn numbered(before: &str, after: &str) -> String {
    (1..=50).fold(String::new(), |mut text, n| {
        write!(text, "{before}L {n}{after}").unwrap();
        text
    })
}

#[test]
fn log_lines_that_a_terminal_would_clear_are_kept() {
    let mut reader = Reader::new("logs");
    for before in [
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}[1A",
        "\u{1b}[1A\u{1b}[2K\r",
        "\u{1b}[K",
        "\u{1b}[5F\u{1b}[0J",
        "\u{1b}c",
        "\u{1b}[?1049h",
        "\u{1b}]0;title\u{7}",
        "\u{1b}[32m",
    ] {
        let answer = reader.look("a.log", numbered(before, "\n"));
        assert_eq!(answer.text, numbered("", "\n"), "{before:?}");
        let facts = &answer.facts;
        assert_eq!(
            (&facts["total_lines"], &facts["hint"]),
            (&json!(50), &Value::Null)
        );
        let answer = reader.on("a.log", json!({"line": 41, "lines": 2}));
        assert_eq!(answer.text, "L 41\nL 42\n", "{before:?}");
        assert_eq!(answer.facts["next_line"], 43);
    }
    // A separator within a line does not end it.
    for sign in ["\u{c}", "\u{b}", "\u{85}", "\u{2028}"] {
        let text = numbered("\u{1b}[1m", &format!("{sign}\u{1b}[0m\n"));
        let answer = reader.look("a.log", text);
        assert_eq!(answer.text, numbered("", &format!("{sign}\n")), "{sign:?}");
        assert_eq!(answer.facts["total_lines"], 50);
    }
}

#[test]
fn lines_ended_by_carriage_returns_are_shown_as_lines() {
    let mut reader = Reader::new("logs-mac");
    for name in ["a.txt", "a.log", "a.csv"] {
        reader.look(name, numbered("", "\r"));
        let answer = reader.on(name, json!({"line": 1}));
        assert_eq!(answer.text, numbered("", "\n"), "{name}");
        assert_eq!(reader.on(name, json!({"line": -1})).text, "L 50\n");
    }
    let answer = reader.look("b.log", format!("begin\n{}\nend\n", numbered("", "\r")));
    assert_eq!(answer.text, format!("begin\n{}end\n", numbered("", "\n")));
    assert_eq!(answer.facts["total_lines"], 3);
    assert!(
        answer.fact("hint").contains("line feeds"),
        "{}",
        answer.facts
    );
}

#[test]
fn each_of_several_bars_is_shown_once() {
    let mut reader = Reader::new("logs-bars");
    // As tqdm writes `position=1` within `position=0`.
    let inner = |n: u32| format!("\n\rinner:  {n}0%|##  | {n}/10 [00:01, {n}it/s]\u{1b}[A");
    let outer = |n: u32| format!("\router:  {n}0%|##  | {n}/10 [00:09, 1.{n}s/it]");
    let bars: String = (0..=9)
        .map(|n| outer(n) + &(0..=9).map(inner).collect::<String>())
        .collect();
    let answer = reader.look("tqdm.log", format!("begin\n{bars}\n\nL 1\nL 2\n"));
    let lines: Vec<&str> = answer.text.lines().collect();
    assert_eq!(lines.len(), 5, "{}", answer.text);
    assert!(lines[1].starts_with("outer:  90%") && lines[2].starts_with("inner:  90%"));
    assert!(
        answer.fact("hint").contains("last state"),
        "{}",
        answer.facts
    );
    // As rich writes its bars with a line of the log above them.
    let frame = |n: u32| format!("train ━━━━ {n}%\nval   ━━━━ {n}%\r\u{1b}[2K\u{1b}[1A\u{1b}[2K");
    let answer = reader.look("rich.log", format!("{}L 1\n{}\n\n", frame(1), frame(2)));
    let lines: Vec<&str> = answer.text.lines().collect();
    assert_eq!(
        lines,
        ["train ━━━━ 1%", "L 1", "train ━━━━ 2%", "val   ━━━━ 2%"]
    );
}

#[test]
fn a_line_past_the_end_is_refused_with_the_line_count() {
    let mut reader = Reader::new("logs-end");
    reader.look("a.log", "one\ntwo\n");
    let answer = reader.on("a.log", json!({"line": 9}));
    assert_eq!(answer.text, "There is no line 9: the file has 2 lines.");
    assert!(
        answer.fact("hint").contains("from 1 to 2"),
        "{}",
        answer.facts
    );
    let answer = reader.look("one.csv", "a,b\n");
    assert!(answer.text.starts_with("a  b"), "{}", answer.text);
    let answer = reader.on("one.csv", json!({"line": 2}));
    assert_eq!(answer.text, "There is no line 2: the file has 1 line.");
    for name in ["empty.txt", "empty.csv", "empty.json", "empty.ipynb"] {
        assert_eq!(reader.look(name, "").text, "The file is empty.", "{name}");
    }
    for encoding in ["utf-16", "utf-16-le"] {
        let mark = if encoding == "utf-16" { "\u{feff}" } else { "" };
        let text = format!("{mark}one\ntwo\n");
        let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.push(b'x');
        let answer = reader.look("odd.txt", bytes);
        assert_eq!(answer.text, "one\ntwo\n\u{fffd}");
        let code = format!("encoding=\"{encoding}\", errors=\"replace\"");
        assert!(answer.fact("hint").contains(&code), "{}", answer.facts);
    }
}
