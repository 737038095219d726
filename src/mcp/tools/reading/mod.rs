//! Looking into a file over there, as what it is: text, a table, a notebook, a picture. Here: what is read of it; `show`: what is made of that;
//! `binary`: what opens the others.

mod binary;
mod show;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use self::show::Facts;
use crate::mcp::call;
use crate::mcp::convert::reading;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::render::notebook;
use crate::render::picture::{self, PictureError};
use crate::render::table::{self, Table};
use crate::runtime::{ReadQuery, Runtime, RuntimeResult};
use crate::wire::files::FileText;

const LINES: u64 = 200;
const MOST_LINES: u64 = 10_000;
/// Of a table.
const ROWS: u64 = 20;
/// Of text fetched at once.
const MAX_BYTES: u64 = 64 * 1024;
/// Of a table with rows so long that few of them fit in that.
const MAX_TABLE_BYTES: u64 = 1024 * 1024;
/// Characters of text in one answer: 40,000 with the line of facts.
const TEXT_LIMIT: usize = 39_000;
/// Pictures and notebooks beyond are not fetched to be looked at.
const LARGEST: u64 = 20 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
struct ReadArgs {
    /// A file, absolute or relative to the content root.
    path: String,
    /// Begin at this line and show plain lines: 1 is the first, -1 the last, -100 the hundredth from the end.
    line: Option<i64>,
    /// At most so many lines, to 10,000, or rows of a table; 200 (20 rows) unless given.
    lines: Option<u64>,
}

/// What a file is shown as where no line is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Table { delimiter: Option<char> },
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
        let named = Form::of_name(&args.path);
        let lines = args.lines.unwrap_or(LINES);
        let wanted = match named {
            // A row may have many lines, and only a whole JSON can be indented.
            Form::Table { .. } | Form::Json if args.line.is_none() => MOST_LINES,
            Form::Table { .. } | Form::Json | Form::Lines | Form::Notebook => lines,
        };
        let file = self.read(args, wanted, MAX_BYTES, deadline).await?;
        let as_lines = args.line.is_some() && file.is_text;
        if picture::is_picture(&file.mime) && !as_lines {
            return self.show_picture(file, deadline).await;
        }
        if !file.is_text {
            return Ok(show::show_binary(&file));
        }
        let form = named.or_of_mime(&file.mime);
        let shown = match form {
            _ if as_lines => None,
            Form::Table { delimiter } => self.show_table(&file, args, delimiter, deadline).await?,
            Form::Json => show::show_json(&file, is_whole(&file)),
            Form::Notebook if file.size <= LARGEST => self.show_notebook(&file, deadline).await?,
            Form::Notebook | Form::Lines => None,
        };
        let note = if as_lines { None } else { form.note() };
        Ok(shown.unwrap_or_else(|| show::show_lines(&file, lines, note)))
    }

    /// The text without a byte order mark.
    async fn read(
        &self,
        args: &ReadArgs,
        lines: u64,
        max_bytes: u64,
        deadline: Instant,
    ) -> RuntimeResult<FileText> {
        let query = &ReadQuery {
            path: args.path.clone(),
            line: args.line.unwrap_or(1),
            lines,
            max_bytes,
        };
        let read = |runtime: Arc<dyn Runtime>| async move { runtime.read_file(query).await };
        let mut file = self.connection().ask(deadline, read).await?;
        // Older executors leave it there.
        if file.first_line == Some(1) && file.text.starts_with('\u{feff}') {
            file.text.remove(0);
        }
        Ok(file)
    }

    async fn show_table(
        &self,
        file: &FileText,
        args: &ReadArgs,
        delimiter: Option<char>,
        deadline: Instant,
    ) -> RuntimeResult<Option<CallToolResult>> {
        let rows = usize::try_from(args.lines.unwrap_or(ROWS)).unwrap_or(usize::MAX);
        let parse = |file: &FileText| table::csv(&file.text, delimiter, rows, is_whole(file));
        let table = parse(file);
        let is_enough = |table: &Table| table.rows >= rows || table.text.len() > TEXT_LIMIT;
        if is_whole(file) || table.as_ref().is_some_and(is_enough) {
            return Ok(table.map(|table| show::show_table(file, &table)));
        }
        let more = self
            .read(args, MOST_LINES, MAX_TABLE_BYTES, deadline)
            .await?;
        let table = parse(&more).filter(|_| !more.is_cut);
        Ok(table.map(|table| show::show_table(&more, &table)))
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
        Ok(notebook.map(|notebook| show::show_notebook(file, &notebook)))
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

/// Nothing precedes or follows the text.
fn is_whole(file: &FileText) -> bool {
    file.first_line == Some(1) && file.next_line.is_none() && !file.is_cut
}

impl Form {
    /// Why a file of this form is shown as lines.
    fn note(self) -> Option<&'static str> {
        match self {
            Self::Json => Some("It is no JSON, or too long to be indented here."),
            Self::Notebook => Some(
                "It is shown as text, for it is no notebook, is being written, or is larger than 20 MB.",
            ),
            Self::Table { .. } | Self::Lines => None,
        }
    }

    fn of_name(path: &str) -> Self {
        let name = path.to_ascii_lowercase();
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "csv" => Self::Table { delimiter: None },
            "psv" => Self::Table {
                delimiter: Some('|'),
            },
            "tsv" | "tab" => Self::Table {
                delimiter: Some('\t'),
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
                delimiter: Some('\t'),
            },
            (Self::Lines, "application/json") => Self::Json,
            (Self::Lines, "application/x-ipynb+json") => Self::Notebook,
            (form, _) => form,
        }
    }
}
