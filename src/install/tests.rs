//! Configs keep every byte that is not ours.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{
    Client, Config, Entry, Fault, Folders, Found, InstallError, NAME, System, edited, found,
};

fn entry() -> Entry {
    Entry {
        command: "/opt/smart colab/smart-colab".to_owned(),
        args: Vec::new(),
        env: BTreeMap::from([("COLAB_URL".to_owned(), "local".to_owned())]),
        call_budget_sec: None,
    }
}

/// What `before` and `after` do not share, cut out of the middle of `after`; none if bytes of `before` are missing there.
fn inserted<'a>(before: &str, after: &'a str) -> Option<&'a str> {
    let from_start = before
        .bytes()
        .zip(after.bytes())
        .take_while(|(old, new)| old == new)
        .count();
    let rest = before.len() - from_start;
    after
        .ends_with(&before[from_start..])
        .then(|| &after[from_start..after.len() - rest])
}

const JSON: [(Client, &str); 10] = [
    (Client::ClaudeDesktop, "{}"),
    (Client::ClaudeDesktop, "{\n}\n"),
    (
        Client::ClaudeDesktop,
        "{\"mcpServers\":{\"fs\":{\"command\":\"npx\"}},\"x\":[1,2]}",
    ),
    (
        Client::Cursor,
        "\u{feff}{\r\n\t\"mcpServers\": {\r\n\t\t\"fs\": {\"command\": \"npx\"}\r\n\t}\r\n}",
    ),
    (
        Client::ClaudeDesktop,
        "{\n    \"globalShortcut\": \"\",\n    \"mcpServers\": {}\n}",
    ),
    (
        Client::Cline,
        "{\n  \"mcpServers\": {\n    \"b\": { \"command\": \"x\", \"disabled\": true }\n  }\n}\n",
    ),
    (
        Client::VsCode,
        "// mine\n{\n  \"inputs\": [], /* none, */\n  \"servers\": { // of mine\n    \"a\": {\"command\": \"x\"}, // last,\n  },\n}\n",
    ),
    (
        Client::Zed,
        "{\n  \"theme\": \"One\",\n  \"context_servers\": {\n    // nothing yet\n  },\n}\n",
    ),
    (Client::Gemini, "{ \"mcpServers\": { } }"),
    (
        Client::ClaudeCode,
        "{\n  \"numStartups\": 12345678901234567890,\n  \"projects\": {\"/x\": {\"mcpServers\": {\"smart-colab\": {}}}}\n}",
    ),
];

const TOML: [&str; 7] = [
    "",
    "model = \"gpt-5.5\" # mine\n",
    "model = 'x'\r\n\r\n[mcp_servers.docs]\r\ncommand = 'npx' # why\r\n# end\r\n",
    "a = 1",
    "mcp_servers.docs.command = \"x\"\n[tui]\nnotifications = true\n",
    "[mcp_servers]\n[mcp_servers.docs]\ncommand = \"x\"\n\n[profiles.fast]\nmodel = \"y\"\n",
    "a = 1\r\nb = 2\n",
];

/// The config as its client reads it.
fn read(text: &str) -> Value {
    let options = jsonc_parser::ParseOptions::default();
    let text = text.trim_start_matches('\u{feff}');
    let parsed = jsonc_parser::parse_to_value(text, &options).unwrap();
    fn plain(value: &jsonc_parser::JsonValue<'_>) -> Value {
        use jsonc_parser::JsonValue as J;
        match value {
            J::Object(fields) => {
                let fields = fields.clone().into_iter();
                Value::Object(
                    fields
                        .map(|(name, value)| (name.into_owned(), plain(&value)))
                        .collect(),
                )
            }
            J::Array(items) => items.iter().map(plain).collect(),
            J::String(text) => json!(text),
            J::Number(number) => serde_json::from_str(number).unwrap(),
            J::Boolean(yes) => json!(yes),
            J::Null => Value::Null,
        }
    }
    plain(&parsed.unwrap())
}

#[test]
fn an_entry_is_added_and_every_byte_stays() {
    for (client, before) in JSON {
        let after = edited(before, client, Some(&entry())).unwrap();
        let ours = inserted(before, &after)
            .or_else(|| inserted(&before.replace("{ }", "{}").replace("{\n}", "{}"), &after));
        let ours = ours.unwrap_or_else(|| panic!("{before:?} became {after:?}"));
        assert!(ours.contains("smart-colab"), "{ours:?}");
        assert_eq!(
            read(&after)[client.key()][NAME],
            json!(entry().fields(client)),
            "{after}"
        );
        assert_eq!(after.contains("\r\n"), before.contains("\r\n"));
        let again = edited(&after, client, Some(&entry())).unwrap();
        assert_eq!(again, after, "the same again changes nothing");
    }
    for before in TOML {
        let after = edited(before, Client::Codex, Some(&entry())).unwrap();
        let ours = after.strip_prefix(before).unwrap();
        assert_eq!(
            ours.matches("[mcp_servers.smart-colab]").count(),
            1,
            "{after}"
        );
        let again = edited(&after, Client::Codex, Some(&entry()));
        assert!(again == Ok(after) || again == Err(Fault::MixedLines));
    }
}

#[test]
fn an_entry_that_is_taken_out_leaves_what_was_there_before() {
    for (client, before) in JSON {
        let has_servers = before.contains(client.key());
        let after = edited(before, client, Some(&entry())).unwrap();
        let without = edited(&after, client, None).unwrap();
        if has_servers && !before.contains("{ }") && client != Client::ClaudeCode {
            assert_eq!(without, before);
        }
        assert_eq!(read(&without)[client.key()].get(NAME), None, "{without}");
        assert_eq!(edited(&without, client, None).unwrap(), without);
    }
    for before in &TOML[..6] {
        let after = edited(before, Client::Codex, Some(&entry())).unwrap();
        let without = edited(&after, Client::Codex, None).unwrap();
        assert_eq!(without.trim_end(), before.trim_end());
    }
    let before = "a = 1\n# of ours\n[mcp_servers.smart-colab]\ncommand = \"x\" # y\n\n[mcp_servers.smart-colab.env]\nA = \"1\"\n# of b\n[b]\r\nc = 1";
    let without = edited(before, Client::Codex, None).unwrap();
    assert_eq!(without, "a = 1\n# of ours\n# of b\n[b]\r\nc = 1");
}

#[test]
fn the_last_entry_goes_with_the_comma_before_it() {
    let before = "{\"mcpServers\": {\"a\": {}, \"smart-colab\": {\"command\": \"x\"}}}";
    let after = edited(before, Client::ClaudeDesktop, None).unwrap();
    assert_eq!(after, "{\"mcpServers\": {\"a\": {}}}");
}

#[test]
fn comments_and_other_servers_stay_when_an_entry_is_taken_out() {
    for (client, before, after) in [
        (
            Client::Zed,
            "{\"context_servers\": {\n  \"a\": {}, // A\n  // B\n  \"smart-colab\": {} // C\n}}",
            "{\"context_servers\": {\n  \"a\": {} // A\n  // B\n // C\n}}",
        ),
        (
            Client::Zed,
            "{\"context_servers\": {\"smart-colab\": {} // C\n, \"b\": 1}}",
            "{\"context_servers\": { // C\n \"b\": 1}}",
        ),
        (
            Client::Zed,
            "{\"context_servers\": {\"a\": {}, /* D */ \"smart-colab\": {}}}",
            "{\"context_servers\": {\"a\": {} /* D */ }}",
        ),
        (
            Client::Codex,
            "[mcp_servers.smart-colab]\ncommand=\"x\"\n\n[mcp_servers.smart-colab.tools.run]\nmode=\"a\"\n\n# z\n[z]\na=1\n",
            "\n# z\n[z]\na=1\n",
        ),
        (
            Client::Codex,
            "mcp_servers.smart-colab.command=\"x\"\nmcp_servers.b.command=\"y\"\n",
            "mcp_servers.b.command=\"y\"\n",
        ),
        (
            Client::Codex,
            "[[mcp_servers.smart-colab.list]]\na=1\n[z]\nb=1\n",
            "[z]\nb=1\n",
        ),
    ] {
        assert_eq!(edited(before, client, None).unwrap(), after);
    }
}

#[test]
fn an_entry_for_a_server_at_an_address_is_not_mixed_with_ours() {
    for (client, text) in [
        (
            Client::Cursor,
            "{\"mcpServers\": {\"smart-colab\": {\"url\": \"https://a\"}}}",
        ),
        (
            Client::Gemini,
            "{\"mcpServers\": {\"smart-colab\": {\"httpUrl\": \"https://a\"}}}",
        ),
        (
            Client::Codex,
            "[mcp_servers.smart-colab]\nurl = \"https://a\"\n",
        ),
    ] {
        let fault = edited(text, client, Some(&entry())).unwrap_err();
        assert_eq!(fault, Fault::AtAnAddress(NAME.to_owned()));
    }
}

#[test]
fn an_entry_made_by_hand_keeps_what_only_the_user_has_set() {
    let before = "{\n  \"mcpServers\": {\n    \"smart-colab\": {\n      \"command\": \"old\", \"disabled\": true,\n      \"timeout\": 3600,\n      \"env\": {\"COLAB_URL\": \"https://a\", \"MINE\": \"1\"}\n    },\n    \"b\": {}\n  }\n}\n";
    let after = edited(before, Client::Cline, Some(&entry())).unwrap();
    let ours = &read(&after)["mcpServers"]["smart-colab"];
    assert_eq!(
        *ours,
        json!({
            "command": "/opt/smart colab/smart-colab", "args": [], "disabled": true, "timeout": 3600,
            "env": {"COLAB_URL": "local", "MINE": "1"},
        })
    );
    assert!(after.ends_with("    \"b\": {}\n  }\n}\n"));
    let toml = "[mcp_servers.smart-colab]\ncommand = \"old\" # mine\ntool_timeout_sec = 20\nenv = { MINE = \"1\" }\nenabled = false\n";
    let after = edited(toml, Client::Codex, Some(&entry())).unwrap();
    assert_eq!(
        after,
        "[mcp_servers.smart-colab]\ncommand = \"/opt/smart colab/smart-colab\" # mine\ntool_timeout_sec = 300\n\
         env = { MINE = \"1\" , COLAB_URL = \"local\" }\nenabled = false\nargs = []\nstartup_timeout_sec = 30\n"
    );
}

#[test]
fn a_limit_is_longer_than_a_call_may_take() {
    let mut entry = entry();
    entry.call_budget_sec = Some(900);
    assert_eq!(entry.fields(Client::Codex)["tool_timeout_sec"], 915);
    assert_eq!(entry.fields(Client::Codex)["startup_timeout_sec"], 30);
    assert_eq!(entry.fields(Client::Gemini)["timeout"], 915_000);
    assert_eq!(entry.fields(Client::Cline)["timeout"], 915);
}

#[test]
fn a_config_that_cannot_be_parsed_is_refused_with_the_place() {
    for (client, text, line, column) in [
        (Client::ClaudeDesktop, "{\n  \"a\": 1\n  \"b\": 2\n}", 2, 9),
        (Client::ClaudeDesktop, "{\n  // mine\n}", 2, 3),
        (
            Client::Cursor,
            "{\"mcpServers\": {\"a\": {\"command\": ",
            1,
            34,
        ),
        (Client::Codex, "a = 1\na = 2\n", 2, 1),
        (Client::Codex, "[mcp_servers.x\n", 1, 15),
    ] {
        let fault = edited(text, client, Some(&entry())).unwrap_err();
        let Fault::Syntax {
            line: l,
            column: c,
            what,
        } = fault
        else {
            panic!("{fault:?}");
        };
        assert_eq!((l, c), (line, column), "{text:?}: {what}");
    }
    for (client, text) in [
        (Client::Cursor, "[]"),
        (Client::Cursor, "{\"mcpServers\": []}"),
        (Client::Cursor, "{\"mcpServers\": {\"smart-colab\": 1}}"),
        (Client::Codex, "mcp_servers = 1\n"),
    ] {
        let fault = edited(text, client, Some(&entry())).unwrap_err();
        assert!(matches!(fault, Fault::NotATable(_)), "{text}: {fault:?}");
    }
    let doubled = "{\"mcpServers\": {}, \"mcpServers\": {}}";
    let fault = edited(doubled, Client::Cursor, Some(&entry())).unwrap_err();
    assert_eq!(fault, Fault::Doubled("mcpServers".to_owned()));
}

#[test]
fn a_file_that_changed_meanwhile_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.json");
    fs::write(&path, "{}").unwrap();
    let config = Config::read(Client::Cursor, path.clone()).unwrap();
    let after = config.edited(Some(&entry())).unwrap();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let error = config.replace(&after).unwrap_err();
    assert!(matches!(error, InstallError::Changed(_)), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\": 1}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn claude_desktop_is_found_as_a_package_of_windows_store() {
    let home = tempfile::tempdir().unwrap();
    let roaming = home
        .path()
        .join("local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming");
    fs::create_dir_all(&roaming).unwrap();
    fs::create_dir_all(home.path().join("local/Packages/Microsoft.Copilot_8")).unwrap();
    let folders = Folders {
        system: System::Windows,
        home: home.path().to_owned(),
        config: home.path().join("roaming"),
        local: home.path().join("local"),
        claude_code: None,
        codex: None,
    };
    let config = roaming.join("Claude").join("claude_desktop_config.json");
    assert_eq!(Client::ClaudeDesktop.found(&folders), [config]);
    assert_eq!(
        Client::Zed.usual(&folders).unwrap(),
        home.path().join("roaming/Zed/settings.json")
    );
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    let at_an_address = "{\"mcpServers\": {\"smart-colab\": {\"url\": \"https://a.b\"}}}";
    for client in Client::ALL {
        let written = edited("", client, Some(&entry())).unwrap();
        assert_eq!(found(&written, client), Ok(Found::Program(entry())));
        assert_eq!(found("", client), Ok(Found::Nothing));
        assert!(found("{ torn", client).is_err(), "{client:?}");
    }
    assert_eq!(found(at_an_address, Client::Cursor), Ok(Found::Other));
}
