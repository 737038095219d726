//! Configuration that makes an MCP client start this program.

use std::path::Path;

use serde_json::{Value, json};

/// The entry for `claude_desktop_config.json` of Claude Desktop, and other files of this form.
#[must_use]
pub(super) fn claude_desktop(program: &Path, env: &[(&str, &str)]) -> String {
    let env: serde_json::Map<String, Value> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let config = json!({"mcpServers": {"smart-colab": {"command": program, "env": env}}});
    format!("{config:#}")
}

/// The command for Claude Code, quoted so that it can be pasted into a POSIX shell or PowerShell.
#[must_use]
pub(super) fn claude_code(program: &Path, env: &[(&str, &str)]) -> String {
    let env: String = env
        .iter()
        .map(|(name, value)| format!(" --env {name}={}", quoted(value)))
        .collect();
    format!(
        "claude mcp add smart-colab{env} -- {}",
        quoted(&program.display().to_string())
    )
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:\\=+@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{claude_code, claude_desktop};

    #[test]
    fn the_config_names_program_and_environment() {
        let text = claude_desktop(
            Path::new("/opt/smart colab/smart-colab"),
            &[("COLAB_URL", "local")],
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let entry = &value["mcpServers"]["smart-colab"];
        assert_eq!(entry["command"], "/opt/smart colab/smart-colab");
        assert_eq!(entry["env"]["COLAB_URL"], "local");
    }

    #[test]
    fn a_path_with_spaces_is_quoted() {
        let text = claude_code(Path::new("/a b/smart-colab"), &[("COLAB_URL", "local")]);
        assert_eq!(
            text,
            "claude mcp add smart-colab --env COLAB_URL=local -- \"/a b/smart-colab\""
        );
    }
}
