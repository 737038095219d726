//! Completes the arguments of prompts while a user types them.

use std::time::Duration;

use rmcp::model::{CompleteRequestParams, CompletionInfo, Reference};
use tokio::time::{Instant, timeout};

use super::server::Server;
use crate::runtime::{Files as _, ListQuery};
use crate::wire::files::{FileEntry, FileType};

/// A user is typing: whatever comes later is not shown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const RESOURCES: [&str; 3] = ["memory", "gpu", "disk"];

impl Server {
    /// Values that begin with what was typed; none where they cannot be known in time.
    pub(super) async fn completions(&self, request: &CompleteRequestParams) -> CompletionInfo {
        let Reference::Prompt(prompt) = &request.r#ref else {
            return CompletionInfo::default();
        };
        let typed = &*request.argument.value;
        let known = match (&*prompt.name, &*request.argument.name) {
            ("train_a_model" | "resume_work", "name") => self.checkpoint_names().await,
            ("free_memory", "what") => RESOURCES.map(str::to_owned).to_vec(),
            ("analyse_a_dataset", "path") => self.soon(self.paths(typed)).await,
            ("reproduce_a_notebook", "notebook") => self.soon(self.notebooks()).await,
            _ => Vec::new(),
        };
        let mut found: Vec<String> = known
            .into_iter()
            .filter(|value| value.starts_with(typed))
            .collect();
        let total = u32::try_from(found.len()).ok();
        let has_more = found.len() > CompletionInfo::MAX_VALUES;
        found.truncate(CompletionInfo::MAX_VALUES);
        CompletionInfo::with_pagination(found, total, has_more).unwrap_or_default()
    }

    async fn checkpoint_names(&self) -> Vec<String> {
        let checkpoints = self.floors.checkpoints.clone();
        let known = tokio::task::spawn_blocking(move || checkpoints.known()).await;
        known.unwrap_or_default()
    }

    /// What a path on the runtime may go on with: the entries of the folder that was typed so far.
    async fn paths(&self, typed: &str) -> Option<Vec<String>> {
        let folder = typed.rfind('/').map_or("", |end| &typed[..=end]);
        let query = ListQuery {
            path: folder.to_owned(),
            name: None,
            recursive: false,
            limit: 1_000,
            cursor: None,
        };
        let until = self.connection().until(Instant::now() + ANSWER_TIMEOUT);
        let list = until.list_files(&query).await.ok()?;
        let path = |entry: FileEntry| {
            let end = if entry.kind == FileType::Directory {
                "/"
            } else {
                ""
            };
            format!("{folder}{}{end}", entry.name)
        };
        Some(list.entries.into_iter().map(path).collect())
    }

    async fn notebooks(&self) -> Option<Vec<String>> {
        let list = self
            .floors
            .documents
            .list(Instant::now() + ANSWER_TIMEOUT)
            .await;
        Some(
            list.ok()?
                .entries
                .into_iter()
                .map(|entry| entry.name)
                .collect(),
        )
    }

    async fn soon(&self, values: impl Future<Output = Option<Vec<String>>>) -> Vec<String> {
        let values = timeout(ANSWER_TIMEOUT, values).await;
        values.ok().flatten().unwrap_or_default()
    }
}
