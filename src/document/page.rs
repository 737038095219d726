//! Cells as a model reads them: source, version, outputs as text and pictures, bounded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::active::State;
use super::edit::Target;
use super::nbformat::Notebook;
use super::store::{Stored, blocking};
use crate::base::text::{Excerpt, Room};
use crate::jobs::body::{Part, Picture};
use crate::render::json::joined;
use crate::render::picture::{self, is_picture};
use crate::render::{html, notebook};

/// Pictures in one page.
const MAX_PICTURES: usize = 6;
/// The characters of a page that one source may take, as a part of all.
const SOURCE_SHARE: usize = 2;

/// Cells that a sentence names.
const MAX_NAMED: usize = 20;

/// Which cells to show.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub from: usize,
    /// The last one; none for all.
    pub to: Option<usize>,
    pub with_outputs: bool,
    pub room: Room,
}

/// What a notebook is.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    pub success: bool,
    /// Its path.
    pub notebook: String,
    /// Whether it was created, where that was asked for; if not, it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    pub cells: usize,
    pub nbformat: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The first cell for which there was no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_from: Option<usize>,
    /// The cells that the last run has left out, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// Some cells of a notebook.
#[derive(Debug)]
pub struct Page {
    pub facts: Facts,
    pub parts: Vec<Part>,
}

/// One cell in text, and the pictures that it shows.
struct Shown {
    text: String,
    pictures: Vec<(String, Vec<u8>)>,
}

impl Facts {
    pub(super) fn of(stored: &Stored) -> Self {
        let notebook = &stored.notebook;
        Self {
            success: true,
            notebook: stored.path.clone(),
            created: None,
            cells: notebook.cells().len(),
            nbformat: notebook.nbformat(),
            language: notebook.language().map(str::to_owned),
            kernel: notebook.kernel().map(str::to_owned),
            next_from: None,
            not_run: None,
        }
    }
}

/// Makes the page of the wanted cells.
pub(super) async fn page(
    stored: &Stored,
    state: &State,
    wanted: Wanted,
    deadline: Instant,
) -> Page {
    let mut page = Page {
        facts: Facts::of(stored),
        parts: Vec::new(),
    };
    page.facts.not_run =
        (state.left_out.as_ref()).map(|left| format!("{}: {}", names(&left.cells), left.why));
    let notebook = stored.notebook.clone();
    let marks = marks(&notebook, state);
    let (cells, next_from) = blocking(move || cells(&notebook, &marks, wanted)).await;
    page.facts.next_from = next_from;
    let mut text = String::new();
    for cell in cells {
        text += &cell.text;
        for (mime, bytes) in cell.pictures {
            // One that cannot be shown is named in the text.
            let fitting = timeout_at(deadline, picture::fit(&mime, bytes.into()));
            if let Ok(Ok(fitted)) = fitting.await {
                let path = PathBuf::from(&stored.path);
                let picture = Picture {
                    fitted,
                    path,
                    at: 0,
                };
                page.parts.extend([
                    Part::Text(std::mem::take(&mut text)),
                    Part::Picture(picture),
                ]);
            }
        }
    }
    page.parts.push(Part::Text(text));
    page.parts
        .retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    page
}

/// What stands beside the cells that run or wait, by their indices.
fn marks(notebook: &Notebook, state: &State) -> BTreeMap<usize, String> {
    let mut marks = BTreeMap::new();
    let mut mark = |cell: &Target, said: String| {
        if let Ok(index) = notebook.find(cell, None) {
            marks.insert(index, said);
        }
    };
    for cell in &state.waiting {
        mark(cell, " waiting".to_owned());
    }
    for (cell, job) in &state.running {
        let job = job.map(|job| format!(" job_id={job}"));
        mark(cell, format!(" running{}", job.unwrap_or_default()));
    }
    marks
}

/// Names cells in a sentence.
#[must_use]
pub fn names(cells: &[Target]) -> String {
    let name = |cell: &Target| match (&cell.id, cell.index) {
        (Some(id), _) => format!("id={id}"),
        (None, index) => format!("[{}]", index.unwrap_or_default()),
    };
    let mut named: Vec<_> = cells.iter().take(MAX_NAMED).map(name).collect();
    if let more @ 1.. = cells.len().saturating_sub(MAX_NAMED) {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

fn cells(
    notebook: &Arc<Notebook>,
    marks: &BTreeMap<usize, String>,
    wanted: Wanted,
) -> (Vec<Shown>, Option<usize>) {
    let mut shown = Vec::new();
    let mut html = html::Reader::default();
    let room = wanted.room;
    let mut left = room.capacity();
    let mut pictures = MAX_PICTURES;
    let end = wanted
        .to
        .map_or(usize::MAX, |to| to.saturating_add(1))
        .min(notebook.cells().len());
    for index in wanted.from..end {
        let mark = marks.get(&index).map_or("", String::as_str);
        let mut cell = cell(notebook, (index, mark), wanted, pictures, &mut html);
        pictures -= cell.pictures.len();
        let mut taken = room.shares(&cell.text);
        if taken > left {
            if !shown.is_empty() {
                return (shown, Some(index));
            }
            let mut excerpt = Excerpt::within(room);
            excerpt.push(&cell.text);
            cell.text = excerpt.render();
            taken = left;
        }
        left -= taken;
        shown.push(cell);
    }
    (shown, None)
}

fn cell(
    notebook: &Notebook,
    (index, mark): (usize, &str),
    wanted: Wanted,
    max_pictures: usize,
    html: &mut html::Reader,
) -> Shown {
    let cell = &notebook.cells()[index];
    let value = notebook.value(cell);
    let mut heading = format!("--- [{index}] {}", cell.kind);
    if let Some(id) = &cell.id {
        heading += &format!(" id={id}");
    }
    heading += &format!(" version={}", cell.version());
    let count = value["execution_count"]
        .as_u64()
        .or_else(|| value["prompt_number"].as_u64());
    if let Some(count) = count {
        heading += &format!(" execution_count={count}");
    }
    heading += mark;
    let outputs = value["outputs"].as_array().map_or(&[][..], Vec::as_slice);
    if !outputs.is_empty() && !wanted.with_outputs {
        heading += &format!(" outputs={}", outputs.len());
    }
    let mut source = Excerpt::new(wanted.room.chars / SOURCE_SHARE);
    source.push(&notebook::source(&value));
    let mut text = format!(
        "{heading} ---\n{}\n",
        source.render().trim_end_matches('\n')
    );
    let mut pictures = Vec::new();
    if wanted.with_outputs {
        for output in outputs {
            let said = notebook::output(output, html);
            text += &format!(
                "--- output of [{index}] ---\n{}\n",
                said.trim_end_matches('\n')
            );
            if pictures.len() < max_pictures {
                pictures.extend(picture_in(output));
            }
        }
    }
    Shown { text, pictures }
}

/// The picture of an output, of nbformat 3 or 4.
fn picture_in(output: &Value) -> Option<(String, Vec<u8>)> {
    let data = match output["data"].as_object() {
        Some(data) => data.clone(),
        None => notebook::renamed(output),
    };
    let is_shown = |(mime, _): &(&String, &Value)| is_picture(mime);
    let (mime, value) = data.iter().find(is_shown)?;
    let text = joined(value)?;
    if mime.ends_with("+xml") {
        return Some((mime.clone(), text.into_bytes()));
    }
    let encoded: String = text.split_whitespace().collect();
    Some((mime.clone(), STANDARD.decode(encoded).ok()?))
}
