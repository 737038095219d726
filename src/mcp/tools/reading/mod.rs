//! The tool for reading a file on the runtime by its format; `words`: the sentences about it.

mod words;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::path::PathBuf;

use crate::base::fault::Fault as _;
use crate::jobs::body::Picture;
use crate::mcp::call;
use crate::mcp::clients::Client;
use crate::mcp::convert;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::reading::page::{Facts, Page};
use crate::reading::{self, MAX_LINES, MAX_TEXT_CHARS, Wanted};

#[derive(Debug, Deserialize, JsonSchema)]
struct ReadArgs {
    /// A file, absolute or relative to the content root.
    path: String,
    /// Start at this line and show plain lines: 1 is the first, -1 the last, -100 the hundredth from the end.
    line: Option<i64>,
    /// Maximum number of lines, up to 10,000, or of table rows; default 200 (20 rows).
    lines: Option<u64>,
}

/// The first line of an answer.
#[derive(Debug, Serialize)]
struct Line<'a> {
    success: bool,
    #[serde(flatten)]
    refusal: Option<Refusal<'a>>,
    #[serde(flatten)]
    facts: &'a Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// As every failed call has it.
#[derive(Debug, Serialize)]
struct Refusal<'a> {
    code: &'a str,
    error: &'a str,
    retryable: bool,
}

#[tool_router(router = reading_router)]
impl Server {
    #[tool(
        title = "Read file",
        input_schema = schema::input::<ReadArgs>(),
        description = "Read a file on the runtime without downloading it: text by lines (a negative `line` reads the end of a log), CSV as a table of \
            its first rows, JSON indented, a notebook as its cells and their text, PNG, JPEG, GIF, WebP, BMP and SVG as a picture; Parquet, \
            Feather, NumPy, HDF5, SQLite, zip, tar and gzip by schema, first rows or listing. The first line is JSON with size_bytes, mime, total_lines and next_line: pass that as `line` to read on. With `line` any text is shown as \
            plain lines. To get the whole file use download_from_colab; to compute with it, run code that opens it.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn read_colab_file(
        &self,
        Parameters(args): Parameters<ReadArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        if let Some(lines) = args.lines
            && !(1..=MAX_LINES).contains(&lines)
        {
            return Err(Fault::invalid(format!(
                "lines is {lines}: it must be 1 to {MAX_LINES}"
            )));
        }
        if args.line == Some(0) {
            return Err(Fault::invalid(
                "line is 0: the first line is 1, the last is -1",
            ));
        }
        let wanted = Wanted {
            path: args.path,
            line: args.line,
            lines: args.lines,
            room: self.client(&context).room(MAX_TEXT_CHARS),
        };
        let budget = self.budget(&context);
        let page = call::ask(self, &context, budget, async |call| {
            let files = self.connection().until(call.deadline);
            reading::look(&files, &wanted, call.deadline).await
        });
        page.await
            .map(|page| answer(page, self.client(&context)))
            .map_err(|error| match error.code() {
                "is_a_directory" => {
                    Fault::from(error).first("list_colab_files with this path shows its content.")
                }
                "not_found" => {
                    Fault::from(error).first("list_colab_files shows the existing files.")
                }
                _ => Fault::from(error),
            })
    }
}

impl Server {
    pub(super) fn reading_tools() -> ToolRouter<Self> {
        Self::reading_router()
    }
}

fn answer(page: Page, client: Client) -> CallToolResult {
    let (facts, notes) = (&page.facts, &page.notes);
    let said = notes.iter().find_map(|note| words::text(note, facts));
    let text = match said {
        Some(said) if !page.text.is_empty() => format!("{said}\n{}", page.text),
        Some(said) => said,
        None => page.text,
    };
    let refused = page.refusal.as_ref();
    let hints = (refused.map(|problem| problem.hint.clone()).into_iter())
        .chain(notes.iter().filter_map(|note| words::hint(note, facts)));
    let hints: Vec<String> = hints.collect();
    let line = Line {
        success: refused.is_none(),
        refusal: refused.map(|problem| Refusal {
            code: &problem.code,
            error: &problem.detail,
            retryable: problem.retryable,
        }),
        facts,
        hint: (!hints.is_empty()).then(|| hints.join(" ")),
    };
    let path = PathBuf::from(&facts.path);
    let picture = page.picture.map(|fitted| Picture {
        fitted,
        path,
        at: 0,
    });
    convert::reading(text, picture, &line, refused.is_some(), client)
}
