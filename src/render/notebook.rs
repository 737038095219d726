//! A notebook in short form: what its cells say and what they printed, without pictures.

use serde_json::Value;

use super::html;
use crate::base::text::Screen;

/// Characters of one output.
const OUTPUT_LIMIT: usize = 2_000;

/// The cells of a notebook (nbformat 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notebook {
    pub text: String,
    pub cells: usize,
}

/// None when it is no notebook.
#[must_use]
pub fn short(bytes: &[u8]) -> Option<Notebook> {
    let notebook: Value = serde_json::from_slice(bytes).ok()?;
    let cells = notebook["cells"].as_array()?;
    let mut text = String::new();
    for (at, cell) in cells.iter().enumerate() {
        let kind = cell["cell_type"].as_str().unwrap_or("unknown");
        text += &format!("--- cell {} ({kind}) ---\n", at + 1);
        push_lines(&mut text, &joined(&cell["source"]));
        for output in cell["outputs"].as_array().into_iter().flatten() {
            text += "--- output ---\n";
            let mut screen = Screen::new(OUTPUT_LIMIT);
            screen.push(&shown(output));
            push_lines(&mut text, &screen.finish().render());
        }
    }
    Some(Notebook {
        text,
        cells: cells.len(),
    })
}

fn shown(output: &Value) -> String {
    match output["output_type"].as_str() {
        Some("stream") => joined(&output["text"]),
        Some("error") => {
            let lines = output["traceback"].as_array().into_iter().flatten();
            let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
            lines.join("\n")
        }
        _ => {
            let data = &output["data"];
            let kinds = data.as_object().into_iter().flat_map(|data| data.keys());
            let pictures = kinds.filter(|kind| kind.starts_with("image/"));
            let mut parts: Vec<String> = pictures.map(|kind| format!("[{kind}]")).collect();
            let plain = [&data["text/plain"], &data["text/markdown"]];
            let plain = plain.into_iter().find(|text| !text.is_null());
            if let Some(text) = plain {
                parts.push(joined(text));
            } else if let Some(text) = html::text(&joined(&data["text/html"])) {
                parts.push(text);
            }
            parts.join("\n")
        }
    }
}

fn push_lines(text: &mut String, lines: &str) {
    text.push_str(lines.trim_end_matches('\n'));
    text.push('\n');
}

/// Multi-line values are a string or a list of strings.
fn joined(value: &Value) -> String {
    if let Some(lines) = value.as_array() {
        return lines.iter().filter_map(Value::as_str).collect();
    }
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::short;

    #[test]
    fn cells_and_their_text_come_without_pictures() {
        let picture = "iVBORw0KGgo".repeat(1000);
        let notebook = json!({"nbformat": 4, "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "text"]},
            {"cell_type": "code", "source": "plot()", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": " 10%\r100%\n"},
                {"output_type": "display_data", "data": {"image/png": picture, "text/plain": ["<Figure>"]}},
                {"output_type": "error", "traceback": ["\u{1b}[31mValueError\u{1b}[0m", "no"]},
            ]},
        ]});
        let short = short(notebook.to_string().as_bytes()).unwrap();
        assert_eq!(short.cells, 2);
        let expected = "--- cell 1 (markdown) ---\n# Title\ntext\n--- cell 2 (code) ---\nplot()\n--- output ---\n100%\n\
            --- output ---\n[image/png]\n<Figure>\n--- output ---\nValueError\nno\n";
        assert_eq!(short.text, expected);
    }

    #[test]
    fn what_is_no_notebook_is_none() {
        assert!(short(b"{}").is_none());
        assert!(short(b"[").is_none());
    }
}
