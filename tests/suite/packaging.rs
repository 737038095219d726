//! What the packages say agrees with the program. `packaging/package.py` builds and tests them.

use std::fs;
use std::path::Path;

use serde_json::Value;
use smart_colab::edge::env::SETTINGS;

fn packaging(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    serde_json::from_str(&fs::read_to_string(path.join(file)).unwrap()).unwrap()
}

#[track_caller]
fn assert_setting(name: &str) {
    let known = SETTINGS.iter().any(|setting| setting.name == name);
    assert!(known, "{name} is no setting");
}

/// Clients leave `${user_config.…}` in place where there is neither a value nor a default, and show what is not sensitive.
#[test]
fn the_bundle_asks_for_settings_that_exist_and_hides_tokens() {
    let manifest = packaging("bundle/manifest.json");
    let variables = manifest["server"]["mcp_config"]["env"].as_object().unwrap();
    let asked = manifest["user_config"].as_object().unwrap();
    assert_eq!(variables.len(), asked.len(), "each is used once");
    for (name, value) in variables {
        assert_setting(name);
        let field = value.as_str().unwrap();
        let field = field.strip_prefix("${user_config.").unwrap();
        let field = &asked[field.strip_suffix('}').unwrap()];
        assert!(field["default"].is_string(), "{name}: {field}");
        let is_secret = name.ends_with("_TOKEN");
        assert_eq!(field["sensitive"] == true, is_secret, "{name}: {field}");
    }
}

#[test]
fn the_registry_learns_settings_that_exist_and_which_are_secret() {
    let server = packaging("server.json");
    let description = server["description"].as_str().unwrap();
    assert!(description.chars().count() <= 100, "the registry's limit");
    let variables = server["packages"][0]["environmentVariables"].as_array();
    for variable in variables.unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert_setting(name);
        let is_secret = name.ends_with("_TOKEN");
        assert_eq!(variable["isSecret"] == true, is_secret, "{variable}");
    }
}
