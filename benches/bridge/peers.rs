//! Descriptions of other MCP servers that run code, measured beside the bridge if installed.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::server::{Server, text};
use crate::support::python::{environment, python};

/// How to start a server and run code on it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub name: String,
    /// Packages with their versions, installed into a Python of its own in the build folder.
    #[serde(default)]
    packages: Vec<String>,
    /// Program and arguments. `{python}` is its Python, or one with the packages that the tests use, and `{bin}` the folder of its programs.
    command: Vec<String>,
    /// `{url}` and `{token}` are those of a Jupyter Server.
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

    /// Whether it needs a Jupyter Server.
    pub(crate) fn is_for_jupyter(&self) -> bool {
        self.env.values().any(|value| value.contains("{url}"))
    }

    pub(crate) fn start(&self) -> Server {
        self.start_at("", "")
    }

    /// Starts it on the Jupyter Server at this address.
    pub(crate) fn start_at(&self, url: &str, token: &str) -> Server {
        let python = match &*self.packages {
            [] => python(),
            packages => environment("peers", &packages.join("\n"), packages),
        };
        let (bin, python) = (python.parent().unwrap(), python.to_str().unwrap());
        let bin = bin.to_str().unwrap();
        let filled = |text: &String| {
            text.replace("{python}", python)
                .replace("{bin}", bin)
                .replace("{url}", url)
                .replace("{token}", token)
        };
        let mut words = self.command.iter().map(filled);
        let mut command = Command::new(words.next().expect("a command"));
        command
            .args(words)
            .envs(self.env.iter().map(|(name, value)| (name, filled(value))))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        Server::start(command)
    }

    /// Runs code; returns the text of the answer.
    pub(crate) fn run(&self, server: &mut Server, code: &str) -> String {
        let mut arguments = self.arguments.clone();
        arguments.insert(self.argument.clone(), code.into());
        let answer = server.call(&self.tool, &Value::Object(arguments));
        assert_ne!(answer["isError"], true, "{answer}");
        text(&answer)
    }
}
