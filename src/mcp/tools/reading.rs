//! Looking into a file over there, as what it is: text, a table, a notebook, a picture.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use crate::mcp::convert::reading;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::render::notebook::{self, Notebook};
use crate::render::picture::{self, PictureError};
use crate::render::{json, table};
use crate::runtime::{ReadQuery, Runtime, RuntimeResult};
use crate::wire::files::FileText;

const LINES: u64 = 200;
const MOST_LINES: u64 = 10_000;
/// Of a table.
const ROWS: u64 = 20;
/// Of text fetched at once.
const MAX_BYTES: u64 = 64 * 1024;
/// Characters of text in one answer: 40,000 with the line of facts.
const TEXT_LIMIT: usize = 39_000;
/// Pictures and notebooks beyond are not fetched to be looked at.
const LARGEST: u64 = 20 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadArgs {
    /// A file, absolute or relative to the content root.
    path: String,
    /// Begin at this line and show plain lines: 1 is the first, -1 the last, -100 the hundredth from the end.
    #[serde(default, deserialize_with = "args::whole_or_negative")]
    line: Option<i64>,
    /// At most so many lines, to 10,000, or rows of a table; 200 (20 rows) unless given.
    #[serde(default, deserialize_with = "args::whole")]
    lines: Option<u64>,
}

/// What is known of the file, in the order in which it is shown.
#[derive(Debug, Serialize)]
struct Facts {
    success: bool,
    path: String,
    size_bytes: u64,
    mime: String,
    modified_at: String,
    first_line: Option<u64>,
    /// None at the end.
    next_line: Option<u64>,
    /// None where the end was not seen.
    total_lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown_columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<usize>,
    /// The text does not show all of what it began to show.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// What a file is shown as where no line is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Table { delimiter: Option<u8> },
    Json,
    Notebook,
}

#[tool_router(router = reading_router)]
impl Server {
    #[tool(
        title = "Read file",
        input_schema = schema::input::<ReadArgs>(),
        description = "Look into a file on the runtime without downloading it: text by lines (a negative `line` reads the end of a log), CSV as a table of \
            its first rows, JSON indented, a notebook as its cells and their text, PNG, JPEG, GIF, WebP, BMP and SVG as a picture. The last \
            line is JSON with size_bytes, mime, total_lines and next_line: hand that back as `line` to read on. With `line` any text is shown as \
            plain lines. To have the whole file on this computer use download_from_colab; to compute with it, run code that opens it.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn read_colab_file(
        &self,
        Parameters(args): Parameters<ReadArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let lines = args.lines.unwrap_or(LINES);
        if !(1..=MOST_LINES).contains(&lines) {
            return Err(Fault::invalid(format!(
                "lines is {lines}: it must be 1 to {MOST_LINES}"
            )));
        }
        if args.line == Some(0) {
            return Err(Fault::invalid(
                "line is 0: the first line is 1, the last is -1",
            ));
        }
        let budget = self.budget(&context);
        let answer = call::ask(self, &context, budget, async |call| {
            self.look_into(&args, call.deadline).await
        });
        answer.await.map_err(|error| match error.code() {
            "is_a_directory" => {
                Fault::from(error).first("list_colab_files with this path shows what is in it.")
            }
            "not_found" => {
                Fault::from(error).first("list_colab_files shows which files there are.")
            }
            _ => Fault::from(error),
        })
    }
}

impl Server {
    pub(super) fn reading_tools() -> ToolRouter<Self> {
        Self::reading_router()
    }

    async fn look_into(&self, args: &ReadArgs, deadline: Instant) -> RuntimeResult<CallToolResult> {
        let form = Form::of_name(&args.path);
        let wanted = match form {
            _ if args.line.is_some() => args.lines.unwrap_or(LINES),
            // The heading is a line too.
            Form::Table { .. } => (args.lines.unwrap_or(ROWS) + 1).min(MOST_LINES),
            // Only a whole one can be indented.
            Form::Json => MOST_LINES,
            Form::Lines | Form::Notebook => args.lines.unwrap_or(LINES),
        };
        let query = &ReadQuery {
            path: args.path.clone(),
            line: args.line.unwrap_or(1),
            lines: wanted,
            max_bytes: MAX_BYTES,
        };
        let read = |runtime: Arc<dyn Runtime>| async move { runtime.read_file(query).await };
        let file = self.connection().ask(deadline, read).await?;
        let as_lines = args.line.is_some() && file.is_text;
        if picture::is_picture(&file.mime) && !as_lines {
            return self.show_picture(file, deadline).await;
        }
        if !file.is_text {
            return Ok(tell_binary(file));
        }
        let form = if as_lines {
            Form::Lines
        } else {
            form.or_of_mime(&file.mime)
        };
        let is_whole = file.first_line == Some(1) && file.next_line.is_none() && !file.is_cut;
        let rows = usize::try_from(args.lines.unwrap_or(ROWS)).unwrap_or(usize::MAX);
        let shown = match form {
            Form::Table { delimiter } => show_table(&file, delimiter, rows, is_whole),
            Form::Json if is_whole => show_json(&file),
            Form::Notebook if file.size <= LARGEST => self.show_notebook(&file, deadline).await?,
            Form::Json | Form::Notebook | Form::Lines => None,
        };
        Ok(shown.unwrap_or_else(|| show_lines(&file, args.lines.unwrap_or(LINES))))
    }

    async fn show_picture(
        &self,
        file: FileText,
        deadline: Instant,
    ) -> RuntimeResult<CallToolResult> {
        let mut facts = Facts::of(&file);
        if file.size > LARGEST {
            facts.hint = Some(format!(
                "The picture is larger than {} MB: download_from_colab fetches it, or run code that makes it smaller.",
                LARGEST / 1024 / 1024
            ));
            return Ok(reading(String::new(), None, &facts));
        }
        let bytes = self.fetch(&file.path, deadline).await?;
        let fitting = timeout_at(deadline, picture::fit(&file.mime, bytes)).await;
        match fitting.unwrap_or(Err(PictureError::TooSlow)) {
            Ok(fitted) => Ok(reading(String::new(), Some(fitted), &facts)),
            Err(error) => {
                facts.hint = Some("download_from_colab fetches the file as it is.".to_owned());
                let text = format!("The picture is not shown: {error}.");
                Ok(reading(text, None, &facts))
            }
        }
    }

    async fn show_notebook(
        &self,
        file: &FileText,
        deadline: Instant,
    ) -> RuntimeResult<Option<CallToolResult>> {
        let bytes = self.fetch(&file.path, deadline).await?;
        let short = spawn_blocking(move || notebook::short(&bytes, TEXT_LIMIT));
        let Ok(short) = timeout_at(deadline, short).await else {
            let mut facts = Facts::of(file);
            facts.hint = Some(
                "download_from_colab fetches it; `line` shows its JSON as plain lines.".to_owned(),
            );
            let text = "The notebook is not shown: it takes too long to read.".to_owned();
            return Ok(Some(reading(text, None, &facts)));
        };
        // What fails at being read is shown as the text that it is.
        let notebook = short.ok().flatten();
        Ok(notebook.map(|notebook| tell_notebook(file, &notebook)))
    }

    /// A whole file, of which the size was looked at.
    async fn fetch(&self, path: &str, deadline: Instant) -> RuntimeResult<Bytes> {
        let fetch = |runtime: Arc<dyn Runtime>| async move {
            let stat = runtime.stat(path, false).await?;
            // It may have grown since; what comes of it then is as good as a picture can be.
            let end = stat.size.min(LARGEST);
            let etag = stat.etag.unwrap_or_default();
            if end == 0 {
                return Ok(Bytes::new());
            }
            let stream = runtime.download(path, 0..end, &etag).await?;
            let pieces: Vec<Bytes> = stream.try_collect().await?;
            Ok(pieces.concat().into())
        };
        self.connection().ask(deadline, fetch).await
    }
}

impl Form {
    fn of_name(path: &str) -> Self {
        let name = path.to_ascii_lowercase();
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "csv" => Self::Table { delimiter: None },
            "tsv" => Self::Table {
                delimiter: Some(b'\t'),
            },
            "json" | "geojson" => Self::Json,
            "ipynb" => Self::Notebook,
            _ => Self::Lines,
        }
    }

    fn or_of_mime(self, mime: &str) -> Self {
        match (self, mime) {
            (Self::Lines, "text/csv") => Self::Table { delimiter: None },
            (Self::Lines, "text/tab-separated-values") => Self::Table {
                delimiter: Some(b'\t'),
            },
            (Self::Lines, "application/json") => Self::Json,
            (form, _) => form,
        }
    }
}

impl Facts {
    fn of(file: &FileText) -> Self {
        Self {
            success: true,
            path: file.path.clone(),
            size_bytes: file.size,
            mime: file.mime.clone(),
            modified_at: file.modified_at.clone(),
            first_line: file.first_line,
            next_line: file.next_line,
            total_lines: file.total_lines,
            rows: None,
            columns: None,
            shown_columns: None,
            cells: None,
            is_cut: false,
            hint: None,
        }
    }
}

fn tell_binary(file: FileText) -> CallToolResult {
    let mut facts = Facts::of(&file);
    facts.hint = Some(
        "It is not text: download_from_colab fetches it, or run code that opens it with the right library.".to_owned(),
    );
    let text = format!("A binary file of type {}, {} bytes.", file.mime, file.size);
    reading(text, None, &facts)
}

fn show_lines(file: &FileText, lines: u64) -> CallToolResult {
    let mut facts = Facts::of(file);
    let (text, shown, is_cut) = head(&file.text, lines);
    if shown < file.text.lines().count() {
        facts.next_line = file.first_line.map(|first| first + shown as u64);
    }
    facts.is_cut = is_cut || file.is_cut;
    let is_last_cut = facts.is_cut.then_some(
        "The last line shown is too long and was cut: run code that reads it, or use download_from_colab.",
    );
    let go_on = facts
        .next_line
        .map(|next| format!("To read on, call again with line {next}."));
    let hints: Vec<String> = is_last_cut
        .map(str::to_owned)
        .into_iter()
        .chain(go_on)
        .collect();
    facts.hint = (!hints.is_empty()).then(|| hints.join(" "));
    reading(text, None, &facts)
}

fn show_table(
    file: &FileText,
    delimiter: Option<u8>,
    rows: usize,
    is_whole: bool,
) -> Option<CallToolResult> {
    let delimiter = delimiter.unwrap_or_else(|| table::delimiter(&file.text));
    let table = table::csv(&file.text, delimiter, rows, is_whole)?;
    let mut facts = Facts::of(file);
    let (text, shown, is_cut) = head(&table.text, u64::MAX);
    // The heading is a line too.
    let rows = table.rows.min(shown.saturating_sub(1));
    facts.rows = Some(rows);
    facts.columns = Some(table.columns);
    facts.shown_columns = (table.shown_columns < table.columns).then_some(table.shown_columns);
    facts.is_cut = is_cut;
    if rows < table.rows {
        facts.next_line = Some(rows as u64 + 2);
    }
    facts.hint = facts.next_line.map(|next| {
        format!("Only the first rows: `lines` shows more of them, and line {next} reads on as plain lines. To compute with it, run code (pandas.read_csv).")
    });
    Some(reading(text, None, &facts))
}

fn show_json(file: &FileText) -> Option<CallToolResult> {
    let text = json::pretty(&file.text)?;
    let fits = text.chars().nth(TEXT_LIMIT).is_none();
    fits.then(|| reading(text, None, &Facts::of(file)))
}

fn tell_notebook(file: &FileText, notebook: &Notebook) -> CallToolResult {
    let (text, _, is_cut) = head(&notebook.text, u64::MAX);
    let is_cut = is_cut || notebook.is_cut || text.len() < notebook.text.len();
    let mut facts = Facts::of(file);
    // Of the JSON that it is, not of what is shown.
    (facts.first_line, facts.next_line) = (None, None);
    facts.cells = Some(notebook.cells);
    facts.is_cut = is_cut;
    facts.hint = is_cut.then(|| {
        "The notebook goes on: download_from_colab fetches it; `line` shows its JSON as plain lines.".to_owned()
    });
    reading(text, None, &facts)
}

/// As many whole lines as an answer holds, how many they are, and whether the only one of them was cut.
fn head(text: &str, lines: u64) -> (String, usize, bool) {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let (mut end, mut shown, mut characters) = (0, 0, 0);
    for line in text.split_inclusive('\n').take(lines) {
        characters += line.chars().count();
        if characters > TEXT_LIMIT {
            break;
        }
        (end, shown) = (end + line.len(), shown + 1);
    }
    if shown == 0 && !text.is_empty() {
        return (text.chars().take(TEXT_LIMIT).collect(), 1, true);
    }
    (text[..end].to_owned(), shown, false)
}
