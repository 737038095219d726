//! `smart-colab install`: clients' configs, in a home of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::home::Home;

const TOKEN: &str = "kT3vQ9xLm2Rp7sWc4nYbZ8dF";

/// Runs `install` with nobody to ask.
fn install(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    home.program(variables)
        .arg("install")
        .args(arguments)
        .env("PATH", home.path())
        .env_remove("CLAUDE_CONFIG_DIR")
        .env_remove("CODEX_HOME")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn config(home: &Home, path: &str, text: &str) -> PathBuf {
    let path = home.folder("home").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn backups(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut found: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|found| {
            let found = found.file_name().unwrap().to_string_lossy().into_owned();
            found.starts_with(&format!("{name}.backup-"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn all_clients_that_are_installed_get_the_server_and_lose_it_again() {
    let home = Home::new();
    let json = "{\n  \"mcpServers\": {\n    \"fs\": {\"command\": \"npx\"}\n  }\n}\n";
    let toml = "model = \"x\" # mine\n\n[mcp_servers.fs]\ncommand = \"npx\"\n";
    let cursor = config(&home, ".cursor/mcp.json", json);
    let codex = config(&home, ".codex/config.toml", toml);
    let variables = [("COLAB_URL", ""), ("SMART_COLAB_CALL_BUDGET_SEC", "400")];
    let done = install(&home, &["--local", "--json"], &variables);
    assert!(done.status.success(), "{}", said(&done));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let states: Vec<_> = report["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["client"].as_str().unwrap(),
                row["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(states, [("cursor", "written"), ("codex", "written")]);
    let written: Value = serde_json::from_str(&fs::read_to_string(&cursor).unwrap()).unwrap();
    let entry = &written["mcpServers"]["smart-colab"];
    assert_eq!(entry["command"], env!("CARGO_BIN_EXE_smart-colab"));
    assert_eq!(entry["env"]["COLAB_URL"], "local");
    let results = home.folder("results");
    assert_eq!(entry["env"]["LOCAL_SAVE_DIR"], results.to_str().unwrap());
    assert_eq!(written["mcpServers"]["fs"]["command"], "npx");
    let written = fs::read_to_string(&codex).unwrap();
    assert!(written.starts_with(toml), "{written}");
    assert!(written.contains("tool_timeout_sec = 415"), "{written}");
    assert_eq!(fs::read_to_string(&backups(&codex)[0]).unwrap(), toml);

    let again = install(&home, &["--local"], &variables);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(
        backups(&codex).len(),
        1,
        "nothing to change, nothing to keep"
    );

    let removed = install(&home, &["--uninstall"], &[]);
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(fs::read_to_string(&cursor).unwrap(), json);
    assert_eq!(fs::read_to_string(&codex).unwrap(), toml);
}

#[test]
fn a_token_reaches_no_config_and_no_terminal() {
    let home = Home::new();
    let theirs = config(
        &home,
        ".cursor/mcp.json",
        "{\"mcpServers\": {\"a\": {\"env\": {\"KEY\": \"another-servers-secret\"}}}}",
    );
    for address in [
        "https://a.trycloudflare.com",
        "jupyter+http://127.0.0.1:8888",
    ] {
        let url = format!("{address}#{TOKEN}");
        let variables = [("COLAB_URL", url.as_str()), ("JUPYTER_TOKEN", TOKEN)];
        for arguments in [
            &["cursor", "--dry-run"][..],
            &["--print"],
            &["cursor", "zed"],
        ] {
            let done = install(&home, arguments, &variables);
            assert!(done.status.success(), "{}", said(&done));
            assert!(!said(&done).contains(TOKEN));
        }
    }
    let written = fs::read_to_string(&theirs).unwrap();
    assert!(written.contains("smart-colab") && !written.contains(TOKEN));
    assert!(!home.everything().contains(TOKEN));
}

#[test]
fn lines_of_other_servers_are_not_shown() {
    let home = Home::new();
    for text in [
        "{\n  \"mcpServers\": {\n    \"a\": {\"env\": {\"KEY\": \"another-servers-secret\"}}\n  }\n}\n",
        "{\n  \"mcpServers\": {\"a\": {\"env\": {\"KEY\": \"another-servers-secret\"}}}\n}\n",
    ] {
        config(&home, ".cursor/mcp.json", text);
        for arguments in [&["--dry-run"][..], &["--local"], &[], &["--uninstall"]] {
            let said = said(&install(&home, arguments, &[]));
            assert!(!said.contains("another-servers-secret"), "{said}");
            let is_shown =
                said.contains("\"smart-colab\": {") || said.contains("nothing to change");
            assert!(is_shown, "{said}");
        }
    }
}

#[test]
fn a_dry_run_and_print_change_nothing() {
    let home = Home::new();
    let cursor = config(&home, ".cursor/mcp.json", "{}");
    for arguments in [&["--dry-run"][..], &["--print"]] {
        let done = install(&home, arguments, &[]);
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains("smart-colab"), "{}", said(&done));
        assert_eq!(fs::read_to_string(&cursor).unwrap(), "{}");
    }
    assert!(backups(&cursor).is_empty());
}

#[test]
fn a_broken_config_is_left_as_it_is_and_the_others_are_written() {
    let home = Home::new();
    let broken = "{\n  \"mcpServers\": {\n    \"a\": {}\n    \"b\": {}\n  }\n}";
    let cursor = config(&home, ".cursor/mcp.json", broken);
    let doubled = config(&home, ".codex/config.toml", "a = 1\na = 2\n");
    let gemini = config(
        &home,
        ".gemini/settings.json",
        "{\n  // mine\n  \"ui\": {},\n}\n",
    );
    let done = install(&home, &["--yes"], &[]);
    assert!(!done.status.success());
    let said = said(&done);
    assert!(
        said.contains("mcp.json was left as it is: line 3, column"),
        "{said}"
    );
    assert!(
        said.contains("config.toml was left as it is: line 2, column 1"),
        "{said}"
    );
    assert!(said.contains("--print shows it"), "{said}");
    assert_eq!(fs::read_to_string(&cursor).unwrap(), broken);
    assert_eq!(fs::read_to_string(&doubled).unwrap(), "a = 1\na = 2\n");
    let written = fs::read_to_string(&gemini).unwrap();
    assert!(
        written.contains("// mine") && written.contains("\"timeout\": 600000"),
        "{written}"
    );
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_a_protected_file_stays_as_it_is() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let home = Home::new();
    let dotfiles = config(&home, "dotfiles/mcp.json", "{}\n");
    fs::set_permissions(&dotfiles, fs::Permissions::from_mode(0o640)).unwrap();
    let link = config(&home, ".cursor/mcp.json", "");
    fs::remove_file(&link).unwrap();
    symlink(&dotfiles, &link).unwrap();
    let protected = config(&home, ".gemini/settings.json", "{}\n");
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o400)).unwrap();
    let done = install(&home, &[], &[]);
    assert!(!done.status.success());
    assert!(said(&done).contains("write-protected"), "{}", said(&done));
    assert_eq!(fs::read_to_string(&protected).unwrap(), "{}\n");
    assert_eq!(fs::read_link(&link).unwrap(), dotfiles);
    assert!(
        fs::read_to_string(&dotfiles)
            .unwrap()
            .contains("smart-colab")
    );
    let mode = fs::metadata(&dotfiles).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn without_a_client_it_says_which_it_knows() {
    let home = Home::new();
    let done = install(&home, &[], &[]);
    assert!(!done.status.success());
    assert!(
        said(&done).contains("claude-desktop, claude-code"),
        "{}",
        said(&done)
    );
    let named = install(&home, &["cursor"], &[]);
    assert!(named.status.success(), "{}", said(&named));
    assert!(home.folder("home").join(".cursor/mcp.json").exists());
}
