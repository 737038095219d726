//! The cells of the notebook in a tab, by the tab's own tools. Each is called once: what an error leaves of it, [`TabError`] says.

use std::sync::Arc;

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::TabError;
use super::tab::{Run, Tab};

const GET: &str = "get_cells";
const RUN: &str = "run_code_cell";

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Code,
    Text,
}

impl Tab {
    /// Returns the cells as nbformat has them, with the outputs that the tab shows, or else those of our own runs.
    ///
    /// # Errors
    /// [`TabError`].
    pub async fn cells(&self, deadline: Instant) -> Result<Vec<Value>, TabError> {
        const OUTPUTS: &str = "includeOutputs";
        let mut arguments = JsonObject::new();
        if self.takes(GET, OUTPUTS) {
            arguments.insert(OUTPUTS.to_owned(), true.into());
        }
        let mut answer = self.ask(GET, arguments, deadline).await?;
        let given = answer.get_mut("cells").map(Value::take);
        let Some(Value::Array(mut cells)) = given else {
            return Err(TabError::odd(GET, &answer.to_string()));
        };
        let runs = self.runs();
        for cell in cells.iter_mut().filter_map(Value::as_object_mut) {
            if cell.get("cell_type") == Some(&"code".into()) && !cell.contains_key("outputs") {
                let run = cell.get("id").and_then(|id| runs.get(id.as_str()?));
                let outputs = match run {
                    Some((source, Run::Ended(Ok(outputs)))) if *source == source_of(cell) => {
                        outputs.clone()
                    }
                    Some(_) | None => Vec::new(),
                };
                cell.insert("outputs".to_owned(), outputs.into());
            }
            cell.entry("metadata").or_insert_with(|| json!({}));
        }
        Ok(cells)
    }

    /// Adds a cell before the one at `index`, and returns its id.
    ///
    /// # Errors
    /// [`TabError`].
    pub async fn add(
        &self,
        kind: Kind,
        source: &str,
        index: usize,
        deadline: Instant,
    ) -> Result<String, TabError> {
        let (tool, arguments) = match kind {
            Kind::Code => (
                "add_code_cell",
                json!({"code": source, "cellIndex": index, "language": "python"}),
            ),
            Kind::Text => (
                "add_text_cell",
                json!({"content": source, "cellIndex": index}),
            ),
        };
        let answer = self.ask(tool, object(arguments), deadline).await?;
        let id = answer["newCellId"].as_str().map(str::to_owned);
        id.ok_or_else(|| TabError::odd(tool, &answer.to_string()))
    }

    /// Replaces the source of the cell with this id.
    ///
    /// # Errors
    /// [`TabError`].
    pub async fn update(&self, id: &str, source: &str, deadline: Instant) -> Result<(), TabError> {
        let arguments = json!({"cellId": id, "content": source});
        self.edit("update_cell", arguments, deadline).await
    }

    /// Deletes the cell with this id.
    ///
    /// # Errors
    /// [`TabError`].
    pub async fn delete(&self, id: &str, deadline: Instant) -> Result<(), TabError> {
        let arguments = json!({"cellId": id});
        self.edit("delete_cell", arguments, deadline).await
    }

    /// Moves the cell with this id, so that it is then the one at `index`.
    ///
    /// # Errors
    /// [`TabError`].
    pub async fn move_to(&self, id: &str, index: usize, deadline: Instant) -> Result<(), TabError> {
        let arguments = json!({"cellId": id, "cellIndex": index});
        self.edit("move_cell", arguments, deadline).await
    }

    /// Runs the cell with this id and source, once, in the background; [`Tab::ran`] waits for it. `stop` ends it, as far as the tab does.
    ///
    /// # Errors
    /// [`TabError::Running`] if it runs already.
    pub fn run(
        self: &Arc<Self>,
        id: &str,
        source: &str,
        stop: CancellationToken,
    ) -> Result<(), TabError> {
        let stop = stop.child_token();
        self.begin_run(id, source, stop.clone())?;
        let (tab, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            let arguments = object(json!({"cellId": id}));
            let hear = |heard| tab.note_progress(&id, heard);
            let ran = tab.call_to_the_end(RUN, arguments, &stop, &hear).await;
            let outputs = ran.and_then(|answer| {
                let outputs = answer["outputs"].as_array().cloned();
                outputs.ok_or_else(|| TabError::odd(RUN, &answer.to_string()))
            });
            tab.end_run(&id, outputs);
        });
        Ok(())
    }

    async fn edit(&self, tool: &str, arguments: Value, deadline: Instant) -> Result<(), TabError> {
        self.ask(tool, object(arguments), deadline).await.map(drop)
    }

    /// Calls a tool that is done at once.
    async fn ask(
        &self,
        tool: &str,
        arguments: JsonObject,
        deadline: Instant,
    ) -> Result<Value, TabError> {
        let stop = CancellationToken::new();
        self.call(tool, arguments, deadline, &stop, &drop).await
    }
}

/// A cell's source, which may be in lines.
fn source_of(cell: &JsonObject) -> String {
    match cell.get("source") {
        Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
        Some(source) => source.as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    }
}

fn object(arguments: Value) -> JsonObject {
    if let Value::Object(arguments) = arguments {
        arguments
    } else {
        JsonObject::new()
    }
}
