//! The architecture's rules: floors, rooms, file sizes.
//!
//! Every rule is a function from (path, text) to its violations, so that each is itself tested on sources that break it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::python::python;
use crate::support::rust::{code_only, crate_paths, literals, words};
use crate::tool_list::listed;

/// A room may import only rooms of the floors before its own.
const FLOORS: [&[&str]; 18] = [
    &["base"],
    &["wire", "edge", "render"],
    &["browser", "colab", "install", "jupyter"],
    &["runtime"],
    &["provision"],
    &["connection"],
    &["caller"],
    &["jobs", "machine", "reading", "transfer"],
    &["checkpoints", "doctor", "lease"],
    &["chunked", "mirror"],
    &["notebook", "tasks"],
    &["document"],
    &["notebook_run"],
    &["floors"],
    &["mcp"],
    &["shutdown"],
    &["app"],
    &["cli"],
];

const TOP_LEVEL: [&str; 24] = [
    ".cargo",
    ".ci",
    ".editorconfig",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "STYLE.md",
    "benches",
    "clippy.toml",
    "colab",
    "deny.toml",
    "docs",
    "examples",
    "findings",
    "packaging",
    "rust-toolchain.toml",
    "src",
    "tests",
];

const MAX_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns our files in `folder` by their path from the repository's root, with `/`.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "__pycache__" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push((from_top(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing in {folder}");
    found
}

fn from_top(path: &Path) -> String {
    let parts = path.strip_prefix(root()).unwrap().components();
    let parts: Vec<_> = parts
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// Returns the violations of `rule` under `src`.
fn in_src(rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let check = |(path, text): &(String, String)| rule(path, text);
    files("src", ".rs").iter().flat_map(check).collect()
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

fn upward_imports(path: &str, text: &str) -> Vec<String> {
    let room = path["src/".len()..].split(['/', '.']).next().unwrap();
    if matches!(room, "lib" | "main") {
        return Vec::new();
    }
    let Some(own) = floor(room) else {
        return vec![format!("{path}: {room} has no floor")];
    };
    let goes_up = |other: &String| match floor(other) {
        Some(at) => other != room && at >= own,
        None => false,
    };
    let imported: BTreeSet<String> = crate_paths(path, text).into_iter().collect();
    let faults = imported.iter().filter(|other| goes_up(other));
    faults
        .map(|other| format!("{path}: {room} imports {other}, which is not below it"))
        .collect()
}

#[test]
fn imports_go_down_only() {
    assert_none(&in_src(upward_imports));
}

/// Finds `word` in files whose path begins with none of `rooms`.
fn outside(word: &str, rooms: &[&str], path: &str, text: &str) -> Vec<String> {
    let allowed = rooms.iter().any(|room| path.starts_with(room));
    let named = !allowed && words(&code_only(text)).any(|found| found == word);
    let fault = named.then(|| format!("{path}: {word} belongs to {}", rooms.join(", ")));
    fault.into_iter().collect()
}

#[test]
fn only_the_face_and_the_client_of_tabs_know_rmcp() {
    assert_none(&in_src(|path, text| {
        outside("rmcp", &["src/mcp/", "src/browser/"], path, text)
    }));
}

#[test]
fn only_the_clients_of_servers_know_reqwest() {
    assert_none(&in_src(|path, text| {
        outside(
            "reqwest",
            &["src/colab/", "src/jupyter/", "src/runtime/executor/"],
            path,
            text,
        )
    }));
}

fn environment_read(path: &str, text: &str) -> Vec<String> {
    let flat: String = code_only(text).split_whitespace().collect();
    // These two only split and join text.
    let flat = flat
        .replace("std::env::split_paths", "")
        .replace("std::env::join_paths", "");
    let read = ["std::env", "env::var", "env::vars", "env::args"]
        .iter()
        .any(|name| flat.contains(name));
    let fault = read && !path.starts_with("src/edge/");
    let fault = fault.then(|| format!("{path}: reads the process's environment"));
    fault.into_iter().collect()
}

#[test]
fn only_the_edge_reads_the_environment() {
    assert_none(&in_src(environment_read));
}

/// Finds writes to stdout, which belongs to MCP. The line that serves MCP is the one exception outside the command line.
fn stdout_writes(path: &str, text: &str) -> Vec<String> {
    if path.starts_with("src/cli/") {
        return Vec::new();
    }
    let mut flat: String = code_only(text).split_whitespace().collect();
    if path == "src/mcp/serve.rs" {
        flat = flat.replacen("tokio::io::stdout()", "", 1);
    }
    let printed = words(&flat).any(|word| matches!(word, "println" | "print"));
    let fault = printed || flat.contains("stdout()") || flat.contains("io::Stdout");
    let fault = fault.then(|| format!("{path}: writes to stdout"));
    fault.into_iter().collect()
}

#[test]
fn only_the_command_line_writes_to_stdout() {
    assert_none(&in_src(stdout_writes));
}

fn missing_room_docs(path: &str, text: &str) -> Vec<String> {
    let explained = text.starts_with("//! ");
    let fault = path.ends_with("/mod.rs") && !explained;
    let fault = fault.then(|| format!("{path}: does not open with what the room is for"));
    fault.into_iter().collect()
}

#[test]
fn every_room_says_what_it_is_for() {
    let mut faults = in_src(missing_room_docs);
    for (path, _) in files("src", ".rs") {
        let folder = PathBuf::from(&path).parent().unwrap().join("mod.rs");
        if folder != Path::new("src/mod.rs") && !root().join(&folder).exists() {
            faults.push(format!("{} is missing", folder.display()));
        }
    }
    assert_none(&faults);
}

/// Commands for a person at a terminal.
const COMMANDS: [&str; 3] = [
    "smart-colab connect",
    "smart-colab try",
    "smart-colab serve",
];

/// Finds strings below the faces that name a tool or a command.
fn face_words(tools: &[String], path: &str, text: &str) -> Vec<String> {
    let is_face = path.starts_with("src/mcp/") || path.starts_with("src/cli/");
    // The tools of a tab of Colab have the names of ours.
    let is_face = is_face || path == "src/browser/cells.rs";
    if is_face || path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let names = |literal: &&str| {
        words(literal).any(|word| tools.iter().any(|tool| tool == word))
            || COMMANDS.iter().any(|command| literal.contains(command))
    };
    let found = literals(shipped).into_iter().filter(names);
    found
        .map(|literal| format!("{path}: a face words this: {literal}"))
        .collect()
}

#[test]
fn only_the_faces_name_tools_and_commands() {
    let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
    let tools: Vec<String> = listed().iter().map(name).collect();
    assert_none(&in_src(|path, text| face_words(&tools, path, text)));
}

fn too_long(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let fault = (lines > MAX_LINES).then(|| format!("{path}: {lines} lines"));
    fault.into_iter().collect()
}

#[test]
fn no_file_exceeds_400_lines() {
    let mut all = files("colab", ".py");
    all.extend(files("tests", ".py"));
    all.extend(files("benches", ".py"));
    for folder in ["src", "tests", "benches"] {
        if root().join(folder).exists() {
            all.extend(files(folder, ".rs"));
        }
    }
    let check = |(path, text): &(String, String)| too_long(path, text);
    assert_none(&all.iter().flat_map(check).collect::<Vec<_>>());
}

fn unknown_entries<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let unknown = names.into_iter().filter(|name| !TOP_LEVEL.contains(name));
    unknown.map(str::to_owned).collect()
}

/// Checks git's files or, in an unpacked archive without git, everything but hidden and built entries.
#[test]
fn the_top_level_holds_only_known_entries() {
    let listed = Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output();
    let names: BTreeSet<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|path| Some(path.split('/').next()?.to_owned()))
            .collect(),
        _ => fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.') && name != "target")
            .collect(),
    };
    assert_none(&unknown_entries(names.iter().map(String::as_str)));
}

#[test]
fn the_notebook_is_built_from_the_current_package() {
    let output = Command::new(python())
        .args(["colab/build_notebook.py", "--check"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn each_rule_finds_its_violations() {
    let found = |faults: Vec<String>| assert_eq!(faults.len(), 1, "{faults:?}");
    for import in [
        "use crate::mcp::server;",
        "use crate::{base::ids, mcp};",
        "use crate::{\n  edge::{env, paths},\n  jobs::Jobs,\n};",
        "fn f() { crate::app::run() }",
        "use super::super::chunked::plan;",
    ] {
        found(upward_imports("src/runtime/executor.rs", import));
    }
    found(upward_imports("src/jobs/mod.rs", "use super::transfer;"));
    found(upward_imports("src/cellar/mod.rs", ""));
    for harmless in [
        "use crate::base::text;",
        "// crate::mcp\nconst A: &str = \"crate::mcp\";",
        "use super::mcp;",
        "mod tests { use super::super::retry; }",
    ] {
        assert_none(&upward_imports("src/runtime/executor/http.rs", harmless));
    }
    found(outside(
        "rmcp",
        &["src/mcp/"],
        "src/jobs/a.rs",
        "use rmcp::model;",
    ));
    assert_none(&outside(
        "rmcp",
        &["src/mcp/"],
        "src/jobs/a.rs",
        "/// not [`rmcp`]\nfn f() {}",
    ));
    found(environment_read("src/jobs/a.rs", "std::env::var(\"A\")"));
    found(environment_read(
        "src/jobs/a.rs",
        "use std::env;\nfn f() {}",
    ));
    assert_none(&environment_read("src/jobs/a.rs", "env!(\"A\")"));
    found(stdout_writes("src/jobs/a.rs", "println!(\"a\")"));
    found(stdout_writes("src/jobs/a.rs", "write(std::io::stdout())"));
    assert_none(&stdout_writes(
        "src/jobs/a.rs",
        "eprintln!(); command.stdout(Stdio::null())",
    ));
    found(missing_room_docs("src/jobs/mod.rs", "mod a;"));
    let tools = ["get_output".to_owned()];
    for named in [
        "f(\"call get_output again\")",
        "f(\"over lines: \\\n    get_output\")",
        "r#\"run `smart-colab connect`\"#",
    ] {
        found(face_words(&tools, "src/jobs/a.rs", named));
        assert_none(&face_words(&tools, "src/mcp/words.rs", named));
    }
    for harmless in [
        "/// For `get_output`\nfn get_output() {}",
        "f(\"get_outputs\")",
        "#[cfg(test)]\nmod tests { f(\"get_output\") }",
    ] {
        assert_none(&face_words(&tools, "src/jobs/a.rs", harmless));
    }
    found(too_long("a", &"\n".repeat(MAX_LINES + 1)));
    assert_eq!(unknown_entries(["src", "notes.md"]), ["notes.md"]);
}
