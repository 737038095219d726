//! Addresses of Jupyter Servers: as people paste them, and as running servers leave them in their runtime folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use directories::BaseDirs;
use serde::Deserialize;
use url::Url;

use super::endpoint::{Endpoint, Kind, check, read_token};
use super::env::{self, Env};
use super::pasted::{self, unquoted};
use crate::base::secret::Secret;

/// What marks an address as that of a Jupyter Server.
pub(super) const PREFIX: &str = "jupyter+";
/// The word for a server that runs on this computer.
const RUNNING: &str = "jupyter";
/// Where its token is found.
const TOKEN_PLACE: &str = "the part after ?token= of the address that the Jupyter Server prints";
/// The first segment below a server's base address, in the addresses that browsers show.
const PAGES: [&str; 12] = [
    "api",
    "consoles",
    "doc",
    "edit",
    "files",
    "lab",
    "login",
    "nbclassic",
    "notebooks",
    "terminals",
    "tree",
    "view",
];

/// The folder in which the running servers describe themselves, if `text` is the word for them.
pub(super) fn running_in(text: &str, env: &Env) -> Option<PathBuf> {
    let is_it = unquoted(text).eq_ignore_ascii_case(RUNNING);
    is_it.then(|| runtime_dir(env))
}

/// The tokens that are set beside the address.
pub(super) fn tokens(env: &Env) -> impl Iterator<Item = (&'static str, &str)> {
    let names = [env::JUPYTER_TOKEN, env::COLAB_TOKEN].into_iter();
    names.filter_map(|name| Some((name, env.get(name)?)))
}

/// Whether a text means a Jupyter Server: the word for a running one, or an address with `jupyter+` before it or a token in its query.
#[must_use]
pub fn is_jupyter(text: &str) -> bool {
    let text = unquoted(text).to_ascii_lowercase();
    let address = text.split_once('#').map_or(&*text, |(address, _)| address);
    text == RUNNING
        || text.contains(PREFIX)
        || ["?token=", "&token="]
            .iter()
            .any(|query| address.contains(query))
}

/// Reads an address as the browser shows it or the server prints it. The token is in its query, its fragment, or `beside`, each with the name of
/// its place.
///
/// # Errors
/// The fault, worded to follow the setting's name. It never quotes the text, which may hold the token.
pub(super) fn endpoint<'a>(
    text: &str,
    beside: impl IntoIterator<Item = (&'static str, &'a str)>,
) -> Result<Endpoint, String> {
    let text = pasted::address(text)?;
    if text.eq_ignore_ascii_case(RUNNING) {
        return Err("is the word `jupyter`, not an address: to run code through the Jupyter Server on this computer, set COLAB_URL=jupyter in the \
             client's config"
            .to_owned());
    }
    let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut url = Url::parse(address).map_err(|error| {
        format!("is not an address ({error}): copy the one that the Jupyter Server prints, http://localhost:8888/?token=…")
    })?;
    if !["https", "http"].contains(&url.scheme()) {
        return Err(
            "has neither https:// nor (for this machine itself) http:// before the name of the Jupyter Server, which is all that is accepted: \
             copy the address that the server prints"
                .to_owned(),
        );
    }
    check(&url)?;
    let queried = url.query_pairs().find(|(name, _)| name == "token");
    let queried = queried.map(|(_, value)| value.into_owned());
    let fragment = fragment.strip_prefix("token=").unwrap_or(fragment);
    let within = queried.or_else(|| Some(fragment.to_owned()));
    let within = within.filter(|token| !token.trim().is_empty());
    let mut token = None;
    let within = within.map(|token| ("the address", token));
    let beside = beside.into_iter();
    let beside = beside.map(|(place, token)| (place, token.to_owned()));
    for (place, text) in within.into_iter().chain(beside) {
        let read = read_token(&text, TOKEN_PLACE)
            .map_err(|fault| format!("has a token ({place}) that {fault}"))?;
        match &token {
            Some((first, other)) if *other != read => {
                return Err(format!(
                    "has two tokens that differ, in {first} and in {place}: remove the old one"
                ));
            }
            Some(_) => {}
            None => token = Some((place, read)),
        }
    }
    let token = token.map_or_else(|| Secret::new(""), |(_, token)| token);
    url.set_query(None);
    let segments: Vec<_> = url.path().split('/').map(str::to_owned).collect();
    let page = |at: &usize| {
        // A hub's user may have the name of a page.
        let is_name = *at > 0 && segments[*at - 1] == "user";
        PAGES.contains(&&*segments[*at]) && !is_name
    };
    let end = (0..segments.len()).find(page).unwrap_or(segments.len());
    url.set_path(&segments[..end].join("/"));
    Ok(Endpoint {
        kind: Kind::Jupyter,
        url,
        token,
    })
}

/// Where servers on this computer describe themselves, by the rules of `jupyter_core`.
fn runtime_dir(env: &Env) -> PathBuf {
    if let Some(folder) = env.get(env::JUPYTER_RUNTIME_DIR) {
        return PathBuf::from(folder);
    }
    let data = env.get(env::JUPYTER_DATA_DIR).map(PathBuf::from);
    let data = data.or_else(|| {
        let dirs = BaseDirs::new()?;
        Some(if cfg!(target_os = "macos") {
            dirs.home_dir().join("Library/Jupyter")
        } else {
            dirs.data_dir().join("jupyter")
        })
    });
    data.unwrap_or_default().join("runtime")
}

/// The file of a running server.
#[derive(Deserialize)]
struct Running {
    base_url: String,
    hostname: String,
    port: u16,
    secure: bool,
    token: String,
}

/// The servers that have described themselves in `folder`, the newest first. Some may have ended.
#[must_use]
pub fn running(folder: &Path) -> Vec<Endpoint> {
    let mut found: Vec<(SystemTime, Endpoint)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_server = name.starts_with("jpserver-") || name.starts_with("nbserver-");
            is_server && name.ends_with(".json")
        })
        .filter_map(|entry| {
            let changed = entry.metadata().ok()?.modified().ok()?;
            Some((changed, described(&fs::read(entry.path()).ok()?)?))
        })
        .collect();
    found.sort_by_key(|(changed, _)| std::cmp::Reverse(*changed));
    found.into_iter().map(|(_, endpoint)| endpoint).collect()
}

fn described(file: &[u8]) -> Option<Endpoint> {
    let server: Running = serde_json::from_slice(file).ok()?;
    let scheme = if server.secure { "https" } else { "http" };
    let is_local = ["localhost", "127.0.0.1"].contains(&&*server.hostname);
    let host = match &*server.hostname {
        "::1" => "[::1]",
        name if is_local => name,
        // It listens at all addresses, or has a name of this computer.
        _ => "127.0.0.1",
    };
    let address = format!("{scheme}://{host}:{}{}", server.port, server.base_url);
    Some(Endpoint {
        kind: Kind::Jupyter,
        url: Url::parse(&address).ok().filter(|url| check(url).is_ok())?,
        token: Secret::new(server.token),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Env, endpoint, is_jupyter, running, running_in, tokens};

    fn at(text: &str, pairs: [(&str, &str); 1]) -> (String, String) {
        let endpoint = endpoint(text, tokens(&Env::from(pairs))).unwrap();
        assert!(is_jupyter(text));
        (endpoint.address(), endpoint.token.expose().to_owned())
    }

    #[test]
    fn an_address_is_read_as_people_paste_it() {
        let (none, beside) = ([("X", "")], [("JUPYTER_TOKEN", "b3side")]);
        for (text, address, token) in [
            (
                "jupyter+http://localhost:8888/lab?token=s3cret",
                "http://localhost:8888",
                "s3cret",
            ),
            (
                "\"jupyter+http://127.0.0.1:8888/tree/a/b.ipynb?token=s3cret\"",
                "http://127.0.0.1:8888",
                "s3cret",
            ),
            (
                "Jupyter+https://hub.example/user/bob/lab/tree/x?token=s3cret&y=1",
                "https://hub.example/user/bob",
                "s3cret",
            ),
            (
                "jupyter+https://hub.example/user/lab/lab#s3cret",
                "https://hub.example/user/lab",
                "s3cret",
            ),
            (
                "jupyter+https://a.example/x/notebooks/a%20b.ipynb#token=s3cret",
                "https://a.example/x",
                "s3cret",
            ),
            (
                "jupyter+http://localhost:8888/",
                "http://localhost:8888",
                "",
            ),
        ] {
            assert_eq!(
                at(text, none),
                (address.to_owned(), token.to_owned()),
                "{text}"
            );
        }
        assert_eq!(at("jupyter+http://localhost:8888/lab", beside).1, "b3side");
        let colab = [("COLAB_TOKEN", "b3side")];
        assert_eq!(at("jupyter+http://localhost:8888/lab", colab).1, "b3side");
        assert_eq!(
            at("jupyter+http://localhost/?token=b3side", colab).1,
            "b3side"
        );
        for (name, _) in [beside[0], colab[0]] {
            let env = Env::from([(name, "b3side")]);
            let fault = endpoint("jupyter+http://localhost/?token=s3cret", tokens(&env));
            let fault = fault.unwrap_err();
            assert!(fault.contains(name) && fault.contains("differ"), "{fault}");
            assert!(
                !fault.contains("s3cret") && !fault.contains("b3side"),
                "{fault}"
            );
        }
        assert!(!is_jupyter("https://a.example#t"));
        assert!(is_jupyter("http://localhost:8888/lab?token=s3cret"));
        let running = [" Jupyter ", "jupyter+http://localhost/"]
            .map(|text| running_in(text, &Env::default()).is_some());
        assert_eq!(running, [true, false]);
    }

    #[test]
    fn a_fault_does_not_show_the_token() {
        for (text, word) in [
            ("jupyter+http://10.0.0.1:8888/?token=s3cret", "clear text"),
            ("jupyter+https://me:s3cret@a.example/", "user name"),
            (
                "jupyter+https://a.example/?token=s3cret%20s3cret",
                "a space",
            ),
            ("jupyter+a.example/?token=s3cret", "not an address"),
            (
                "jupyter+ftp://a.example/?token=s3cret",
                "all that is accepted",
            ),
            (
                "jupyter+https://a.example/?token=s3cr%C3%A9t",
                "after ?token= of the address that the Jupyter Server prints",
            ),
        ] {
            let fault = endpoint(text, None).unwrap_err();
            assert!(fault.contains(word) && !fault.contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn running_servers_are_found_by_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        file(
            "jpserver-1.json",
            r#"{"base_url": "/b/", "hostname": "0.0.0.0", "port": 8890, "secure": false, "token": "t", "pid": 1}"#,
        );
        file("jpserver-2.json", "{");
        file("kernel-1.json", "{}");
        let found = running(folder.path());
        let [one] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(one.address(), "http://127.0.0.1:8890/b");
        assert!(running(&folder.path().join("none")).is_empty());
    }
}
