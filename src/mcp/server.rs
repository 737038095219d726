//! The server's identity and capabilities, and the one place that every call passes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::tool::{ToolCallContext, ToolRouter};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
    CustomRequest, CustomResult, ErrorCode, GetPromptRequestParams, GetPromptResponse,
    Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ServerCapabilities, ServerConfig, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::arguments;
use super::clients::Client;
use super::consent::{Open, Round};
use super::fault::Fault;
use super::instructions::instructions;
use super::kernels::Named;
use super::left::Left;
use super::methods;
use super::reply;
use super::resources::Resources;
use super::settle::{Began, Settled};
use super::tools::mirrors;
use crate::base::ids::JobId;
use crate::connection::Connection;
use crate::edge::toolsets::Toolset;
use crate::floors::Floors;

/// The MCP server. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(super) floors: Arc<Floors>,
    pub(super) resources: Arc<Resources>,
    pub(super) left: Arc<Left>,
    pub(super) open: Arc<Open>,
    named: Arc<Named>,
    router: Arc<ToolRouter<Self>>,
    pub(super) prompts: Arc<PromptRouter<Self>>,
    /// Cancelled when the client has disconnected or this process ends: calls that end then were not cancelled by the client.
    leaving: CancellationToken,
}

impl Server {
    #[must_use]
    pub fn new(floors: Floors) -> Self {
        let floors = Arc::new(floors);
        Self {
            resources: Arc::new(Resources::new(floors.clone())),
            router: Arc::new(Self::offered_tools(&floors.toolsets)),
            prompts: Arc::new(Self::offered_prompts(&floors.toolsets)),
            floors,
            left: Arc::default(),
            open: Arc::default(),
            named: Arc::default(),
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
            .enable_prompts()
            .enable_completions()
            .build();
        let mut info = ServerConfig::new(capabilities);
        info.server_info =
            Implementation::new("smart-colab", env!("CARGO_PKG_VERSION")).with_title("smart-colab");
        info.instructions = Some(instructions(&self.floors.toolsets));
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

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(self.prompts()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.answer_prompt(request, context).await
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(CompleteResult::new(self.completions(&request).await))
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
        mut context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.router.get(&request.name) else {
            return self.refuse_tool(&request.name);
        };
        let arguments = request.arguments.get_or_insert_default();
        let ignored = match arguments::fit_to_schema(tool, arguments) {
            Ok(ignored) => ignored,
            Err(fault) => return Ok(CallToolResult::from(fault).into()),
        };
        if let Err(fault) = self.named.resolve(arguments, self.connection()).await {
            return Ok(CallToolResult::from(fault).into());
        }
        if let Some(round) = Round::of(&request) {
            context.extensions.insert(round);
        }
        if let Some(client) = context.client_info() {
            let name = client.title.unwrap_or(client.name);
            self.floors.documents.appear_for(&name);
        }
        context.extensions.insert(Began(Instant::now()));
        let answer = match self.resume(&request, &context).await {
            Some(answer) => answer?,
            None => self.dispatch_settled(&request, &context).await?,
        };
        let answer = self.converse(&request, &context, answer).await?;
        let CallToolResponse::Complete(mut result) = answer else {
            return Ok(answer);
        };
        arguments::note_ignored(&mut result, tool, &ignored);
        self.named.name_in(&mut result);
        // The reply to a cancelled call is not sent.
        if !context.ct.is_cancelled() {
            self.left.name_in(&mut result);
            self.tell_of_limits(&mut result);
            self.tell_of_mirrors(&mut result);
            self.tell_of_age(&mut result);
        }
        Ok(result.into())
    }
}

impl Server {
    /// Runs a tool, again if the user has settled what kept it from running.
    async fn dispatch_settled(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.dispatch(request.clone(), context.clone()).await?;
        let CallToolResponse::Complete(result) = answer else {
            return Ok(answer);
        };
        match self.settle(context, result).await {
            Settled::Again => self.dispatch(request.clone(), context.clone()).await,
            Settled::Answer(answer) => Ok(*answer),
        }
    }

    /// Runs a tool.
    pub(super) async fn dispatch(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let span = tracing::info_span!("call", tool = %request.name, execution = %JobId::fresh());
        let name = request.name.clone();
        let call = self
            .router
            .call(ToolCallContext::new(self, request, context));
        // rmcp sends no answer when a tool panics.
        let answer = AssertUnwindSafe(call).catch_unwind().instrument(span).await;
        self.resources.check_list();
        match answer {
            Ok(answer) => answer,
            Err(_) => {
                tracing::error!(tool = %name, "a tool panicked");
                Ok(CallToolResult::from(Fault::internal(&name)).into())
            }
        }
    }

    /// Says what happens to machines that have a limit.
    fn tell_of_limits(&self, result: &mut CallToolResult) {
        let news = self.floors.lease.news();
        let news: Vec<String> = news.iter().map(ToString::to_string).collect();
        if !news.is_empty() {
            reply::note(result, "machine_limit", news.join(" "));
        }
    }

    /// Warns before Colab ends a machine.
    fn tell_of_age(&self, result: &mut CallToolResult) {
        let age = self.floors.connection.machine_age();
        let Some(left) = age.and_then(|age| self.floors.lifetime.warning(age)) else {
            return;
        };
        let left = match left.as_secs().div_ceil(60) {
            0 => "it may end at any moment".to_owned(),
            minutes @ 1..60 => format!("about {minutes} min may be left"),
            minutes => format!("about {} h may be left", minutes.div_ceil(60)),
        };
        let said = format!(
            "Colab ends free machines after 12 hours at most, and {left}: save variables and files that must last, such as with mirror_folder or download_from_colab."
        );
        reply::note(result, "machine_age", said);
    }

    /// Says which mirrors have lost their runtime.
    fn tell_of_mirrors(&self, result: &mut CallToolResult) {
        let news = self.floors.mirrors.news();
        let news = news.iter().map(|report| {
            let remote = &report.remote_path;
            format!("The mirror of {remote}: {}", mirrors::said(report))
        });
        let news: Vec<String> = news.collect();
        if !news.is_empty() {
            reply::note(result, "mirrors", news.join(" "));
        }
    }

    /// The answer to a call of a tool that is not offered.
    fn refuse_tool(&self, name: &str) -> Result<CallToolResponse, ErrorData> {
        let mut toolsets = Toolset::ALL.iter().copied();
        let toolset = toolsets.find(|toolset| Self::tools_of(*toolset).has_route(name));
        if let Some(toolset) = toolset {
            let fault = Fault::new(
                "switched_off",
                format!(
                    "the user's settings switch {name} off, with the toolset {}",
                    toolset.name()
                ),
                "Do without it, or ask the user to change SMART_COLAB_TOOLSETS in the client's config and to restart the client. Nothing was done.",
                false,
            );
            return Ok(CallToolResult::from(fault).into());
        }
        let tools = self.router.list_all();
        let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
        Err(methods::unknown_name("tool", name, &names))
    }
}
