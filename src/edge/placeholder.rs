//! Finds placeholders: those of client configs that the client did not replace (`${HOME}`, `$HOME`, `%USERPROFILE%`, `{env:HOME}`), and those of
//! examples that the user did not (`your-token-here`).

use super::env::{self, Env};

/// Words that examples consist of.
const EXAMPLE_WORDS: [&str; 24] = [
    "your",
    "my",
    "the",
    "paste",
    "put",
    "insert",
    "replace",
    "with",
    "change",
    "me",
    "here",
    "token",
    "secret",
    "colab",
    "notebook",
    "ngrok",
    "sub",
    "domain",
    "name",
    "static",
    "tunnel",
    "url",
    "placeholder",
    "example",
];

/// Removes values in which a placeholder was not replaced, and notes a fault for each. Addresses do not matter to `local`.
pub(super) fn without(env: &Env, is_local: bool, faults: &mut Vec<String>) -> Env {
    let remote = [
        env::COLAB_URL,
        env::COLAB_TOKEN,
        env::JUPYTER_URL,
        env::JUPYTER_TOKEN,
    ];
    let is_remote = |name: &str| remote.contains(&name);
    let placeholder = |name| find(env.get(name)?);
    let mut names = env::setting_names().to_vec();
    names.retain(|name| placeholder(name).is_some() && !(is_local && is_remote(name)));
    for name in &names {
        // What looks like a placeholder may be part of the token.
        let shown = placeholder(name).filter(|_| !is_remote(name));
        let shown = shown.map_or_else(String::new, |placeholder| format!(" {placeholder}"));
        faults.push(format!(
            "{name} holds a placeholder{shown} that the client did not replace: write the value itself into the client's config"
        ));
    }
    env.without(&names)
}

/// The first placeholder in a setting.
#[must_use]
pub(super) fn find(text: &str) -> Option<&str> {
    let starts = text.match_indices(['$', '{', '%']);
    starts.into_iter().find_map(|(at, _)| {
        let rest = &text[at..];
        let before = text[..at].chars().next_back();
        let length = braced(rest)
            .or_else(|| percent(rest))
            .or_else(|| dollar(rest, before))?;
        Some(&rest[..length])
    })
}

/// `${…}`, `{env:…}` or `{input:…}`.
fn braced(text: &str) -> Option<usize> {
    let is_open = ["${", "{env:", "{input:"]
        .iter()
        .any(|open| text.starts_with(open));
    let end = text.find('}')?;
    is_open.then_some(end + 1)
}

/// `%NAME%`, and not the `%41%42` of an address.
fn percent(text: &str) -> Option<usize> {
    let (name, _) = text.strip_prefix('%')?.split_once('%')?;
    let is_hex = name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (name_length(name) == Some(name.len()) && !is_hex).then_some(name.len() + 2)
}

/// `$NAME` where a part of a path may begin: elsewhere it may be a part of a name or a token.
fn dollar(text: &str, before: Option<char>) -> Option<usize> {
    let begins = before.is_none_or(|before| "/\\:;,= ".contains(before));
    let length = name_length(text.strip_prefix('$')?)?;
    begins.then_some(length + 1)
}

fn name_length(text: &str) -> Option<usize> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !is_in_name(c)).unwrap_or(text.len());
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_name.then_some(length)
}

/// True for the token of an example.
#[must_use]
pub(super) fn is_example(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    let is_filler = !text.is_empty() && text.chars().all(|c| "xX*.…<>[]_-".contains(c));
    is_words(&plain) || (is_filler && text.chars().count() > 2) || text == "…"
}

/// True for the host of an example: `your-name.ngrok-free.dev`.
#[must_use]
pub(super) fn is_example_host(host: &str) -> bool {
    let label = host.split('.').next().unwrap_or_default();
    let is_yours = label.strip_prefix("your-").or(label.strip_prefix("your_"));
    is_yours.is_some_and(is_example)
}

/// Whether the text consists of example words only.
fn is_words(text: &str) -> bool {
    let rests = |text: &str| -> Vec<usize> {
        let words = EXAMPLE_WORDS.iter();
        words
            .filter(|word| text.starts_with(**word))
            .map(|word| word.len())
            .collect()
    };
    rests(text)
        .into_iter()
        .any(|length| length == text.len() || is_words(&text[length..]))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn placeholders_of_all_clients_are_found_and_ordinary_values_are_not() {
        for (text, found) in [
            ("${HOME}/results", Some("${HOME}")),
            ("/data/${user_config.folder}", Some("${user_config.folder}")),
            ("${env:HOME}", Some("${env:HOME}")),
            ("${COLAB_URL:-local}", Some("${COLAB_URL:-local}")),
            ("{env:HOME}/x", Some("{env:HOME}")),
            ("${input:token}", Some("${input:token}")),
            ("$HOME/results", Some("$HOME")),
            ("/data:$HOME", Some("$HOME")),
            ("$env:USERPROFILE\\x", Some("$env")),
            ("%USERPROFILE%\\x", Some("%USERPROFILE%")),
            ("C:\\x\\%USERNAME%", Some("%USERNAME%")),
            ("https://a.b/%41%42#t$oken", None),
            ("https://a.b/%C3%A4%20x", None),
            ("/data/a$b/100% sure/{x}", None),
            ("smart_colab=debug,[span{field=x}]=trace", None),
            ("~/results", None),
            ("$", None),
            ("${open", None),
        ] {
            assert_eq!(find(text), found, "{text}");
        }
    }
}
