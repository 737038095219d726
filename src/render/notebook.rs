//! A notebook in short form: the sources and printed outputs of its cells, without pictures.

use serde_json::{Map, Value};

use super::{html, json, log, text};
use crate::base::text::Excerpt;

/// Characters of one output.
const MAX_OUTPUT_CHARS: usize = 2_000;
/// Characters of one cell's source, if all sources together would leave little room.
const MAX_SOURCE_CHARS: usize = 4_000;

/// The cells of a notebook, of any version of its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notebook {
    /// May be a little longer than requested.
    pub text: String,
    pub cells: usize,
    /// How many cells the text has, from the first on, the last one perhaps in part.
    pub shown_cells: usize,
    /// The text ends before the notebook does.
    pub is_cut: bool,
}

/// The first `limit` characters of a notebook or a few more; none if it is not a notebook. Takes CPU time.
#[must_use]
pub fn short(bytes: &[u8], limit: usize) -> Option<Notebook> {
    let notebook = json::parse(&text::decode(bytes)).ok()?;
    let cells = cells(&notebook)?;
    let sources: Vec<String> = cells.iter().map(|cell| source(cell)).collect();
    let is_long = sources
        .iter()
        .map(|source| source.chars().count())
        .sum::<usize>()
        > limit / 2;
    let mut html = html::Reader::default();
    let mut short = Notebook {
        text: String::new(),
        cells: cells.len(),
        shown_cells: 0,
        is_cut: false,
    };
    let mut left = limit;
    let mut push = |short: &mut Notebook, heading: &str, lines: &str| {
        let part = format!("{heading}\n{}\n", lines.trim_end_matches('\n'));
        short.is_cut = left == 0;
        if !short.is_cut {
            left = left.saturating_sub(part.chars().count());
            short.text += &part;
        }
        !short.is_cut
    };
    for (cell, source) in cells.iter().zip(sources) {
        let kind = cell["cell_type"].as_str().unwrap_or("unknown");
        let id = cell["id"].as_str().map(|id| format!(" id={id}"));
        let id = id.unwrap_or_default();
        let heading = format!("--- [{}] {kind}{id} ---", short.shown_cells);
        let source = if is_long {
            excerpt(&source, MAX_SOURCE_CHARS)
        } else {
            source
        };
        if !push(&mut short, &heading, &source) {
            break;
        }
        short.shown_cells += 1;
        let mut outputs = cell["outputs"].as_array().into_iter().flatten();
        let fits = outputs.all(|output| {
            let said = self::output(output, &mut html);
            push(&mut short, "--- output ---", &said)
        });
        if !fits {
            break;
        }
    }
    Some(short)
}

/// The cells: in nbformat 4 of the notebook, in 2 and 3 of its worksheets.
fn cells(notebook: &Value) -> Option<Vec<&Value>> {
    if let Some(cells) = notebook["cells"].as_array() {
        return Some(cells.iter().collect());
    }
    let sheets = notebook["worksheets"].as_array()?;
    let cells = sheets.iter().filter_map(|sheet| sheet["cells"].as_array());
    Some(cells.flatten().collect())
}

/// The text of an output, bounded, with pictures named.
pub fn output(output: &Value, html: &mut html::Reader) -> String {
    let said = text::without_data(&shown(output, html)).into_owned();
    excerpt(&log::plain(&said).text, MAX_OUTPUT_CHARS)
}

/// The source of a cell, without pictures that were pasted into it.
#[must_use]
pub fn source(cell: &Value) -> String {
    let names = ["source", "input", "text"];
    let said = names.into_iter().find_map(|name| json::joined(&cell[name]));
    let said = said.unwrap_or_default();
    let level = cell["level"].as_u64().unwrap_or(1).clamp(1, 6);
    let mark = match cell["cell_type"].as_str() {
        Some("heading") => "######"[..usize::try_from(level).unwrap_or(1)].to_owned() + " ",
        _ => String::new(),
    };
    mark + &text::without_data(&said)
}

fn excerpt(text: &str, limit: usize) -> String {
    let mut excerpt = Excerpt::new(limit);
    excerpt.push(text);
    excerpt.render()
}

fn shown(output: &Value, html: &mut html::Reader) -> String {
    match output["output_type"].as_str() {
        Some("stream") => json::joined(&output["text"]).unwrap_or_default(),
        Some("error" | "pyerr") => {
            let lines = output["traceback"].as_array().into_iter().flatten();
            let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
            if lines.is_empty() {
                let part = |name: &str| output[name].as_str().unwrap_or_default();
                return format!("{}: {}", part("ename"), part("evalue"));
            }
            lines.join("\n")
        }
        _ => match output["data"].as_object() {
            Some(data) => displayed(data, html),
            None => displayed(&renamed(output), html),
        },
    }
}

/// The data of an output of nbformat 2 or 3, by the media types of nbformat 4.
#[must_use]
pub fn renamed(output: &Value) -> Map<String, Value> {
    let names = [
        ("text", "text/plain"),
        ("html", "text/html"),
        ("latex", "text/latex"),
        ("svg", "image/svg+xml"),
        ("png", "image/png"),
        ("jpeg", "image/jpeg"),
        ("json", "application/json"),
        ("javascript", "application/javascript"),
    ];
    let there = names.iter().filter(|(old, _)| !output[old].is_null());
    there
        .map(|(old, new)| ((*new).to_owned(), output[old].clone()))
        .collect()
}

/// The text of an output; pictures are named, and so is what has no text.
fn displayed(data: &Map<String, Value>, html: &mut html::Reader) -> String {
    let pictures = data.keys().filter(|kind| kind.starts_with("image/"));
    let mut parts: Vec<String> = pictures.map(|kind| format!("[{kind}]")).collect();
    let text = |kind: &str| data.get(kind).and_then(json::joined);
    let said = text("text/plain").or_else(|| text("text/markdown"));
    if let Some(said) = said {
        parts.push(said);
    } else if let Some(page) = text("text/html") {
        let read = html.text(&page);
        parts.push(read.unwrap_or_else(|| "[text/html]".to_owned()));
    } else if let Some(formula) = text("text/latex") {
        parts.push(formula);
    } else if let Some(value) = data.get("application/json") {
        parts.push(value.to_string());
    } else if parts.is_empty() {
        parts.extend(data.keys().map(|kind| format!("[{kind}]")));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::short;

    #[test]
    fn cells_are_shown_with_their_text_and_without_pictures() {
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
        let expected = "--- [0] markdown ---\n# Title\ntext\n--- [1] code ---\nplot()\n--- output ---\n100%\n\
            --- output ---\n[image/png]\n<Figure>\n--- output ---\nValueError\nno\n";
        assert_eq!(short.text, expected);
    }

    #[test]
    fn pasted_pictures_hide_no_later_cell() {
        let picture = format!("data:image/png;base64,{}", "QUJD".repeat(20_000));
        let page = json!({"output_type": "display_data", "data": {"text/html": format!("<b>x</b><img src=\"{picture}\">")}});
        let notebook = json!({"cells": [
            {"cell_type": "markdown", "source": format!("# T\n![p]({picture})\nend"),
             "attachments": {"a.png": {"image/png": "QUJD".repeat(20_000)}}},
            {"cell_type": "code", "source": ["a = '", "y".repeat(50_000), "'\n", "b"], "outputs": [page]},
            {"cell_type": "code", "source": "last", "outputs": []},
        ]});
        let short = short(notebook.to_string().as_bytes(), 39_000).unwrap();
        assert_eq!(
            (short.cells, short.shown_cells, short.is_cut),
            (3, 3, false)
        );
        let first = "--- [0] markdown ---\n# T\n![p](data:image/png;base64,…[80000 characters])\nend\n--- [1]";
        assert!(short.text.starts_with(first), "{}", short.text);
        assert!(
            short.text.contains("characters left out here"),
            "{}",
            short.text
        );
        assert!(
            short
                .text
                .ends_with("--- output ---\nx[picture]\n--- [2] code ---\nlast\n"),
            "{}",
            short.text
        );
    }

    #[test]
    fn sources_are_whole_while_there_is_room() {
        let code = "x".repeat(15_000);
        let notebook = json!({"cells": [{"cell_type": "code", "source": code}]}).to_string();
        assert!(
            short(notebook.as_bytes(), 39_000)
                .unwrap()
                .text
                .contains(&code)
        );
    }

    #[test]
    fn older_formats_are_read_too() {
        let outputs = json!([
            {"output_type": "stream", "stream": "stdout", "text": "printed\n"},
            {"output_type": "pyout", "prompt_number": 3, "text": ["4", "2"]},
            {"output_type": "display_data", "png": "QUJD", "text": "<Figure>"},
            {"output_type": "pyerr", "ename": "E", "evalue": "no", "traceback": ["\u{1b}[31mE\u{1b}[0m: no"]},
            {"output_type": "display_data", "html": "<b>h</b>"},
        ]);
        let notebook = json!({"nbformat": 3, "worksheets": [{"cells": [
            {"cell_type": "heading", "level": 2, "source": ["Head"]},
            {"cell_type": "code", "input": ["print 1"], "outputs": outputs}]},
            {"cells": [{"cell_type": "markdown", "source": "second sheet"}]}]});
        let short = short(notebook.to_string().as_bytes(), 1_000).unwrap();
        let expected = "--- [0] heading ---\n## Head\n--- [1] code ---\nprint 1\n--- output ---\nprinted\n\
            --- output ---\n42\n--- output ---\n[image/png]\n<Figure>\n--- output ---\nE: no\n--- output ---\nh\n\
            --- [2] markdown ---\nsecond sheet\n";
        assert_eq!(short.text, expected);
    }

    #[test]
    fn an_output_without_text_is_named() {
        let show = |data: serde_json::Value| json!({"output_type": "display_data", "data": data});
        let outputs = [
            show(json!({"text/latex": "$x$"})),
            show(json!({"application/json": {"k": [1]}})),
            show(json!({"application/vnd.plotly.v1+json": {"data": []}})),
            show(json!({"image/svg+xml": "<svg/>"})),
            json!({"output_type": "error", "ename": "E", "evalue": "no", "traceback": []}),
        ];
        let notebook = json!({"cells": [{"cell_type": "code", "source": "s", "outputs": outputs}]});
        let short = short(notebook.to_string().as_bytes(), 1_000).unwrap();
        let shown: Vec<_> = short.text.split("--- output ---\n").skip(1).collect();
        assert_eq!(
            shown,
            [
                "$x$\n",
                "{\"k\":[1]}\n",
                "[application/vnd.plotly.v1+json]\n",
                "[image/svg+xml]\n",
                "E: no\n"
            ]
        );
    }

    #[test]
    fn notebooks_with_marks_nan_surrogates_and_utf16_are_read() {
        let text = "\u{feff}{\"cells\":[{\"cell_type\":\"code\",\"source\":\"\\ud83d x\",\"metadata\":{\"p\":NaN}}]}";
        let expected = "--- [0] code ---\n\u{fffd} x\n";
        assert_eq!(short(text.as_bytes(), 100).unwrap().text, expected);
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(short(&wide, 100).unwrap().text, expected);
        assert_eq!(short(b"{\"cells\": []}", 100).unwrap().text, "");
    }

    #[test]
    fn other_json_is_not_taken_for_a_notebook() {
        assert!(short(b"{}", 9).is_none());
        assert!(short(b"[", 9).is_none());
    }

    #[test]
    fn no_more_text_is_made_than_requested() {
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
