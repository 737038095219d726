//! A notebook in short form: what its cells say and what they printed, without pictures.

use serde_json::Value;

use super::{html, json};
use crate::base::text::Screen;

/// Characters of one output.
const OUTPUT_LIMIT: usize = 2_000;

/// The cells of a notebook (nbformat 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notebook {
    /// A little more than was asked for, where there is so much.
    pub text: String,
    pub cells: usize,
    /// The text ends before the notebook does.
    pub is_cut: bool,
}

/// Its first `limit` characters or a few more; none when it is no notebook. Takes CPU time.
#[must_use]
pub fn short(bytes: &[u8], limit: usize) -> Option<Notebook> {
    let notebook: Value = serde_json::from_slice(bytes).ok()?;
    let cells = notebook["cells"].as_array()?;
    let mut html = html::Reader::default();
    let (mut text, mut left, mut is_cut) = (String::new(), limit, false);
    let mut push = |heading: &str, lines: &str| {
        let part = format!("{heading}\n{}\n", lines.trim_end_matches('\n'));
        left = left.saturating_sub(part.chars().count());
        text += &part;
        left == 0
    };
    let mut is_full = false;
    'cells: for (at, cell) in cells.iter().enumerate() {
        if is_full {
            is_cut = true;
            break;
        }
        let kind = cell["cell_type"].as_str().unwrap_or("unknown");
        let source = json::joined(&cell["source"]).unwrap_or_default();
        is_full = push(&format!("--- cell {} ({kind}) ---", at + 1), &source);
        for output in cell["outputs"].as_array().into_iter().flatten() {
            if is_full {
                is_cut = true;
                break 'cells;
            }
            let mut screen = Screen::new(OUTPUT_LIMIT);
            screen.push(&shown(output, &mut html));
            is_full = push("--- output ---", &screen.finish().render());
        }
    }
    Some(Notebook {
        text,
        cells: cells.len(),
        is_cut,
    })
}

fn shown(output: &Value, html: &mut html::Reader) -> String {
    match output["output_type"].as_str() {
        Some("stream") => json::joined(&output["text"]).unwrap_or_default(),
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
                parts.extend(json::joined(text));
            } else if let Some(page) = json::joined(&data["text/html"]) {
                let text = html.text(&page);
                parts.push(text.unwrap_or_else(|| "[text/html]".to_owned()));
            }
            parts.join("\n")
        }
    }
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
        let short = short(notebook.to_string().as_bytes(), 1_000).unwrap();
        assert_eq!((short.cells, short.is_cut), (2, false));
        let expected = "--- cell 1 (markdown) ---\n# Title\ntext\n--- cell 2 (code) ---\nplot()\n--- output ---\n100%\n\
            --- output ---\n[image/png]\n<Figure>\n--- output ---\nValueError\nno\n";
        assert_eq!(short.text, expected);
    }

    #[test]
    fn what_is_no_notebook_is_none() {
        assert!(short(b"{}", 9).is_none());
        assert!(short(b"[", 9).is_none());
    }

    #[test]
    fn no_more_of_it_is_made_into_text_than_is_asked_for() {
        let output = json!({"output_type": "stream", "text": "x".repeat(99)});
        let cell = json!({"cell_type": "code", "source": "y", "outputs": vec![output; 500]});
        let notebook = json!({"cells": vec![cell; 9]}).to_string();
        let short = short(notebook.as_bytes(), 1_000).unwrap();
        assert_eq!((short.cells, short.is_cut), (9, true));
        assert!((1_000..1_200).contains(&short.text.len()));
    }

    #[test]
    fn pages_too_long_to_be_read_are_named() {
        let table = |size: usize| json!({"output_type": "display_data", "data": {"text/html": format!("<b>{}</b>", "x".repeat(size))}});
        let outputs = [
            vec![table(300_000)],
            vec![table(200_000); 6],
            vec![table(1)],
        ]
        .concat();
        let notebook = json!({"cells": [{"cell_type": "code", "outputs": outputs}]}).to_string();
        let short = short(notebook.as_bytes(), 39_000).unwrap();
        let outputs: Vec<_> = short.text.split("--- output ---\n").skip(1).collect();
        let is_named = |at: &usize| outputs[*at] == "[text/html]\n";
        let named: Vec<_> = (0..outputs.len()).filter(is_named).collect();
        assert_eq!(named, [0, 6]);
    }
}
