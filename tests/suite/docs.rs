//! Generated parts of the documentation match the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smart_colab::edge::env::SETTINGS;
use smart_colab::edge::toolsets::Toolset;

use crate::support::home::Home;
use crate::support::stdio::Bridge;
use crate::tool_list::listed;

const BEGIN: &str = "<!-- generated -->\n";
const END: &str = "<!-- /generated -->";

/// Compares a page's generated part with the expected text, or writes it if `SMART_COLAB_UPDATE_DOCS` is set.
#[track_caller]
fn generated(page: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page);
    let text = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("SMART_COLAB_UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
    } else {
        let remedy = "run it again with SMART_COLAB_UPDATE_DOCS=1";
        assert_eq!(found, wanted, "docs/{page} is out of date: {remedy}");
    }
}

#[test]
fn the_readme_is_read_in_five_minutes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let words = fs::read_to_string(path).unwrap().split_whitespace().count();
    assert!(
        words <= 1000,
        "{words} words: what is not for everybody belongs in docs/"
    );
}

#[test]
fn the_settings_page_lists_every_setting() {
    let mut table = "| variable | default | meaning |\n|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let (name, default, meaning) = (setting.name, setting.default, setting.meaning);
        writeln!(table, "| `{name}` | {default} | {meaning} |").unwrap();
    }
    generated("settings.md", &table);
}

#[test]
fn the_tools_page_describes_every_tool() {
    let tools = listed();
    let mut page = String::new();
    for tool in &tools {
        let text = |key: &str| tool[key].as_str().unwrap().to_owned();
        write!(
            page,
            "### `{}`\n\n{}\n\n",
            text("name"),
            text("description")
        )
        .unwrap();
        page += &arguments(&tool["inputSchema"]);
    }
    page += &toolsets();
    generated("tools.md", &page);
}

/// The tools of each toolset, as the refusals of a server without them say.
fn toolsets() -> String {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (offered, rest) in [("code", true), ("-code", false)] {
        let home = Home::new();
        let mut bridge = Bridge::greeted(home.program(&[("SMART_COLAB_TOOLSETS", offered)]));
        let listed = listed();
        let names = listed.iter().map(|tool| tool["name"].as_str().unwrap());
        let of_code = ["run_code_quick", "run_code_long", "get_output"];
        for name in names.filter(|name| of_code.contains(name) != rest) {
            let refused = bridge.call(name, json!({}));
            let error = refused.fact("error");
            let (_, toolset) = error.rsplit_once(' ').unwrap();
            found
                .entry(toolset.to_owned())
                .or_default()
                .push(format!("`{name}`"));
        }
    }
    let mut table = "## Toolsets\n\n`SMART_COLAB_TOOLSETS` switches them on and off.\n\n| toolset | tools |\n|---|---|\n".to_owned();
    for (toolset, tools) in &found {
        writeln!(table, "| `{toolset}` | {} |", tools.join(", ")).unwrap();
    }
    assert_eq!(found.len(), Toolset::ALL.len());
    table + "\n"
}

fn arguments(schema: &Value) -> String {
    let Some(properties) = schema["properties"]
        .as_object()
        .filter(|all| !all.is_empty())
    else {
        return String::new();
    };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut table = "| argument | type | meaning |\n|---|---|---|\n".to_owned();
    for (name, property) in properties {
        let is_required = required.iter().any(|required| required == name);
        let need = if is_required { ", required" } else { "" };
        // `["string", "null"]` marks an optional argument.
        let kind = &property["type"];
        let kind = kind[0].as_str().or(kind.as_str()).unwrap_or("string");
        let meaning = property["description"].as_str().unwrap_or_default();
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(table, "| `{name}` | {kind}{need} | {meaning} |").unwrap();
    }
    table + "\n"
}
