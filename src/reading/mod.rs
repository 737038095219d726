//! Shows a file of the runtime by its kind: text, a table, JSON, a notebook, a picture.
//!
//! - here: reading the file; `form`: the form in which it is shown; [`page`]: the page that is shown;
//! - `preview`: the runtime's preview of a file that is not text; `opening`: the code that opens one; [`note`]: notes on the page.
//!
//! May import `base`, `wire`, `render`, `runtime`; knows nothing of MCP.

mod form;
pub mod note;
mod opening;
pub mod page;
mod preview;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use self::form::Form;
use self::note::Note;
pub use self::opening::python;
pub use self::page::Page;
use crate::base::text::Room;
use crate::render::picture::{self, PictureError};
use crate::render::table::{self, Table};
use crate::render::{json, notebook};
use crate::runtime::{Files, ReadQuery, RuntimeError, RuntimeResult};
use crate::wire::files::FileText;

/// Lines that are shown by default, and at most.
pub const LINES: u64 = 200;
pub const MAX_LINES: u64 = 10_000;
/// Rows of a table that are shown by default.
const ROWS: u64 = 20;
/// Rows of a preview, at most.
const MAX_PREVIEW_ROWS: u64 = 1000;
/// Bytes of text that one request fetches.
const MAX_BYTES: u64 = 64 * 1024;
/// Bytes of a table whose rows are too long for that.
const MAX_TABLE_BYTES: u64 = 1024 * 1024;
/// Characters of text in one answer.
pub const MAX_TEXT_CHARS: usize = 39_000;
/// Larger pictures and notebooks are not fetched to be shown. Bytes.
pub const MAX_FETCHED_BYTES: u64 = 20 * 1024 * 1024;

/// The code of a file that cannot be read as the type that it claims to be.
const NO_PREVIEW: &str = "no_preview";

/// A request to show a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Absolute, or relative to the content root.
    pub path: String,
    /// Begin at this line and show plain lines: 1 is the first, -1 the last.
    pub line: Option<i64>,
    /// Number of lines, 1 to [`MAX_LINES`], or of rows of a table; [`LINES`] (20 rows) by default.
    pub lines: Option<u64>,
    /// How much text the answer holds.
    pub room: Room,
}

/// Reads a file and makes the page that shows it.
///
/// # Errors
/// The errors of `files`.
pub async fn look(files: &dyn Files, wanted: &Wanted, deadline: Instant) -> RuntimeResult<Page> {
    let reading = Reading {
        files,
        wanted,
        deadline,
    };
    reading.look().await
}

struct Reading<'a> {
    files: &'a dyn Files,
    wanted: &'a Wanted,
    deadline: Instant,
}

impl Reading<'_> {
    async fn look(&self) -> RuntimeResult<Page> {
        let named = Form::of_name(&self.wanted.path);
        let has_line = self.wanted.line.is_some();
        let (lines, room) = (self.wanted.lines.unwrap_or(LINES), self.wanted.room);
        let wanted = match named {
            // A row may have many lines, and only a whole JSON can be indented.
            Form::Table { .. } | Form::Json if !has_line => MAX_LINES,
            Form::Table { .. } | Form::Json | Form::JsonLines | Form::Lines | Form::Notebook => {
                lines
            }
        };
        let file = self.read(wanted, MAX_BYTES).await?;
        let as_lines = has_line && file.is_text;
        if picture::is_picture(&file.mime) && !as_lines {
            return self.picture(file).await;
        }
        if !file.is_text {
            return self.preview(&file).await;
        }
        let form = named.or_of_mime(&file.mime);
        let shown = match form {
            _ if as_lines => None,
            Form::Table { delimiter } => self.table(&file, delimiter).await?,
            Form::Json => Page::json(&file, is_whole(&file), room),
            Form::Notebook if file.size <= MAX_FETCHED_BYTES => self.notebook(&file).await?,
            Form::Notebook | Form::JsonLines | Form::Lines => None,
        };
        let why = if as_lines { None } else { form.note() };
        let mut page = shown.unwrap_or_else(|| Page::lines(&file, lines, why, room));
        if form == Form::JsonLines && !as_lines {
            page.facts.fields = json::fields(&file.text);
        }
        Ok(page)
    }

    /// The runtime's preview of a file that is not text, or its refusal.
    async fn preview(&self, file: &FileText) -> RuntimeResult<Page> {
        let rows = self.wanted.lines.map(|rows| rows.min(MAX_PREVIEW_ROWS));
        match self.files.preview(&self.wanted.path, rows).await {
            Ok(preview) => {
                let (rows, room) = (self.wanted.lines, self.wanted.room);
                Ok(preview::page(file, preview, rows, room))
            }
            Err(RuntimeError::Refused(problem)) if problem.code == NO_PREVIEW => {
                let mut page = Page::binary(file);
                page.refusal = Some(problem);
                Ok(page)
            }
            // An older executor.
            Err(error) if error.is_not_found() => Ok(Page::binary(file)),
            Err(error) => Err(error),
        }
    }

    /// The text without a byte order mark.
    async fn read(&self, lines: u64, max_bytes: u64) -> RuntimeResult<FileText> {
        let query = &ReadQuery {
            path: self.wanted.path.clone(),
            line: self.wanted.line.unwrap_or(1),
            lines,
            max_bytes,
        };
        let mut file = self.files.read_file(query).await?;
        // Older executors leave it there.
        if file.first_line == Some(1) && file.text.starts_with('\u{feff}') {
            file.text.remove(0);
        }
        Ok(file)
    }

    async fn table(&self, file: &FileText, delimiter: Option<char>) -> RuntimeResult<Option<Page>> {
        let rows = usize::try_from(self.wanted.lines.unwrap_or(ROWS)).unwrap_or(usize::MAX);
        let room = self.wanted.room;
        let parse = |file: &FileText| table::csv(&file.text, delimiter, rows, is_whole(file));
        let table = parse(file);
        let is_enough =
            |table: &Table| table.rows >= rows || room.shares(&table.text) > room.capacity();
        if is_whole(file) || table.as_ref().is_some_and(is_enough) {
            return Ok(table.map(|table| Page::table(file, &table, room)));
        }
        let more = self.read(MAX_LINES, MAX_TABLE_BYTES).await?;
        let table = parse(&more).filter(|_| !more.is_cut);
        Ok(table.map(|table| Page::table(&more, &table, room)))
    }

    async fn picture(&self, file: FileText) -> RuntimeResult<Page> {
        let mut page = Page::blank(&file);
        if file.size > MAX_FETCHED_BYTES {
            return Ok(page.with(Note::LargePicture));
        }
        let bytes = self.fetch(&file.path).await?;
        let fitting = timeout_at(self.deadline, picture::fit(&file.mime, bytes)).await;
        match fitting.unwrap_or(Err(PictureError::TooSlow)) {
            Ok(fitted) => {
                page.picture = Some(fitted);
                Ok(page)
            }
            Err(error) => Ok(page.with(Note::UnreadablePicture(error))),
        }
    }

    async fn notebook(&self, file: &FileText) -> RuntimeResult<Option<Page>> {
        let room = self.wanted.room;
        let bytes = self.fetch(&file.path).await?;
        let short = spawn_blocking(move || notebook::short(&bytes, room.chars));
        let Ok(short) = timeout_at(self.deadline, short).await else {
            return Ok(Some(Page::blank(file).with(Note::SlowNotebook)));
        };
        // A notebook that cannot be parsed is shown as text.
        let notebook = short.ok().flatten();
        Ok(notebook.map(|notebook| Page::notebook(file, &notebook, room)))
    }

    /// Fetches a whole file whose size was checked.
    async fn fetch(&self, path: &str) -> RuntimeResult<Bytes> {
        let stat = self.files.stat(path, None).await?;
        // It may have grown since; then only its beginning is fetched.
        let end = stat.size.min(MAX_FETCHED_BYTES);
        let etag = stat.etag.unwrap_or_default();
        let stream = self.files.download(path, 0..end, &etag).await?;
        let pieces: Vec<Bytes> = stream.try_collect().await?;
        Ok(pieces.concat().into())
    }
}

/// Whether the text is the whole file.
fn is_whole(file: &FileText) -> bool {
    file.first_line == Some(1) && file.next_line.is_none() && !file.is_cut
}
