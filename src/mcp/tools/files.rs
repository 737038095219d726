//! Tools for listing and downloading the runtime's files.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::caller::Progress;
use crate::mcp::call;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::words::Worded;
use crate::runtime::{Files, ListQuery, RuntimeResult};
use crate::transfer::MAX_BYTES;
use crate::transfer::download::{DownloadReport, DownloadRequest};
use crate::wire::files::FileList;

const DEFAULT_PAGE_SIZE: u64 = 200;
const MAX_PAGE_SIZE: u64 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
struct ListArgs {
    /// A folder, absolute or relative to the content root; default: the root (`/content` on Colab).
    path: Option<String>,
    /// Entries per page, up to 1,000; default 200.
    limit: Option<u64>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DownloadArgs {
    /// The file or folder on the runtime, absolute or relative to the content root.
    remote_path: String,
    /// Its name in the local save folder, such as `plots/loss.png`; default: the remote name.
    local_filename: Option<String>,
    /// Refuse a larger file or folder; default 2147483648 bytes (2 GiB).
    max_bytes: Option<u64>,
}

#[tool_router(router = file_router)]
impl Server {
    #[tool(
        title = "List files",
        input_schema = schema::input::<ListArgs>(),
        output_schema = schema::output::<FileList>(),
        description = "List the files in a folder of the runtime, with sizes and times, one page at a time, sorted by name. Use it to find files that \
            code has written, for download_from_colab.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_colab_files(
        &self,
        Parameters(args): Parameters<ListArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<FileList>, Fault> {
        let limit = args.limit.unwrap_or(DEFAULT_PAGE_SIZE);
        if !(1..=MAX_PAGE_SIZE).contains(&limit) {
            return Err(Fault::invalid(format!(
                "limit is {limit}: it must be 1 to {MAX_PAGE_SIZE}"
            )));
        }
        let query = ListQuery {
            path: args.path.unwrap_or_default(),
            recursive: false,
            limit,
            cursor: args.cursor,
        };
        let budget = self.budget(&context);
        let list: RuntimeResult<FileList> = call::ask(self, &context, budget, async |call| {
            let until = self.connection().until(call.deadline);
            until.list_files(&query).await
        })
        .await;
        Ok(Json(list?))
    }

    #[tool(
        title = "Download",
        input_schema = schema::input::<DownloadArgs>(),
        output_schema = schema::output::<DownloadReport>(),
        description = "Copy a file or a whole folder from the runtime to this computer, into the folder for downloads (LOCAL_SAVE_DIR) and \
            nowhere else. Survives lost connections, resumes where it stopped, and is checked by SHA-256; an existing local file is kept and the new \
            one gets another name; an identical file is only verified. Beside a folder it writes NAME.sha256, for sha256sum -c. More than \
            max_bytes (default 2 GiB) is refused before anything is downloaded. If the call must answer earlier, with status running, the \
            download continues in the background: \
            get_output with its job_id waits for the rest.",
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
    ) -> Result<Json<Worded<DownloadReport>>, Fault> {
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
        Ok(Json(Worded(report?)))
    }
}

impl Server {
    pub(super) fn file_tools() -> ToolRouter<Self> {
        Self::file_router()
    }
}
