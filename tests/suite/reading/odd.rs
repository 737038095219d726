//! Files as programs really write them, read from the real executor: nothing is hidden, and the next page starts after the last line shown.

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

pub(super) struct Reader {
    pub(super) bridge: Bridge,
    pub(super) folder: std::path::PathBuf,
    _home: Home,
}

impl Reader {
    pub(super) fn new(folder: &str) -> Self {
        let executor = Executor::shared();
        let home = Home::new();
        let folder = executor.root().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            bridge: executor.bridge_of("claude-ai", &home, &[]),
            folder,
            _home: home,
        }
    }

    pub(super) fn look(&mut self, name: &str, content: impl AsRef<[u8]>) -> Answer {
        std::fs::write(self.folder.join(name), content).unwrap();
        self.on(name, json!({}))
    }

    pub(super) fn on(&mut self, name: &str, arguments: Value) -> Answer {
        let answer = self.ask(name, arguments);
        answer.succeeded();
        answer
    }

    pub(super) fn ask(&mut self, name: &str, mut arguments: Value) -> Answer {
        arguments["path"] = self.folder.join(name).to_str().unwrap().into();
        self.bridge.call("read_colab_file", arguments)
    }
}

fn wide(text: &str) -> Vec<u8> {
    let text = format!("\u{feff}{text}");
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn multiline_rows_are_counted_in_file_lines() {
    let mut reader = Reader::new("odd-rows");
    let long = "para\n".repeat(22);
    let answer = reader.look(
        "a.csv",
        format!("id,text\n0,\"{long}\"\n1,\"short\"\n2,\"x\"\n"),
    );
    assert_eq!(
        (&answer.facts["rows"], &answer.facts["next_line"]),
        (&json!(3), &Value::Null)
    );
    assert!(
        answer.text.contains("\n 1  short\n 2  x\n"),
        "{}",
        answer.text
    );
    assert!(
        answer.fact("hint").contains("cut at 40"),
        "{}",
        answer.facts
    );
    for (newline, sign) in [("\n", ","), ("\r\n", ";"), ("\n", "\t"), ("\n", "|")] {
        let row = |n: u32| format!("{n}{sign}\"say \"\"hi\"\"{newline}twice\"{newline}");
        let rows: String = (0..50).map(row).collect();
        reader.look("b.csv", format!("id{sign}text{newline}{rows}"));
        let answer = reader.on("b.csv", json!({"lines": 10}));
        assert_eq!(answer.facts["rows"], 10, "{sign}");
        assert_eq!(answer.facts["next_line"], 22, "{sign}");
        let next = reader.on("b.csv", json!({"line": 22, "lines": 2}));
        assert_eq!(next.text, row(10), "{sign}");
    }
}

/// A row longer than the first read, and one whose end lies too far.
#[test]
fn a_row_longer_than_a_page_does_not_end_the_table() {
    let mut reader = Reader::new("odd-long");
    let cell = "y".repeat(99) + "\n";
    let answer = reader.look(
        "a.csv",
        format!("a,b\n0,z\n1,\"{}\"\n2,x\n", cell.repeat(3_000)),
    );
    assert_eq!(answer.facts["rows"], 3);
    assert!(answer.text.ends_with("2  x\n"), "{}", answer.text);
    let answer = reader.look(
        "b.csv",
        format!("a,b\n0,z\n1,\"{}\"\n2,x\n", cell.repeat(20_000)),
    );
    assert_eq!(
        (&answer.facts["rows"], &answer.facts["next_line"]),
        (&json!(1), &json!(3))
    );
    assert!(answer.fact("hint").contains("line 3"), "{}", answer.facts);
    let open: String = (0..3_000)
        .map(|n| format!("{n},\"{}\n", "y".repeat(99)))
        .collect();
    let answer = reader.look("c.csv", format!("a,b\n{open}"));
    assert_eq!(
        (&answer.facts["rows"], &answer.facts["next_line"]),
        (&json!(20), &json!(22))
    );
}

#[test]
fn a_table_is_read_in_the_dialect_of_its_rows() {
    let mut reader = Reader::new("odd-tables");
    for (name, content, text, delimiter) in [
        ("sep.csv", "sep=;\na;b\n1;2\n", "a  b\n1  2\n", json!(";")),
        ("rows.csv", "a,b;d\n1;2\n", "a,b  d\n  1  2\n", json!(";")),
        (
            "open.csv",
            "a,b\n1,\"x\n2,y\n",
            "a  b\n1  \"x\n2  y\n",
            Value::Null,
        ),
        (
            "note.csv",
            "# made today\na,b\n1,2\n",
            "# made today\na  b\n1  2\n",
            Value::Null,
        ),
        ("mac.csv", "a,b\r1,2\r", "a  b\n1  2\n", Value::Null),
        (
            "mark.csv",
            "\u{feff}a,b\n1,2\n",
            "a  b\n1  2\n",
            Value::Null,
        ),
        ("not.tsv", "a,b\n1,2\n", "a  b\n1  2\n", Value::Null),
    ] {
        let answer = reader.look(name, content);
        assert_eq!(answer.text, text, "{name}");
        assert_eq!(answer.facts["delimiter"], delimiter, "{name}");
        assert!(answer.facts["next_line"].is_null(), "{name}");
    }
    let open = reader.look("open.csv", "a,b\n1,\"x\n2,y\n");
    assert!(open.fact("hint").contains("line 2"), "{}", open.facts);
    let rows = reader.look("sep.csv", "sep=;\na;b\n".to_owned() + &"1;2\n".repeat(30));
    assert_eq!(rows.facts["next_line"], 23);
    assert!(rows.fact("hint").contains("sep=';'"), "{}", rows.facts);
    let alone = "(csv.reader where pandas is not installed)";
    assert!(rows.fact("hint").contains(alone), "{}", rows.facts);
}

#[test]
fn texts_in_other_encodings_are_read_and_the_encoding_is_named() {
    let mut reader = Reader::new("odd-encodings");
    let table = "Ort;Zahl\nZürich;1\n";
    let latin: Vec<u8> = table.chars().map(|c| c as u8).collect();
    let big: Vec<u8> = format!("\u{feff}{table}")
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    for (content, encoding) in [(wide(table), "utf-16"), (big, "utf-16"), (latin, "cp1252")] {
        let answer = reader.look("t.csv", content);
        assert_eq!(answer.text, "Ort     Zahl\nZürich     1\n", "{encoding}");
        assert_eq!(answer.facts["encoding"], encoding);
    }
    let answer = reader.look("a.log", wide("eins\r\nzwei ä\r\ndrei"));
    assert_eq!(
        (answer.text.as_str(), &answer.facts["total_lines"]),
        ("eins\r\nzwei ä\r\ndrei", &json!(3))
    );
    assert_eq!(
        reader.on("a.log", json!({"line": -2, "lines": 1})).text,
        "zwei ä\r\n"
    );
    let answer = reader.look("a.txt", b"gr\xfc\xdfe\n");
    assert_eq!(answer.text, "grüße\n");
    assert!(answer.fact("hint").contains("guess"), "{}", answer.facts);
    for name in ["a.json", "n.ipynb"] {
        let answer = reader.look(name, "\u{feff}{\"cells\":[]}");
        assert!(!answer.text.contains("{\"cells\""), "{}", answer.text);
    }
}

#[test]
fn a_progress_bar_in_a_log_is_shown_in_its_last_state() {
    let mut reader = Reader::new("odd-bars");
    let bar: String = (0..=9_000)
        .map(|n| format!("\r{n:4}/9000 [==>   ] loss: 0.1234"))
        .collect();
    let answer = reader.look("a.log", format!("begin\n{}\nend\n", &bar[..1_000]));
    assert_eq!(answer.text.lines().count(), 3, "{}", answer.text);
    // The bar's states fill more than a page.
    let answer = reader.look("b.log", format!("begin\r\n{bar}\r\nend\r\n"));
    let last = "9000/9000 [==>   ] loss: 0.1234";
    let second = reader.on("b.log", json!({"line": answer.facts["next_line"]}));
    assert_eq!(
        (answer.text.as_str(), &second.facts["is_cut"]),
        ("begin\r\n", &Value::Null)
    );
    assert_eq!(second.text, format!("{last}\n"));
    let end = reader.on("b.log", json!({"line": second.facts["next_line"]}));
    assert_eq!(end.text, "end\r\n");
    assert!(
        second.fact("hint").contains("Progress bars"),
        "{}",
        second.facts
    );
    assert_eq!(
        reader.on("b.log", json!({"line": -2, "lines": 1})).text,
        format!("{last}\n")
    );
    let back = "\u{8}".repeat(4);
    let keras = reader.look("keras.log", format!("1/10{back}2/10{back}3/10\n"));
    assert_eq!(keras.text, "3/10\n");
    assert_eq!(
        reader.look("red.log", "\u{1b}[31mE\u{1b}[0m no\n").text,
        "E no\n"
    );
}

#[test]
fn python_flavoured_json_and_notebooks_are_read() {
    let mut reader = Reader::new("odd-json");
    let nan =
        r#"{"cells":[{"cell_type":"code","source":"\ud83d","outputs":[],"metadata":{"p":NaN}}]}"#;
    let answer = reader.look("n.ipynb", nan);
    assert_eq!(answer.text, "--- [0] code ---\n\u{fffd}\n");
    assert_eq!(answer.fact("mime"), "application/x-ipynb+json");
    let old = r#"{"nbformat":3,"worksheets":[{"cells":[{"cell_type":"code","input":["print 1"],"outputs":[]}]}]}"#;
    assert_eq!(
        reader.look("old.ipynb", old).text,
        "--- [0] code ---\nprint 1\n"
    );
    let empty = reader.look("empty.ipynb", r#"{"cells":[]}"#);
    assert_eq!(
        (empty.text.as_str(), &empty.facts["cells"]),
        ("The notebook has no cells.", &json!(0))
    );
    let cut = reader.look("cut.ipynb", &nan[..40]);
    assert_eq!(cut.text, nan[..40]);
    assert!(cut.fact("hint").contains("being written"), "{}", cut.facts);
    let answer = reader.look("a.json", r#"{"a":[NaN,-Infinity,12345678901234567890123]}"#);
    assert_eq!(
        answer.text,
        "{\n  \"a\": [\n    NaN,\n    -Infinity,\n    12345678901234567890123\n  ]\n}"
    );
    let lines = "{\"a\":1}\n{\"a\":12345678901234567890123}\n";
    for name in ["a.jsonl", "lines.json"] {
        assert_eq!(reader.look(name, lines).text, lines);
    }
}

/// Shorter and longer than one read.
#[test]
fn long_json_on_one_line_is_indented_up_to_the_answers_limit() {
    let mut reader = Reader::new("odd-one-line");
    for count in [8_000, 80_000] {
        let numbers: Vec<u32> = (1_000..1_000 + count).collect();
        let answer = reader.look("a.json", json!({ "k": numbers }).to_string());
        assert!(
            answer
                .text
                .starts_with("{\n  \"k\": [\n    1000,\n    1001,\n"),
            "{}",
            answer.text
        );
        assert!((30_000..40_000).contains(&answer.text.len()));
        assert_eq!(
            (&answer.facts["is_cut"], &answer.facts["total_lines"]),
            (&json!(true), &json!(1))
        );
        assert!(
            answer.fact("hint").contains("json.load"),
            "{}",
            answer.facts
        );
    }
    let pretty = serde_json::to_string_pretty(&(0..80_000).collect::<Vec<_>>()).unwrap();
    assert_eq!(reader.look("b.json", pretty).facts["next_line"], 201);
    let record = json!({"x": "y".repeat(70_000)}).to_string();
    let answer = reader.look("c.json", format!("{record}\n{record}\n"));
    assert_eq!(answer.facts["next_line"], 2);
}

#[test]
fn a_long_notebook_says_which_cells_it_shows() {
    let mut reader = Reader::new("odd-notebook");
    let cells: Vec<Value> = (0..200)
        .map(|n| json!({"cell_type": "code", "source": format!("{n} {}", "x".repeat(600)), "outputs": []}))
        .collect();
    let answer = reader.look("n.ipynb", json!({"cells": cells}).to_string());
    let shown = answer.text.matches("] code ---").count();
    assert!(
        answer
            .fact("hint")
            .contains(&format!("first {shown} of its 200 cells")),
        "{}",
        answer.facts
    );
}

#[test]
fn a_binary_file_is_answered_with_code_that_reads_it() {
    let mut reader = Reader::new("odd-binary");
    for (name, head, mime, code) in [
        (
            "a.parquet",
            &b"PAR1\0"[..],
            "application/vnd.apache.parquet",
            "pandas.read_parquet(",
        ),
        (
            "part-0",
            b"PAR1\0",
            "application/vnd.apache.parquet",
            "pandas.read_parquet(",
        ),
        (
            "a.npy",
            b"\x93NUMPY\x01\0",
            "application/x-npy",
            "numpy.load(",
        ),
        (
            "a.csv.gz",
            b"\x1f\x8b\x08\0",
            "application/gzip",
            "pandas.read_csv(",
        ),
        ("m.pt", b"PK\x03\x04\0", "application/zip", "torch.load("),
        (
            "one.pkl",
            b"\x80\x04K\x01.",
            "application/x-pickle",
            "pandas.read_pickle(",
        ),
        ("a.log", b"text\0", "application/octet-stream", "open("),
    ] {
        std::fs::write(reader.folder.join(name), head).unwrap();
        let answer = reader.ask(name, json!({}));
        // The others end in their first bytes.
        match name {
            "one.pkl" | "a.log" => answer.succeeded(),
            _ => answer.refused("no_preview"),
        }
        assert_eq!(answer.fact("mime"), mime, "{name}");
        let path = serde_json::to_string(&reader.folder.join(name)).unwrap();
        let hint = answer.fact("hint");
        assert!(hint.contains(&format!("{code}{path}")), "{name}: {hint}");
    }
}
