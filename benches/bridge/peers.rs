//! Descriptions of other MCP servers that run code, measured beside the bridge if installed.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::server::Server;
use crate::support::python::python;

/// How to start a server and run code on it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub name: String,
    /// Program and arguments; `{python}` is a Python with the packages that the tests use.
    command: Vec<String>,
    #[serde(default)]
    env: HashMap<String, String>,
    /// The tool that runs code, and the argument that takes the code.
    tool: String,
    argument: String,
    /// Its other arguments.
    #[serde(default)]
    arguments: Map<String, Value>,
}

impl Peer {
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Describes a one-tool server on the official Python SDK.
    pub(crate) fn python_sdk() -> Self {
        let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
        Self::read(&format!("{peers}/python_sdk.json"))
    }

    pub(crate) fn start(&self) -> Server {
        let python = python();
        let python = python.to_str().unwrap();
        let mut words = self
            .command
            .iter()
            .map(|word| word.replace("{python}", python));
        let mut command = Command::new(words.next().expect("a command"));
        command
            .args(words)
            .envs(&self.env)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        Server::start(command)
    }

    pub(crate) fn run(&self, server: &mut Server, code: &str) {
        let mut arguments = self.arguments.clone();
        arguments.insert(self.argument.clone(), code.into());
        let answer = server.call(&self.tool, &Value::Object(arguments));
        assert_ne!(answer["isError"], true, "{answer}");
    }
}
