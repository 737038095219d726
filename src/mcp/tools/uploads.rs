//! The tool for uploading files to the runtime.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::caller::Progress;
use crate::mcp::call;
use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::roots::roots;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::transfer::MAX_BYTES;
use crate::transfer::upload::{Request, UploadReport};

#[derive(Debug, Deserialize, JsonSchema)]
struct UploadArgs {
    /// Absolute, `~/…`, or relative to LOCAL_SAVE_DIR or a folder of UPLOAD_DIRS.
    local_path: String,
    /// Absolute or relative to the content root, the default. With a `/` at its end, or an existing folder for a file: the folder that it goes into
    /// under its own name; otherwise its new name.
    #[serde(default = "content_root")]
    remote_path: String,
    /// Refuse more before anything is sent; default 2 GiB (2147483648).
    max_bytes: Option<u64>,
}

fn content_root() -> String {
    "./".to_owned()
}

#[tool_router(router = upload_router)]
impl Server {
    #[tool(
        title = "Upload",
        input_schema = schema::input::<UploadArgs>(),
        description = "Copy a file or a whole folder from this computer to the runtime, such as data or code. Only from LOCAL_SAVE_DIR, the folders in \
            UPLOAD_DIRS, and the client's own folders. Resumes after lost connections, is checked by a digest, replaces the runtime's files of the \
            same name, and does not send unchanged content again. If the call must answer earlier, with status running, the upload goes on in the \
            background: get_output with its job_id waits for the rest.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn upload_to_colab(
        &self,
        Parameters(args): Parameters<UploadArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<UploadReport>, Fault> {
        let budget = self.budget(&context);
        let request = Request {
            local_path: args.local_path,
            remote_path: args.remote_path,
            max_bytes: args.max_bytes.unwrap_or(MAX_BYTES),
        };
        let report = call::run(self, &context, budget, async |call| {
            let roots = roots(&context).await;
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report);
            self.floors.uploads.upload(&request, &roots, &caller).await
        })
        .await;
        Ok(Report(report?))
    }
}

impl Server {
    pub(super) fn upload_tools() -> ToolRouter<Self> {
        Self::upload_router()
    }
}
