//! Writes this server into the configs of MCP clients, finds it there, and takes it out again. Every byte that is not its own stays as it was.

mod client;
mod error;
mod file;
mod json;
#[cfg(test)]
mod tests;
mod toml;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use client::{Client, Folders, System};
pub use error::{Fault, InstallError};
pub use file::Config;

/// The name of our entry among a client's servers.
pub const NAME: &str = "smart-colab";
/// Fields of entries for servers that are not started but reached.
const ADDRESSES: [&str; 3] = ["url", "httpUrl", "serverUrl"];

/// How a client starts this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole path of the program.
    pub command: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// How long a call may take by `env`, in seconds; none if that depends on the client.
    pub call_budget_sec: Option<u64>,
}

impl Entry {
    /// The entry in the form that a client reads.
    #[must_use]
    pub fn fields(&self, client: Client) -> Map<String, Value> {
        let mut fields = Map::new();
        if let Some(kind) = client.transport() {
            fields.insert("type".to_owned(), json!(kind));
        }
        fields.insert("command".to_owned(), json!(self.command));
        fields.insert("args".to_owned(), json!(self.args));
        if !self.env.is_empty() {
            fields.insert("env".to_owned(), json!(self.env));
        }
        for limit in client.limits() {
            let seconds = limit.seconds(self.call_budget_sec);
            fields.insert(limit.field.to_owned(), json!(seconds * limit.unit));
        }
        fields
    }

    /// The entry that a client has as these fields; none if it does not start a program in the form that is written here.
    fn read(fields: &Value) -> Option<Self> {
        let texts = |value: &Value| value.as_str().map(str::to_owned);
        let args = fields["args"].as_array();
        let env = fields["env"].as_object();
        Some(Self {
            command: texts(&fields["command"])?,
            args: args.into_iter().flatten().filter_map(texts).collect(),
            env: env
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), texts(value)?)))
                .collect(),
            call_budget_sec: None,
        })
    }

    /// The part of a client's config that has nothing but this entry.
    #[must_use]
    pub fn shown(&self, client: Client) -> String {
        // Text that cannot fail to be parsed: there is none.
        edited("", client, Some(self)).unwrap_or_default()
    }
}

/// Returns a config with our entry as wanted, or without it for none. Fields that only the user has set stay.
///
/// # Errors
/// [`Fault`]: the text is not a config that can be changed.
pub fn edited(text: &str, client: Client, entry: Option<&Entry>) -> Result<String, Fault> {
    let fields = entry.map(|entry| entry.fields(client));
    let (key, fields) = (client.key(), fields.as_ref());
    let after = match client.syntax() {
        client::Syntax::Toml => toml::edited(text, key, fields),
        client::Syntax::Json => json::edited(text, key, fields, false),
        client::Syntax::JsonWithComments => json::edited(text, key, fields, true),
    }?;
    let rest = match client.syntax() {
        client::Syntax::Toml => toml::rest,
        client::Syntax::Json | client::Syntax::JsonWithComments => json::rest,
    };
    let (before, now) = (rest(text, key), rest(&after, key));
    match before.is_some() && before == now {
        true => Ok(after),
        false => Err(Fault::Entangled),
    }
}

/// What a config has under our name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// A program that is started.
    Program(Entry),
    /// Something else, such as a server at an address.
    Other,
}

/// Reads our entry in a config.
///
/// # Errors
/// [`Fault`]: the text cannot be parsed, or it is not clear which entry is meant.
pub fn found(text: &str, client: Client) -> Result<Found, Fault> {
    let key = client.key();
    let entry = match client.syntax() {
        client::Syntax::Toml => toml::entry(text, key),
        client::Syntax::Json => json::entry(text, key, false),
        client::Syntax::JsonWithComments => json::entry(text, key, true),
    }?;
    Ok(match entry {
        None => Found::Nothing,
        Some(fields) => Entry::read(&fields).map_or(Found::Other, Found::Program),
    })
}

/// Returns our entry as it is written in a config, empty without one.
#[must_use]
pub fn ours(text: &str, client: Client) -> String {
    let found = match client.syntax() {
        client::Syntax::Toml => toml::ours(text, client.key()),
        client::Syntax::Json | client::Syntax::JsonWithComments => {
            json::ours(text, client.key()).map(|text| format!("{text}\n"))
        }
    };
    found.unwrap_or_default()
}

/// Whether a field is a limit of the user's own that is long enough for ours.
fn kept_limit(name: &str, theirs: &Value, ours: &Value) -> bool {
    let is_limit = name == "timeout" || name.ends_with("_timeout_sec");
    is_limit && theirs.as_u64() >= ours.as_u64() && theirs.is_u64()
}
