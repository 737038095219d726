//! Descriptions of other MCP servers that run code, measured beside the bridge if installed.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::server::{Server, text};
use super::{JUPYTER, TAB};
use crate::support::python::{environment, python};

/// How to start a server and run code on it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub name: String,
    /// Packages with their versions, and other arguments of `pip install`, installed into a Python of its own in the build folder.
    #[serde(default)]
    packages: Vec<String>,
    /// The name of the Python that it needs, if not any will do.
    #[serde(default)]
    python: Option<String>,
    /// Program and arguments. `{python}` is its Python, or one with the packages that the tests use, and `{bin}` the folder of its programs.
    command: Vec<String>,
    /// `{url}` and `{token}` are those of a Jupyter Server, `{browser}` is a program that takes the address of a page.
    #[serde(default)]
    env: HashMap<String, String>,
    /// The tool that runs code, and the argument that takes the code.
    #[serde(default)]
    tool: String,
    #[serde(default)]
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

    /// Whether this group measures it.
    pub(crate) fn is_of(&self, group: &str) -> bool {
        let needs = |what| self.env.values().any(|value| value.contains(what));
        match group {
            JUPYTER => needs("{url}"),
            TAB => needs("{browser}"),
            _ => !needs("{url}") && !needs("{browser}"),
        }
    }

    pub(crate) fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// Starts it on the Jupyter Server at this address.
    pub(crate) fn start_at(&self, url: &str, token: &str) -> Server {
        self.start_with(&[("{url}", url), ("{token}", token)])
    }

    /// Starts it where its environment has these in place of their names.
    pub(crate) fn start_with(&self, names: &[(&str, &str)]) -> Server {
        let python = match &*self.packages {
            [] => python(),
            packages => {
                let text = packages.join("\n");
                environment("peers", &text, self.python.as_deref(), packages)
            }
        };
        let (bin, python) = (python.parent().unwrap(), python.to_str().unwrap());
        let bin = bin.to_str().unwrap();
        let filled = |text: &String| {
            let text = text.replace("{python}", python).replace("{bin}", bin);
            let fill = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
            names.iter().fold(text, fill)
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
