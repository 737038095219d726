//! Tools for the notebook that is open in a tab of Colab. The first one is named and answers as in Google's colab-mcp.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject, Tool};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::base::advice::Advice;
use crate::base::text::Excerpt;
use crate::browser::{Browser, Heard, TabError};
use crate::caller::DEFAULT_CHARS;
use crate::document::TAB;
use crate::edge::opener;
use crate::mcp::call::{self, Call};
use crate::mcp::fault::Fault;
use crate::mcp::reply::{Shown, reply};
use crate::mcp::report::{List, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;

/// For the user to confirm the browser's dialogs, within one call.
const PATIENCE: Duration = Duration::from_secs(60);
/// Left of a call's time for its answer.
const RESERVE: Duration = Duration::from_secs(2);
/// Steps of the progress.
const STEPS: f64 = 3.0;

#[derive(Debug, Deserialize, JsonSchema)]
struct OpenTabArgs {
    /// Its address in the browser; default the last one, at first an empty notebook.
    notebook_url: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CallTabArgs {
    /// From list_colab_tools.
    name: String,
    /// As its schema says.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    arguments: Option<JsonObject>,
}

/// Whether a tab is connected.
#[derive(Debug, Serialize)]
struct TabReport {
    success: bool,
    /// As in colab-mcp.
    result: bool,
    /// `connected`, or `waiting`.
    state: &'static str,
    /// The name of its notebook in other calls.
    notebook: Option<&'static str>,
    /// For a browser that could not be opened from here.
    address: Option<String>,
    /// For the dialog of a notebook that is open already.
    token_and_port: Option<String>,
    hint: Option<Advice>,
}

#[derive(Debug, Serialize)]
struct ToolsFacts {
    success: bool,
    tools: usize,
}

#[derive(Debug, Serialize)]
struct AnswerFacts {
    success: bool,
    tool: String,
}

#[tool_router(router = tab_router)]
impl Server {
    #[tool(
        title = "Connect to a Colab tab",
        input_schema = schema::input::<OpenTabArgs>(),
        description = "Open a notebook in Colab in the user's browser and connect to it: the cell tools then work there, before the user's eyes. The \
            user must confirm a dialog; `state` waiting means that it is not confirmed yet.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = true)
    )]
    async fn open_colab_browser_connection(
        &self,
        Parameters(args): Parameters<OpenTabArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<TabReport>, Fault> {
        let (budget, notebook) = (self.budget(&context), args.notebook_url);
        let opened = call::run(self, &context, budget, async |call| {
            call.await_turn().await;
            let (cancelled, gone) = (call.cancelled.clone(), call.gone.clone());
            tokio::select! {
                biased;
                report = self.open_tab(notebook.as_deref(), &call) => report,
                () = cancelled.cancelled() => Err(left()),
                () = gone.cancelled() => Err(left()),
            }
        });
        Ok(Report(opened.await?))
    }

    #[tool(
        title = "List the Colab tab's tools",
        description = "List what the connected Colab tab can do, with the arguments: for call_colab_tool.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_colab_tools(&self) -> Result<CallToolResult, Fault> {
        let tab = self.floors.browser.tab().ok_or(TabError::NotConnected)?;
        let tools = tab.tools();
        let described: Vec<String> = tools.iter().map(described).collect();
        let facts = ToolsFacts {
            success: true,
            tools: tools.len(),
        };
        let table = described.join("\n");
        Ok(List { facts, table }.into())
    }

    #[tool(
        title = "Call a tool of the Colab tab",
        input_schema = schema::input::<CallTabArgs>(),
        description = "Call a tool of the connected Colab tab that the cell tools do not cover.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn call_colab_tool(
        &self,
        Parameters(args): Parameters<CallTabArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let tab = self.floors.browser.tab().ok_or(TabError::NotConnected)?;
        let (budget, client) = (self.budget(&context), self.client(&context));
        let (tool, arguments) = (args.name, args.arguments.unwrap_or_default());
        let answered = call::run(self, &context, budget, async |call| {
            call.await_turn().await;
            let hear = |heard: Heard| {
                let said = heard.message.as_deref().unwrap_or_default();
                call.step(heard.done, heard.total, said);
            };
            let until = call.deadline - RESERVE;
            tab.call(&tool, arguments, until, &call.cancelled, &hear)
                .await
        });
        let answer = answered.await?;
        let text = match answer.as_str() {
            Some(text) => text.to_owned(),
            None => answer.to_string(),
        };
        let mut shown = Excerpt::within(client.room(DEFAULT_CHARS));
        shown.push(&text);
        let facts = AnswerFacts {
            success: true,
            tool,
        };
        Ok(reply(&facts, Shown::text(shown.render(), false), client))
    }
}

impl Server {
    pub(super) fn tab_tools() -> ToolRouter<Self> {
        Self::tab_router()
    }

    async fn open_tab(&self, notebook: Option<&str>, call: &Call) -> Result<TabReport, TabError> {
        let (browser, documents) = (&self.floors.browser, &self.floors.documents);
        let step = |done, said: &str| call.step(done, Some(STEPS), said);
        let invitation = browser.invite(notebook).await?;
        documents.open_tab();
        if browser.tab().is_some() {
            return Ok(TabReport {
                hint: second_tab(browser).map(Advice::from),
                ..connected()
            });
        }
        step(1.0, "no tab of Colab is connected yet");
        let mut is_shown = true;
        if let Some(door) = invitation.door {
            let program = self.floors.opener.clone();
            let opening = spawn_blocking(move || opener::open(&door, program.as_deref()));
            if let Ok(Err(error)) = opening.await {
                tracing::info!(%error, "no browser could be opened");
                browser.note_unopened();
                is_shown = false;
            }
        }
        let until = (call.deadline - RESERVE).min(Instant::now() + PATIENCE);
        let seconds = until.saturating_duration_since(Instant::now()).as_secs();
        let waiting = format!("waiting up to {seconds} s for the tab of Colab");
        step(2.0, &waiting);
        if is_shown && browser.tab_by(until).await.is_some() {
            step(3.0, "the tab of Colab is connected");
            return Ok(connected());
        }
        step(3.0, "no tab of Colab has connected yet");
        let hint = if !is_shown {
            "No browser could be opened from here. Ask the user to open `address` (it holds a secret: only for this user's own browser), or, in a \
             notebook that is open in Colab, to run \"Connect to a local Colab MCP server\" from the command palette and paste `token_and_port`; on \
             another computer, the port must be forwarded to it. Then call again."
        } else if browser.is_greeting() {
            "A tab has connected and does not answer: ask the user to reload it. Then call again."
        } else if browser.is_blocked() {
            "A browser connected and sent nothing: it keeps pages from the local network. Ask the user to allow \"Local network access\" for \
             colab.research.google.com in the site's settings (the icon beside the address), and to reload the tab. Then call again."
        } else {
            "Ask the user to confirm the dialog \"Connect to a local Colab MCP server\" in the browser's tab, and the browser's own question about \
             the local network. Then call again: it is not opened a second time. If there is no such tab, `address` opens it."
        };
        Ok(TabReport {
            result: false,
            state: "waiting",
            notebook: None,
            address: Some(invitation.address.to_string()),
            token_and_port: Some(invitation.pair),
            hint: Some(hint.into()),
            ..connected()
        })
    }
}

fn connected() -> TabReport {
    TabReport {
        success: true,
        result: true,
        state: "connected",
        notebook: Some(TAB),
        address: None,
        token_and_port: None,
        hint: None,
    }
}

/// Why a second tab is not connected, and how it would be; none if there was none.
pub(super) fn second_tab(browser: &Browser) -> Option<String> {
    let seconds = browser.turned_away()?.elapsed().as_secs();
    Some(format!(
        "Another tab has tried to connect, {seconds} s ago, and was turned away: this server works in one tab at a time. To work in that one, ask the user to \
         close the connected tab and reload the other, or call open_colab_browser_connection with its notebook_url. A second client works in a tab of its own."
    ))
}

/// The client no longer waits; the tab can still connect.
fn left() -> TabError {
    let tool = "open_colab_browser_connection".to_owned();
    TabError::Cancelled { tool }
}

fn described(tool: &Tool) -> String {
    let arguments = tool.input_schema.get("properties");
    let arguments = arguments.map_or_else(|| "{}".to_owned(), Value::to_string);
    let said = tool.description.as_deref().unwrap_or_default();
    format!("{}: {said} {arguments}", tool.name)
}
