//! The tool for listing variables.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::fault::Fault;
use crate::mcp::report::{List, MAX_LIST_BYTES};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::render::rows::{Rows, shorten};
use crate::runtime::{RuntimeResult, Sessions};
use crate::wire::session::{Variable, VariableSource, Variables};

const MAX_VARIABLES: u64 = 500;
/// Characters of a value, in a list and where some are named.
const VALUE_CHARS: usize = 60;
const MAX_VALUE_CHARS: usize = 200;
/// Room for the names of variables that have no row.
const MAX_NAMES_BYTES: usize = 2_200;

#[derive(Debug, Deserialize, JsonSchema)]
struct VariablesArgs {
    /// Default `main`.
    session: Option<String>,
    /// Only names that match, as `df` or `model_*`; shows more of their values.
    name: Option<String>,
    /// Rows, up to 500; default: what fits a page.
    top: Option<u64>,
}

/// The listed session.
#[derive(Debug, Serialize)]
struct VariablesFacts {
    session: String,
    /// Variables whose names match.
    total: u64,
    /// Where they come from, unless the kernel has just listed them.
    source: Option<VariableSource>,
    as_of: Option<String>,
    hint: Option<String>,
}

#[tool_router(router = variable_router)]
impl Server {
    #[tool(
        title = "List variables",
        input_schema = schema::input::<VariablesArgs>(),
        description = "List the variables of a session, the largest first: name, type, shape or length, bytes with what they hold, value. Works while \
            code is running. Use it to see results of earlier code, or what fills the memory.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_colab_variables(
        &self,
        Parameters(args): Parameters<VariablesArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<List<VariablesFacts>, Fault> {
        let session = args::session_or_main(args.session)?;
        let top = args::top(args.top, MAX_VARIABLES)?;
        let value_chars = match args.name {
            Some(_) => MAX_VALUE_CHARS,
            None => VALUE_CHARS,
        };
        let budget = self.budget(&context);
        let variables: RuntimeResult<Variables> = call::ask(self, &context, budget, async |call| {
            let until = self.connection().until(call.deadline);
            until.variables(&session, args.name.as_deref()).await
        })
        .await;
        let found = variables?;
        let is_live = found.source == VariableSource::Live;
        let rows = rows(&found, value_chars);
        let (count, hint) = match top {
            None => (rows.fitting(MAX_LIST_BYTES - MAX_NAMES_BYTES), None),
            Some(top) => {
                let top = usize::try_from(top).unwrap_or(usize::MAX).min(rows.len());
                let count = top.min(rows.fitting(self.client(&context).list_bytes()));
                let cut = format!(
                    "There is room for the {count} largest only: `name`, as `df*`, lists others."
                );
                (count, (count < top).then_some(cut))
            }
        };
        let none = (found.total == 0).then(|| match &args.name {
            Some(name) => format!("No variable has a name that matches {name}. Case matters."),
            None => "The session has no variables.".to_owned(),
        });
        Ok(List {
            table: table(&found, rows, count, top.is_none()),
            facts: VariablesFacts {
                session: found.session,
                total: found.total,
                source: (!is_live).then_some(found.source),
                as_of: found.as_of.filter(|_| !is_live),
                hint: none.or(hint),
            },
        })
    }
}

impl Server {
    pub(super) fn variable_tools() -> ToolRouter<Self> {
        Self::variable_router()
    }
}

fn rows(found: &Variables, value_chars: usize) -> Rows<5> {
    let row = |variable: &Variable| {
        let shape = match (&variable.shape, variable.length) {
            (Some(shape), _) => shape
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join("x"),
            (None, Some(length)) => length.to_string(),
            (None, None) => String::new(),
        };
        [
            variable.name.clone(),
            variable.type_name.clone(),
            shape,
            variable
                .bytes
                .map_or_else(String::new, |bytes| bytes.to_string()),
            shorten(value(variable), value_chars),
        ]
    };
    let heading = ["name", "type", "shape", "bytes", "value"];
    Rows::new(heading, found.variables.iter().map(row))
}

/// The first rows, and the number of the others, with their names if those are wanted.
fn table(found: &Variables, rows: Rows<5>, count: usize, with_names: bool) -> String {
    let rest = found.variables.iter().skip(count);
    let mut table = rows.first(count).render();
    let more = found.total.saturating_sub(count as u64);
    if more > 0 {
        table += &match with_names {
            true => format!("\n[{more} smaller ones: {}]", listed(rest)),
            false => format!("\n[{more} smaller ones]"),
        };
    }
    table
}

fn listed<'a>(variables: impl Iterator<Item = &'a Variable>) -> String {
    let mut names = String::new();
    for Variable { name, .. } in variables {
        if names.len() + name.len() > MAX_NAMES_BYTES {
            return names + ", …";
        }
        let gap = if names.is_empty() { "" } else { ", " };
        names = names + gap + name;
    }
    names
}

/// The variable's repr, without the type and the shape that have columns of their own.
fn value(variable: &Variable) -> &str {
    let repr = variable.repr.as_str();
    let inner = repr
        .strip_prefix('<')
        .and_then(|rest| rest.strip_prefix(&*variable.type_name));
    let Some(inner) = inner.filter(|rest| rest.starts_with([' ', '>'])) else {
        return repr;
    };
    let facts = inner.strip_suffix('>').unwrap_or(inner).trim_start();
    match facts
        .strip_prefix("shape=(")
        .and_then(|rest| rest.split_once(')'))
    {
        Some((_, rest)) => rest.trim_start_matches(", "),
        None => facts,
    }
}

#[cfg(test)]
mod tests {
    use super::value;
    use crate::wire::session::Variable;

    #[test]
    fn a_value_does_not_repeat_its_type_and_shape() {
        for (repr, shown) in [
            ("<ndarray shape=(10, 3), dtype=float64>", "dtype=float64"),
            ("<ndarray shape=(2,)>", ""),
            ("<ndarray lazy: not computed>", "lazy: not computed"),
            ("<ndarray>", ""),
            ("<ndarray shape=(1,), columns=a, b…", "columns=a, b…"),
            ("<ndarrays>", "<ndarrays>"),
            ("[1, 2]", "[1, 2]"),
        ] {
            let variable = Variable {
                name: "it".to_owned(),
                type_name: "ndarray".to_owned(),
                shape: None,
                length: None,
                bytes: None,
                repr: repr.to_owned(),
            };
            assert_eq!(value(&variable), shown, "{repr}");
        }
    }
}
