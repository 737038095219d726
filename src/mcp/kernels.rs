//! Sessions that are kernels of a Jupyter Server: `notebook:PATH` and `kernel:ID`.

use std::collections::BTreeMap;
use std::time::Duration;

use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde_json::Value;
use tokio::time::Instant;

use super::fault::Fault;
use crate::base::lock::Lock;
use crate::connection::Connection;
use crate::runtime::RuntimeError;
use crate::wire::session::{kernel_of_adopted, name_of_adopted};

/// For the server's answer, which comes at once; the call itself has its own time.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// More kernels than one client ever names.
const MAX_NAMES: usize = 100;

/// The names that callers have given to sessions in kernels, by those of the executor.
#[derive(Debug, Default)]
pub(super) struct Named(Lock<BTreeMap<String, String>>);

impl Named {
    /// Replaces a session that names a kernel by its name on the executor.
    ///
    /// # Errors
    /// If there is no such kernel, or no such notebook has one, or that is not known in time.
    pub(super) async fn resolve(
        &self,
        arguments: &mut JsonObject,
        connection: &Connection,
    ) -> Result<(), Fault> {
        let Some(Value::String(session)) = arguments.get_mut("session") else {
            return Ok(());
        };
        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        let name = if let Some(kernel) = session.strip_prefix("kernel:") {
            let kernel = kernel.trim().to_ascii_lowercase();
            let name = name_of_adopted(&kernel);
            if kernel_of_adopted(&name).is_none() {
                return Err(Fault::invalid(format!(
                    "{kernel:?} is no kernel's id: the Jupyter Server's own are UUIDs"
                )));
            }
            let found = connection.server_of(&kernel, deadline).await;
            if let Err(error @ RuntimeError::UnknownKernel { .. }) = found {
                return Err(error.into());
            }
            name
        } else if let Some(notebook) = session.strip_prefix("notebook:") {
            let kernel = connection.notebook_kernel(notebook.trim(), deadline);
            name_of_adopted(&kernel.await?)
        } else {
            return Ok(());
        };
        let given = std::mem::replace(session, name.clone());
        let mut names = self.0.lock();
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(name, given);
        Ok(())
    }

    /// Calls these sessions in the facts of a reply as the callers do. What code printed stays as it is.
    pub(super) fn name_in(&self, result: &mut CallToolResult) {
        let names = self.0.lock();
        if names.is_empty() {
            return;
        }
        let renamed = |text: &str| {
            let mut renamed = text.to_owned();
            for (name, given) in &*names {
                let quoted = Value::from(given.as_str()).to_string();
                renamed = replace_word(&renamed, name, quoted.trim_matches('"'));
            }
            renamed
        };
        if let Some(ContentBlock::Text(facts)) = result.content.first_mut()
            && facts.text.starts_with('{')
        {
            facts.text = renamed(&facts.text);
        }
        if let Some(facts) = &mut result.structured_content
            && let Ok(renamed) = serde_json::from_str(&renamed(&facts.to_string()))
        {
            *facts = renamed;
        }
    }
}

/// Replaces a name where it stands alone, and not as a part of another, such as a file's.
fn replace_word(text: &str, name: &str, given: &str) -> String {
    let goes_on = |char: char| char.is_alphanumeric() || "-_/\\".contains(char);
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let is_part = before.ends_with(goes_on) || after.starts_with(goes_on);
        replaced += before;
        replaced += if is_part { name } else { given };
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::replace_word;

    #[test]
    fn a_name_is_replaced_where_it_stands_alone() {
        for (text, expected) in [
            ("kernel-1", "notebook:a.ipynb"),
            (
                "{\"session\":\"kernel-1\"}",
                "{\"session\":\"notebook:a.ipynb\"}",
            ),
            (
                "in kernel-1, kernel-1",
                "in notebook:a.ipynb, notebook:a.ipynb",
            ),
            (
                "/r/session-kernel-1-2026-12-01.ipynb",
                "/r/session-kernel-1-2026-12-01.ipynb",
            ),
            ("kernel-12", "kernel-12"),
            ("", ""),
        ] {
            assert_eq!(replace_word(text, "kernel-1", "notebook:a.ipynb"), expected);
        }
    }
}
