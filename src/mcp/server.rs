//! The server's identity and capabilities, and the one place that every call passes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rmcp::handler::server::tool::{ToolCallContext, ToolRouter};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CustomRequest, CustomResult,
    ErrorCode, Implementation, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities,
    ServerConfig, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::arguments;
use super::clients::Client;
use super::fault::Fault;
use super::floors::Floors;
use super::kernels;
use super::left::Left;
use super::methods;
use super::reply;
use super::resources::Resources;
use crate::base::ids::JobId;
use crate::connection::Connection;

/// Characters of an unknown tool's name that are quoted.
const MAX_SHOWN: usize = 100;
const INSTRUCTIONS: &str = "Runs Python on a Google Colab runtime or another machine, in a kernel that keeps its variables between calls. \
    Short code: run_code_quick. Anything that may take more than a minute: run_code_long. Loops of many steps that must survive \
    disconnects: run_chunked_operation. A call always returns in time: unfinished code keeps running, and get_output with its job_id \
    shows further output. Errors have a code and a hint that says what to do next.";

/// The MCP server. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(super) floors: Arc<Floors>,
    pub(super) resources: Arc<Resources>,
    pub(super) left: Arc<Left>,
    router: Arc<ToolRouter<Self>>,
    /// Cancelled when the client has disconnected or this process ends: calls that end then were not cancelled by the client.
    leaving: CancellationToken,
}

impl Server {
    #[must_use]
    pub fn new(floors: Floors) -> Self {
        let floors = Arc::new(floors);
        Self {
            resources: Arc::new(Resources::new(floors.clone())),
            floors,
            left: Arc::default(),
            router: Arc::new(Self::all_tools()),
            leaving: CancellationToken::new(),
        }
    }

    /// Makes `leaving` the token of the server's end.
    #[must_use]
    pub(super) fn ending_with(self, leaving: CancellationToken) -> Self {
        Self { leaving, ..self }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Cancelled when the client has disconnected.
    pub(super) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.floors.connection
    }

    /// How long this client's calls may take; the user's setting has priority.
    pub(super) fn budget(&self, context: &RequestContext<RoleServer>) -> Duration {
        let configured = self.floors.call_budget;
        configured.unwrap_or_else(|| self.client(context).call_budget)
    }

    /// What this client allows.
    pub(super) fn client(&self, context: &RequestContext<RoleServer>) -> Client {
        let client = context.client_info().map(|info| info.name);
        Client::of(client.as_deref(), &context.meta)
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .build();
        let mut info = ServerConfig::new(capabilities);
        info.server_info =
            Implementation::new("smart-colab", env!("CARGO_PKG_VERSION")).with_title("smart-colab");
        info.instructions = Some(INSTRUCTIONS.to_owned());
        info
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.announce_tools(context.peer);
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.router.list_all()))
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.answer_list(request, context).await
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(self.answer_templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.answer_read(request, context).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.answer_subscribe(request, context).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.resources.unsubscribe(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(self.resources.accepted(requested))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.answer_listen(context).await;
        Ok(())
    }

    /// Answers a request that rmcp does not know, or knows and cannot read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let unknown = |method| ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None);
        Err(methods::unreadable(&request.method).unwrap_or_else(|| unknown(request.method)))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.router.get(name).cloned()
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let span = tracing::info_span!("call", tool = %request.name, execution = %JobId::fresh());
        let name = request.name.clone();
        let Some(tool) = self.router.get(&request.name) else {
            return Err(self.unknown_tool(&request.name));
        };
        let arguments = request.arguments.get_or_insert_default();
        let ignored = match arguments::fit_to_schema(tool, arguments) {
            Ok(ignored) => ignored,
            Err(fault) => return Ok(CallToolResult::from(fault).into()),
        };
        if let Err(fault) = kernels::resolve(arguments, self.connection()).await {
            return Ok(CallToolResult::from(fault).into());
        }
        let cancelled = context.ct.clone();
        let call = self
            .router
            .call(ToolCallContext::new(self, request, context));
        // rmcp sends no answer when a tool panics.
        let answer = AssertUnwindSafe(call).catch_unwind().instrument(span).await;
        self.resources.check_list();
        match answer {
            Ok(Ok(CallToolResponse::Complete(mut result))) => {
                arguments::note_ignored(&mut result, tool, &ignored);
                // The reply to a cancelled call is not sent.
                if !cancelled.is_cancelled() {
                    self.left.name_in(&mut result);
                    self.tell_of_limits(&mut result);
                }
                Ok(result.into())
            }
            Ok(answer) => answer,
            Err(_) => {
                tracing::error!(tool = %name, "a tool panicked");
                Ok(CallToolResult::from(Fault::internal(&name)).into())
            }
        }
    }
}

impl Server {
    /// Says what happens to machines that have a limit.
    fn tell_of_limits(&self, result: &mut CallToolResult) {
        let news = self.floors.lease.news();
        let news: Vec<String> = news.iter().map(ToString::to_string).collect();
        if !news.is_empty() {
            reply::note(result, "machine_limit", news.join(" "));
        }
    }

    fn unknown_tool(&self, name: &str) -> ErrorData {
        let tools = self.router.list_all();
        let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
        let meant = methods::closest(name, names.iter().copied());
        let meant = meant.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        let shown: String = name.chars().take(MAX_SHOWN).collect();
        let message = format!(
            "there is no tool {shown:?}{meant}: there are {}",
            names.join(", ")
        );
        ErrorData::invalid_params(message, None)
    }
}
