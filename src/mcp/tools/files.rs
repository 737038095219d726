//! Tools for listing and downloading the runtime's files.

use jiff::Timestamp;
use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::caller::Progress;
use crate::mcp::fault::Fault;
use crate::mcp::report::{List, MAX_LIST_BYTES, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::render::rows::{Rows, short_time};
use crate::runtime::{Files, ListQuery, RuntimeResult};
use crate::transfer::MAX_BYTES;
use crate::transfer::download::{DownloadReport, DownloadRequest};
use crate::wire::files::{FileEntry, FileList, FileType};

const DEFAULT_SHOWN: u64 = 200;
const MAX_SHOWN: u64 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
struct ListArgs {
    /// Absolute or relative to the content root; default: the root (`/content` on Colab).
    path: Option<String>,
    /// Only names that match, as `*.csv`.
    name: Option<String>,
    /// Rows, up to 1,000; default: what fits a page, up to 200.
    top: Option<u64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DownloadArgs {
    /// Absolute or relative to the content root.
    remote_path: String,
    /// Its name in the save folder, as `plots/loss.png`; default: the remote name.
    local_filename: Option<String>,
    /// Refuse more before anything is downloaded; default 2 GiB (2147483648).
    max_bytes: Option<u64>,
}

/// A listed folder.
#[derive(Debug, Serialize)]
struct FolderFacts {
    path: String,
    /// Entries in the folder whose names match.
    total: u64,
    next_cursor: Option<String>,
    hint: Option<String>,
}

#[tool_router(router = file_router)]
impl Server {
    #[tool(
        title = "List files",
        input_schema = schema::input::<ListArgs>(),
        description = "List the files in a folder of the runtime by name, with sizes and times (UTC), page by page. Use it to find what code has \
            written.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_colab_files(
        &self,
        Parameters(args): Parameters<ListArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<List<FolderFacts>, Fault> {
        let mut query = ListQuery {
            path: args.path.unwrap_or_default(),
            name: args.name,
            recursive: false,
            limit: args::top(args.top, MAX_SHOWN)?.unwrap_or(DEFAULT_SHOWN),
            cursor: args.cursor,
        };
        let budget = self.budget(&context);
        let most = match args.top {
            Some(_) => self.client(&context).list_bytes(),
            None => MAX_LIST_BYTES,
        };
        let list: RuntimeResult<_> = call::ask(self, &context, budget, async |call| {
            let until = self.connection().until(call.deadline);
            let list = until.list_files(&query).await?;
            let rows = rows(&list);
            let fitting = rows.fitting(most);
            if fitting == list.entries.len() {
                return Ok((list, rows));
            }
            // Only the runtime makes a cursor.
            query.limit = fitting as u64;
            let list = until.list_files(&query).await?;
            let rows = self::rows(&list);
            Ok((list, rows))
        })
        .await;
        let (list, rows) = list?;
        let hint = hint(&list, &query, args.top);
        Ok(List {
            table: rows.render(),
            facts: FolderFacts {
                path: list.path,
                total: list.total,
                next_cursor: list.next_cursor,
                hint,
            },
        })
    }

    #[tool(
        title = "Download",
        input_schema = schema::input::<DownloadArgs>(),
        description = "Copy a file or a whole folder from the runtime into the local save folder (LOCAL_SAVE_DIR). Resumes after lost connections and is \
            checked by a digest; an existing local file is kept and the new one gets another name; an identical one is only verified. Beside a \
            folder it writes NAME.sha256. If the call must answer earlier, with status running, the download goes on in the background: get_output \
            with its job_id waits for the rest.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn download_from_colab(
        &self,
        Parameters(args): Parameters<DownloadArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<DownloadReport>, Fault> {
        let budget = self.budget(&context);
        let request = DownloadRequest {
            remote_path: args.remote_path,
            local_filename: args.local_filename,
            max_bytes: args.max_bytes.unwrap_or(MAX_BYTES),
        };
        let report = call::run(self, &context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report);
            self.floors.downloads.download(&request, &caller).await
        })
        .await;
        Ok(Report(report?))
    }
}

/// Why there are fewer rows than the caller may expect.
fn hint(list: &FileList, query: &ListQuery, top: Option<u64>) -> Option<String> {
    let count = list.entries.len();
    match &query.name {
        Some(name) if list.total == 0 => Some(format!(
            "No name in this folder matches {name}. Case matters."
        )),
        _ if list.total == 0 => Some("The folder is empty.".to_owned()),
        _ if count == 0 && query.cursor.is_some() => Some(
            "Nothing follows this cursor: take `next_cursor` of the page before, or omit it to begin again."
                .to_owned(),
        ),
        _ if top.is_some_and(|top| (count as u64) < top) && list.next_cursor.is_some() => {
            Some(format!("There is room for {count} rows only: next_cursor lists the next ones."))
        }
        _ => None,
    }
}

fn rows(list: &FileList) -> Rows<4> {
    let now = Timestamp::now();
    let row = |entry: &FileEntry| {
        let (end, kind) = match entry.kind {
            FileType::File if entry.executable == Some(true) => ("", "program"),
            FileType::File => ("", ""),
            FileType::Directory => ("/", ""),
            FileType::Link => ("", "link"),
            FileType::Other => ("", "other"),
        };
        let size = (entry.kind == FileType::File).then(|| entry.size.to_string());
        [
            format!("{}{end}", entry.name),
            size.unwrap_or_default(),
            short_time(&entry.modified_at, now),
            kind.to_owned(),
        ]
    };
    let heading = ["name", "bytes", "modified", "kind"];
    Rows::new(heading, list.entries.iter().map(row))
}

impl Server {
    pub(super) fn file_tools() -> ToolRouter<Self> {
        Self::file_router()
    }
}
