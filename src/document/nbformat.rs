//! A notebook's text and the places of its cells in it, for nbformat 3 and 4.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::Unreadable;
use super::scan::{Malformed, Member, Span, elements, members, parsed, whole};
use super::style::Style;
use crate::base::hex::hex;
use crate::render::json::joined;

/// Bytes of the digest that is a version.
const VERSION_BYTES: usize = 4;
/// The first minor version of nbformat 4 in which cells have ids.
const MINOR_WITH_IDS: u64 = 5;
/// Lines that an unfinished merge leaves.
const CONFLICT_MARKS: [&str; 2] = ["<<<<<<<", ">>>>>>>"];

/// A notebook as it is written.
#[derive(Debug, Clone)]
pub struct Notebook {
    pub(super) text: String,
    pub(super) style: Style,
    pub(super) major: u64,
    minor: u64,
    /// The arrays of cells: one, or in nbformat 3 one for each worksheet.
    pub(super) sheets: Vec<Span>,
    pub(super) cells: Vec<Cell>,
    metadata: Value,
    pub(super) ids: Ids,
}

/// Where cells have their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    Own,
    /// As Colab writes them.
    InMetadata,
    None,
}

/// One cell.
#[derive(Debug, Clone)]
pub struct Cell {
    pub(super) span: Span,
    pub(super) sheet: usize,
    pub(super) members: Vec<Member>,
    pub kind: String,
    pub id: Option<String>,
    pub source: String,
}

impl Cell {
    /// A short digest of the source.
    #[must_use]
    pub fn version(&self) -> String {
        version(&self.source)
    }

    #[must_use]
    pub fn is_code(&self) -> bool {
        self.kind == "code"
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        // Of equal names the last counts, as for Python.
        self.members.iter().rfind(|member| member.name == name)
    }
}

/// The version of a cell with this source.
#[must_use]
pub(super) fn version(source: &str) -> String {
    hex(&Sha256::digest(source)[..VERSION_BYTES])
}

impl Notebook {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Unreadable> {
        let text = String::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)?;
        if text.trim().is_empty() {
            return Err(Unreadable::Empty);
        }
        let start = text
            .strip_prefix('\u{feff}')
            .map_or(0, |rest| text.len() - rest.len());
        let root = whole(&text[start..]).map_err(|error| unreadable(&text, start, &error))?;
        let root = start + root.start..start + root.end;
        Self::read(&text, &root)?.with_text(text)
    }

    fn read(text: &str, root: &Span) -> Result<Self, Unreadable> {
        let scanned = |error| unreadable(text, 0, &error);
        let fields = members(text, root)
            .map_err(scanned)?
            .ok_or(Unreadable::NoNotebook)?;
        let field = |name: &str| fields.iter().rfind(|field| field.name == name);
        let number =
            |name| field(name).and_then(|field| text[field.value.clone()].parse::<u64>().ok());
        let major = number("nbformat").ok_or(Unreadable::NoNotebook)?;
        let minor = number("nbformat_minor").unwrap_or(0);
        let sheets = match major {
            4 => vec![field("cells").ok_or(Unreadable::NoNotebook)?.value.clone()],
            3 => {
                let sheets = field("worksheets").ok_or(Unreadable::NoNotebook)?;
                let sheets = elements(text, &sheets.value)
                    .map_err(scanned)?
                    .unwrap_or_default();
                let cells = sheets.iter().map(|sheet| {
                    let fields = members(text, sheet).map_err(scanned)?.unwrap_or_default();
                    let cells = fields.into_iter().rfind(|field| field.name == "cells");
                    Ok(cells.ok_or(Unreadable::NoNotebook)?.value)
                });
                cells.collect::<Result<_, Unreadable>>()?
            }
            _ => return Err(Unreadable::OtherFormat { major }),
        };
        let mut cells = Vec::new();
        for (sheet, span) in sheets.iter().enumerate() {
            let spans = elements(text, span)
                .map_err(scanned)?
                .ok_or(Unreadable::NoNotebook)?;
            for span in spans {
                cells.push(
                    cell(text, span, sheet)
                        .map_err(scanned)?
                        .ok_or(Unreadable::NoNotebook)?,
                );
            }
        }
        let metadata = field("metadata").map(|field| parsed(&text[field.value.clone()]));
        let has_own = major == 4 && minor >= MINOR_WITH_IDS;
        let ids = match (has_own, cells.iter().any(|cell| cell.id.is_some())) {
            (true, _) => Ids::Own,
            (false, true) => Ids::InMetadata,
            (false, false) => Ids::None,
        };
        Ok(Self {
            text: String::new(),
            style: Style::of(text, root, &fields),
            major,
            minor,
            sheets,
            cells,
            metadata: metadata.unwrap_or_default(),
            ids,
        })
    }

    fn with_text(self, text: String) -> Result<Self, Unreadable> {
        Ok(Self { text, ..self })
    }

    /// Its cells, in order.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The version of its format, such as `4.5`.
    #[must_use]
    pub fn nbformat(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// The language of its kernel; none if it names none.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        let metadata = &self.metadata;
        let named = [
            &metadata["kernelspec"]["language"],
            &metadata["language_info"]["name"],
        ];
        // jupyter-collaboration saves empty names for those that are missing.
        let mut named = named.into_iter().filter_map(Value::as_str);
        named.find(|name| !name.is_empty())
    }

    /// The name of its kernel.
    #[must_use]
    pub fn kernel(&self) -> Option<&str> {
        self.metadata["kernelspec"]["name"].as_str()
    }

    /// Whether our kernels can run it: a notebook that names no language is Python.
    #[must_use]
    pub fn is_python(&self) -> bool {
        let kernel = self.kernel().unwrap_or_default().to_lowercase();
        self.language().map_or_else(
            || {
                !["ir", "julia", "xcpp"]
                    .iter()
                    .any(|other| kernel.starts_with(other))
            },
            |language| language.to_lowercase().contains("python"),
        )
    }

    /// The notebook as it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tags of a cell.
    #[must_use]
    pub fn tags(&self, cell: &Cell) -> Vec<String> {
        let metadata = cell.member("metadata");
        let metadata = metadata.map(|member| parsed(&self.text[member.value.clone()]));
        let tags = metadata.as_ref().and_then(|found| found["tags"].as_array());
        let tags = tags.into_iter().flatten().filter_map(Value::as_str);
        tags.map(str::to_owned).collect()
    }

    /// A cell as a value, for showing it.
    #[must_use]
    pub fn value(&self, cell: &Cell) -> Value {
        parsed(&self.text[cell.span.clone()])
    }

    /// The depth of its cells in the file.
    pub(super) fn depth(&self) -> usize {
        if self.major == 3 { 4 } else { 2 }
    }
}

fn cell(text: &str, span: Span, sheet: usize) -> Result<Option<Cell>, Malformed> {
    let Some(members) = members(text, &span)? else {
        return Ok(None);
    };
    let field = |name: &str| members.iter().rfind(|member| member.name == name);
    let value = |name: &str| field(name).map(|member| parsed(&text[member.value.clone()]));
    let kind = value("cell_type").and_then(|kind| Some(kind.as_str()?.to_owned()));
    let Some(kind) = kind else {
        return Ok(None);
    };
    let source = value("source").or_else(|| value("input"));
    let source = source.as_ref().and_then(joined).unwrap_or_default();
    let text_of = |value: &Value| value.as_str().map(str::to_owned);
    let id = value("id").as_ref().and_then(text_of);
    let id = id.or_else(|| text_of(&value("metadata")?["id"]));
    Ok(Some(Cell {
        span,
        sheet,
        members,
        kind,
        id,
        source,
    }))
}

fn unreadable(text: &str, start: usize, error: &Malformed) -> Unreadable {
    let has_conflict = (text.lines()).any(|line| {
        CONFLICT_MARKS
            .iter()
            .any(|mark| line.trim_start().starts_with(mark))
    });
    if has_conflict {
        return Unreadable::MergeConflict;
    }
    let before = &text.as_bytes()[..(start + error.at).min(text.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let what = error.what;
    Unreadable::NotJson { line, what }
}

/// Whether `bytes` are one JSON value.
#[cfg(test)]
pub(super) fn is_json(text: &str) -> bool {
    whole(text.trim_start_matches('\u{feff}')).is_ok()
}
