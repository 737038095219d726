//! Logs, saved files and checkpoints as resources, for clients of both protocol eras.

mod checkpoints;
mod files;
mod list;
mod logs;
mod watching;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;
use url::Url;

use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge, modern};

/// Refuses connections, so a call that needs the network waits or fails.
const DEAD_URL: &str = "https://127.0.0.1:9/#dead-t0ken";
const ERAS: [Era; 2] = [Era::Handshake, Era::Modern];
const INTERNAL: i64 = -32603;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Handshake,
    Modern,
}

impl Era {
    /// Returns the JSON-RPC code for an unknown resource.
    fn missing(self) -> i64 {
        match self {
            Self::Handshake => -32002,
            Self::Modern => -32602,
        }
    }
}

/// A client of one era.
struct Client {
    bridge: Bridge,
    era: Era,
}

impl Client {
    fn start(era: Era, command: Command) -> Self {
        let bridge = match era {
            Era::Handshake => Bridge::greeted(command),
            Era::Modern => Bridge::start(command),
        };
        Self { bridge, era }
    }

    /// Starts a client whose runtime is unreachable.
    fn offline(era: Era, home: &Home) -> Self {
        Self::start(era, home.program(&[("COLAB_URL", DEAD_URL)]))
    }

    fn params(&self, params: Value) -> Value {
        match self.era {
            Era::Handshake => params,
            Era::Modern => modern(params),
        }
    }

    fn begin(&mut self, method: &str, params: Value) -> u64 {
        let params = self.params(params);
        self.bridge.begin(method, params)
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.bridge.answer(id)
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        Answer::of(&self.ask("tools/call", json!({"name": tool, "arguments": arguments})))
    }

    /// Lists every resource, page by page.
    fn list(&mut self) -> Vec<Value> {
        let (mut all, mut params) = (Vec::new(), json!({}));
        loop {
            let mut page = self.ask("resources/list", params.clone());
            let resources = page["resources"].as_array_mut();
            all.append(resources.unwrap_or_else(|| panic!("no page")));
            if page["nextCursor"].is_null() {
                return all;
            }
            params["cursor"] = page["nextCursor"].take();
        }
    }

    fn read(&mut self, uri: &str) -> Value {
        self.ask("resources/read", json!({"uri": uri}))
    }

    /// Reads a resource and returns its one content.
    #[track_caller]
    fn content(&mut self, uri: &str) -> Value {
        let read = self.read(uri);
        let contents = read["contents"].as_array();
        let [content] = contents.unwrap_or_else(|| panic!("{read}")).as_slice() else {
            panic!("{read}");
        };
        assert_eq!(content["uri"], uri);
        content.clone()
    }

    #[track_caller]
    fn text(&mut self, uri: &str) -> String {
        let content = self.content(uri);
        let text = content["text"].as_str();
        text.unwrap_or_else(|| panic!("{content}")).to_owned()
    }

    /// Asserts that reading `uri` fails with `code` and the fields of every error.
    #[track_caller]
    fn refused(&mut self, uri: &str, code: i64) -> Value {
        let answer = self.read(uri);
        let error = &answer["error"];
        assert_eq!(error["code"], code, "{uri}: {answer}");
        assert_eq!(error["data"]["uri"], uri, "{answer}");
        for part in ["code", "error", "hint"] {
            assert!(error["data"][part].is_string(), "{uri}: {answer}");
        }
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(error["data"]["hint"].as_str().unwrap()));
        error.clone()
    }

    /// Returns the notifications of a method so far.
    fn heard(&self, method: &str) -> Vec<Value> {
        let heard = self.bridge.heard.iter();
        heard
            .filter(|message| message["method"] == method)
            .cloned()
            .collect()
    }
}

fn uris(resources: &[Value]) -> Vec<String> {
    let uris = resources.iter().map(|one| one["uri"].as_str().unwrap());
    uris.map(str::to_owned).collect()
}

fn uri_of(path: &Path) -> String {
    Url::from_file_path(path).unwrap().into()
}

/// Writes a file into the save folder.
fn save(home: &Home, name: &str, bytes: &[u8]) -> PathBuf {
    let path = home.folder("results").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Writes a job's record as an earlier bridge left it.
fn note_job(home: &Home, id: JobId, code_head: &str, sent_at: &str) {
    let folder = home.folder("data").join("jobs");
    fs::create_dir_all(&folder).unwrap();
    let record = json!({
        "version": 1, "job_id": id, "place": "https://127.0.0.1:9", "session": "main", "code_head": code_head, "sent_at": sent_at,
        "state": "succeeded", "next": 3,
    });
    fs::write(folder.join(format!("{id}.json")), record.to_string()).unwrap();
}

/// Writes the result of a `run_code_long` under this name; returns its record's path.
fn keep_result(home: &Home, name: &str, text: &str) -> PathBuf {
    let id = JobId::fresh();
    let folder = home.folder("checkpoints").join(name);
    let folder = folder.join("runs").join(id.to_string());
    fs::create_dir_all(&folder).unwrap();
    let record = json!({
        "version": 1, "name": name, "job_id": id, "saved_at": "2026-11-01T00:00:00Z", "text": text,
        "facts": {"state": "succeeded"}, "files": [], "is_whole": true,
    });
    let path = folder.join("run.json");
    fs::write(&path, record.to_string()).unwrap();
    path
}
