//! Reading remote files: what the model sees of each kind.

mod binary;
mod logs;
mod names;
mod odd;
mod previews;

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::download::files_server::{FilesServer, TOKEN};
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// A client whose runtime has given files.
struct Client {
    bridge: Bridge,
    server: FilesServer,
    _home: Home,
}

impl Client {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let server = FilesServer::start();
        for (path, bytes) in files {
            server.state().put(path, bytes.to_vec());
        }
        let home = Home::new();
        let url = format!("http://127.0.0.1:{}#{TOKEN}", server.port);
        let bridge = Bridge::greeted_by("claude-ai", home.program(&[("COLAB_URL", &url)]));
        Self {
            bridge,
            server,
            _home: home,
        }
    }

    fn read(&mut self, arguments: Value) -> Answer {
        self.bridge.call("read_colab_file", arguments)
    }

    fn look(&mut self, path: &str) -> Answer {
        let answer = self.read(json!({"path": path}));
        answer.succeeded();
        assert!(answer.whole.get("structuredContent").is_none());
        answer
    }
}

fn numbered(lines: std::ops::RangeInclusive<u32>) -> String {
    lines.map(|n| format!("line {n}: ü\n")).collect()
}

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    DynamicImage::from(RgbImage::new(width, height))
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

#[test]
fn a_text_is_read_from_the_requested_line() {
    let mut client = Client::with(&[("/content/a.log", numbered(1..=500).as_bytes())]);
    let answer = client.look("/content/a.log");
    assert_eq!(answer.text, numbered(1..=200));
    assert_eq!(answer.facts["first_line"], 1);
    assert_eq!(answer.facts["next_line"], 201);
    assert!(answer.fact("hint").contains("line 201"));
    let answer = client.read(json!({"path": "/content/a.log", "line": 401, "lines": "100"}));
    assert_eq!(answer.text, numbered(401..=500));
    assert!(answer.facts["next_line"].is_null(), "{}", answer.facts);
    assert_eq!(answer.facts["total_lines"], 500);
    assert!(answer.facts["hint"].is_null(), "{}", answer.facts);
    let answer = client.read(json!({"path": "/content/a.log", "line": -2}));
    assert_eq!(answer.text, numbered(499..=500));
    assert_eq!(answer.fact("mime"), "text/plain");
}

#[test]
fn a_long_text_is_paged() {
    let lines: String = (0..300)
        .map(|n| format!("{n}{}\n", "x".repeat(400)))
        .collect();
    let endless = "é".repeat(50_000);
    let mut client = Client::with(&[("/a.txt", lines.as_bytes()), ("/b.txt", endless.as_bytes())]);
    let (mut read, mut line) = (String::new(), json!(1));
    while !line.is_null() {
        let answer = client.read(json!({"path": "/a.txt", "line": line}));
        answer.succeeded();
        assert!(answer.text.chars().count() <= 40_000);
        assert!(answer.facts["is_cut"].is_null());
        read += &answer.text;
        line = answer.facts["next_line"].clone();
    }
    assert!(read == lines);
    let answer = client.look("/b.txt");
    let shown = answer.text.chars().count();
    assert!((20_000..=40_000).contains(&shown), "{shown}");
    assert_eq!(answer.facts["is_cut"], true);
    assert!(answer.fact("hint").contains("too long"));
}

#[test]
fn a_csv_is_shown_as_a_table_of_its_first_rows() {
    let mut csv = "name,value\n".to_owned();
    csv.extend((0..1000).map(|n| format!("row {n},{n}.5\n")));
    let mut client = Client::with(&[("/t.csv", csv.as_bytes())]);
    let answer = client.look("/t.csv");
    assert_eq!(answer.text.lines().count(), 21, "{}", answer.text);
    assert!(
        answer.text.starts_with("name    value\nrow 0     0.5\n"),
        "{}",
        answer.text
    );
    assert_eq!(answer.facts["rows"], 20);
    assert_eq!(answer.facts["columns"], 2);
    assert_eq!(answer.facts["next_line"], 22);
    let answer = client.read(json!({"path": "/t.csv", "lines": 3}));
    assert_eq!(answer.facts["rows"], 3);
    let answer = client.read(json!({"path": "/t.csv", "line": 22, "lines": 1}));
    assert_eq!(answer.text, "row 20,20.5\n");
}

#[test]
fn json_and_notebooks_are_formatted() {
    let picture = "iVBORw0KGgo".repeat(2000);
    let notebook = json!({"cells": [{"cell_type": "code", "source": ["1 + 1"], "outputs": [
        {"output_type": "display_data", "data": {"image/png": picture}},
        {"output_type": "execute_result", "data": {"text/plain": ["2"]}}]}]});
    let notebook = notebook.to_string();
    let mut client = Client::with(&[
        ("/a.json", br#"{"b":[1,{"z":2.50}],"a":"x"}"#),
        ("/broken.json", b"{\"a\":\n"),
        ("/n.ipynb", notebook.as_bytes()),
    ]);
    let answer = client.look("/a.json");
    assert_eq!(
        answer.text,
        "{\n  \"b\": [\n    1,\n    {\n      \"z\": 2.50\n    }\n  ],\n  \"a\": \"x\"\n}"
    );
    assert_eq!(client.look("/broken.json").text, "{\"a\":\n");
    let answer = client.look("/n.ipynb");
    assert!(
        answer.text.contains("1 + 1") && answer.text.contains("[image/png]\n--- output ---\n2")
    );
    assert!(!answer.text.contains("iVBOR"), "{}", answer.text);
    assert_eq!(answer.facts["cells"], 1);
    let answer = client.read(json!({"path": "/n.ipynb", "line": 1}));
    assert!(answer.text.starts_with("{\"cells\""), "{}", answer.text);
}

#[test]
fn a_notebook_is_shown_up_to_the_answers_limit() {
    let table = format!("<table>{}</table>", "<tr><td>x</td></tr>".repeat(150_000));
    let table = json!({"output_type": "display_data", "data": {"text/html": table}});
    let line = json!({"output_type": "stream", "text": ["y".repeat(99), "\n"]});
    let outputs = [vec![table], vec![line; 1_000]].concat();
    let notebook = json!({"cells": [{"cell_type": "code", "source": "z", "outputs": outputs}]});
    let mut client = Client::with(&[("/n.ipynb", notebook.to_string().as_bytes())]);
    let answer = client.look("/n.ipynb");
    assert!(
        answer.text.contains("z\n--- output ---\n[text/html]\n---"),
        "{}",
        answer.text
    );
    assert!(
        (37_000..40_000).contains(&answer.text.len()),
        "{}",
        answer.text.len()
    );
    assert_eq!(answer.facts["is_cut"], true);
    assert!(answer.fact("hint").contains("notebook continues"));
}

#[test]
fn a_picture_is_shown_scaled_down() {
    let drawing = br#"<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>"#;
    let mut bomb = encoded(1, 1, ImageFormat::Png);
    bomb.truncate(40);
    let mut client = Client::with(&[
        ("/large.png", &encoded(2400, 1200, ImageFormat::Png)),
        ("/a.gif", &encoded(30, 20, ImageFormat::Gif)),
        ("/a.svg", drawing),
        ("/broken.png", &bomb),
    ]);
    for (path, size) in [
        ("/large.png", (1200, 600)),
        ("/a.gif", (30, 20)),
        ("/a.svg", (30, 20)),
    ] {
        let answer = client.look(path);
        let [(data, mime)] = answer.pictures.as_slice() else {
            panic!("{path}: {}", answer.whole);
        };
        assert_eq!(mime, "image/png");
        let shown = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!((shown.width(), shown.height()), size, "{path}");
    }
    let answer = client.read(json!({"path": "/a.svg", "line": 1}));
    assert!(answer.text.starts_with("<svg") && answer.pictures.is_empty());
    let answer = client.look("/broken.png");
    assert!(answer.text.contains("not shown") && answer.pictures.is_empty());
    assert!(answer.fact("hint").contains("download_from_colab"));
}

#[test]
fn a_large_picture_and_a_binary_file_are_not_fetched() {
    let mut large = encoded(1, 1, ImageFormat::Png);
    large.resize(21 << 20, 0);
    let mut client = Client::with(&[("/large.png", &large), ("/model.bin", &[0; 5000])]);
    for (path, mime) in [
        ("/large.png", "image/png"),
        ("/model.bin", "application/octet-stream"),
    ] {
        let answer = client.look(path);
        assert!(
            answer.fact("hint").contains("download_from_colab"),
            "{}",
            answer.facts
        );
        assert_eq!(answer.fact("mime"), mime);
        assert!(answer.facts["total_lines"].is_null() && answer.pictures.is_empty());
    }
    assert_eq!(client.server.state().total_served(), 0);
}

#[test]
fn folders_missing_files_and_bad_ranges_are_refused() {
    let mut client = Client::with(&[("/folder/a.txt", b"x")]);
    let answer = client.read(json!({"path": "/folder"}));
    answer.refused("is_a_directory");
    assert!(answer.fact("hint").contains("list_colab_files"));
    client
        .read(json!({"path": "/nowhere"}))
        .refused("not_found");
    for arguments in [
        json!({"path": "/folder/a.txt", "line": 0}),
        json!({"path": "/folder/a.txt", "lines": 0}),
        json!({"path": "/folder/a.txt", "lines": 10_001}),
        json!({"path": "/folder/a.txt", "line": "first"}),
    ] {
        client.read(arguments).refused("invalid_argument");
    }
}

#[test]
fn the_real_executor_reads_as_the_fake_one_does() {
    let executor = Executor::shared();
    let folder = executor.root().join("reading");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.log"), numbered(1..=300)).unwrap();
    std::fs::write(folder.join("t.csv"), "a;b\n1;x\n").unwrap();
    std::fs::write(folder.join("p.png"), encoded(30, 20, ImageFormat::Png)).unwrap();
    std::fs::write(folder.join("model.bin"), [0; 99]).unwrap();
    let home = Home::new();
    let mut bridge = executor.bridge(&home, &[]);
    let mut read = |arguments| bridge.call("read_colab_file", arguments);
    let end = read(json!({"path": "reading/a.log", "line": -2}));
    assert_eq!(end.text, numbered(299..=300));
    assert_eq!(end.facts["total_lines"], 300);
    let head = read(json!({"path": "reading/a.log", "lines": 2}));
    assert_eq!(head.facts["next_line"], 3);
    assert_eq!(read(json!({"path": "reading/t.csv"})).text, "a  b\n1  x\n");
    assert_eq!(read(json!({"path": "reading/p.png"})).pictures.len(), 1);
    let binary = read(json!({"path": "reading/model.bin"}));
    assert!(binary.fact("hint").contains("download_from_colab"));
    read(json!({"path": "reading"})).refused("is_a_directory");
    read(json!({"path": "reading/none"})).refused("not_found");
}
