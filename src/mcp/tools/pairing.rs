//! The tool for switching to another runtime without a restart.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connection::ConnectionReport;
use crate::connection::{Switched, check_timeout};
use crate::edge::settings::{Kind, endpoint};
use crate::mcp::call;
use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::schema;
use crate::mcp::server::Server;

#[derive(Deserialize, JsonSchema)]
struct ConnectArgs {
    /// The line, or the address alone.
    url: String,
    /// The token, if it is not in `url`.
    token: Option<String>,
}

/// The new connection.
#[derive(Debug, Serialize)]
struct PairingReport {
    #[serde(flatten)]
    connection: ConnectionReport,
    /// Whether later starts on this computer use it too.
    saved: bool,
    /// Notes for the user.
    notes: Vec<String>,
}

#[tool_router(router = pairing_router)]
impl Server {
    #[tool(
        title = "Connect to a runtime",
        input_schema = schema::input::<ConnectArgs>(),
        description = "Connect to a Colab runtime by the line that its notebook prints (https://…#TOKEN), or to a Jupyter Server (jupyter+https://…?token=TOKEN). \
            Effective at once, and saved. Use only an address that the user gave: all code is sent there. If it does not answer, \
            nothing changes.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = true
        )
    )]
    async fn connect_colab(
        &self,
        Parameters(args): Parameters<ConnectArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<PairingReport>, Fault> {
        if args.url.trim().eq_ignore_ascii_case("local") {
            return Err(Fault::new(
                "invalid_argument",
                "only the user can choose to compute on this machine, in the client's config",
                "Ask the user to set COLAB_URL to `local` in the client's config for smart-colab and restart the client. Nothing was changed.",
                false,
            ));
        }
        let endpoint = endpoint(&args.url, args.token.as_deref())
            .map_err(|fault| Fault::invalid(format!("url {fault}")))?;
        let budget = self.budget(&context).min(check_timeout(&endpoint));
        let (url, connection) = (endpoint.address(), self.connection());
        let before = connection.place();
        let switched = call::ask(self, &context, budget, async |call| {
            call.say(match endpoint.kind {
                Kind::Executor => "asking the executor",
                Kind::Jupyter => "starting an executor through the Jupyter Server",
                Kind::Machine => "starting an executor on the machine",
            });
            connection.switch(endpoint, call.deadline).await
        })
        .await;
        let Switched { checked, saved } = switched
            .map_err(|error| Fault::from(error).first("The connection was not changed."))?;
        let mut notes = Vec::new();
        if let Err(error) = &saved {
            notes.push(format!(
                "it could not be saved, so later starts will not use it: {error}"
            ));
        } else if connection.is_configured() && before.as_deref() != Some(&*url) {
            notes.push(
                "COLAB_URL is set in the client's config and is tried first at the next start: to keep this connection, the user has to remove it there."
                    .to_owned(),
            );
        }
        Ok(Report(PairingReport {
            connection: ConnectionReport::connected(url, checked),
            saved: saved.is_ok(),
            notes,
        }))
    }
}

impl Server {
    pub(super) fn pairing_tools() -> ToolRouter<Self> {
        Self::pairing_router()
    }
}
