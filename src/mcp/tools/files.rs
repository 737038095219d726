//! Files over there.

use std::sync::Arc;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::mcp::convert::Fault;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::runtime::{ListQuery, Runtime, RuntimeResult};
use crate::wire::files::FileList;

const PAGE: u64 = 200;
const LARGEST_PAGE: u64 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListArgs {
    /// A folder, absolute or relative to the content root; the root (`/content` on Colab) unless given.
    path: Option<String>,
    /// Entries a page, to 1,000; 200 unless given.
    #[serde(default, deserialize_with = "args::whole")]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[tool_router(router = file_router)]
impl Server {
    #[tool(
        title = "List files",
        description = "The files in a folder of the runtime, with sizes and times, a page at a time, sorted by name. Use it to find what code has \
            written before download_from_colab.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_colab_files(
        &self,
        Parameters(args): Parameters<ListArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<FileList>, Fault> {
        let limit = args.limit.unwrap_or(PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(Fault::invalid(format!(
                "limit is {limit}: it must be 1 to {LARGEST_PAGE}"
            )));
        }
        let query = ListQuery {
            path: args.path.unwrap_or_default(),
            recursive: false,
            limit,
            cursor: args.cursor,
        };
        let budget = self.budget(&context);
        let list: RuntimeResult<FileList> = call::run(self, &context, budget, async |call| {
            let query = &query;
            let question =
                |runtime: Arc<dyn Runtime>| async move { runtime.list_files(query).await };
            self.connection().ask(call.deadline, question).await
        })
        .await;
        Ok(Json(list?))
    }
}

impl Server {
    pub(super) fn file_tools() -> ToolRouter<Self> {
        Self::file_router()
    }
}
