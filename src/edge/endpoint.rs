//! An address and the token that opens it.

use std::net::IpAddr;

use url::{Host, Url};

use super::{jupyter, pasted, placeholder};
use crate::base::secret::Secret;

/// Stands before a machine's name.
const MACHINE: &str = "colab:";

/// What answers at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Executor,
    /// A Jupyter Server: the executor is started on its machine, and spoken to through it.
    Jupyter,
    /// A machine that Colab has assigned, by its name there (`colab:NAME`): the same through the machine's own Jupyter Server.
    Machine,
}

/// An address and the token that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub kind: Kind,
    /// Without fragment.
    pub url: Url,
    /// Empty if a Jupyter Server wants none.
    pub token: Secret,
}

impl Endpoint {
    /// The address for people: no token, no trailing slash.
    #[must_use]
    pub fn address(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    /// The machine of this name at Colab.
    ///
    /// # Errors
    /// The fault of the name, worded to follow that of the setting.
    pub fn machine(name: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let url = Url::parse(&format!("{MACHINE}{name}")).ok();
        let url = url.filter(|_| !name.is_empty() && name.chars().all(plain));
        Ok(Self {
            kind: Kind::Machine,
            url: url.ok_or(
                "is not colab: and the name of a machine, as `smart-colab colab status` shows it",
            )?,
            token: Secret::new(""),
        })
    }

    /// The name of a [`Kind::Machine`].
    #[must_use]
    pub fn machine_name(&self) -> &str {
        self.url.path()
    }

    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

/// Reads `https://…#TOKEN`, as the notebook prints it, or the address of a Jupyter Server from pasted text; `token` is one that was given
/// separately.
///
/// # Errors
/// The fault, worded to follow the setting's name. It never quotes the text, which may hold the token.
pub fn endpoint(text: &str, token: Option<&str>) -> Result<Endpoint, String> {
    let beside = token.filter(|token| !token.trim().is_empty());
    if jupyter::is_jupyter(text) {
        let beside = beside.map(|token| ("the one given separately", token));
        return jupyter::endpoint(text, beside);
    }
    if let Some(name) = machine_name(text) {
        return Endpoint::machine(name);
    }
    let address = Address::read(text)?;
    let beside = beside.map(|token| read_token(token, NOTEBOOK)).transpose();
    address.with(beside.map_err(|fault| format!("has a separate token that {fault}"))?)
}

/// The name after `colab:`, if this is what the text is.
pub(super) fn machine_name(text: &str) -> Option<&str> {
    let text = pasted::unquoted(text);
    let start = text.get(..MACHINE.len())?;
    let is_it = start.eq_ignore_ascii_case(MACHINE) && !text[MACHINE.len()..].starts_with("//");
    is_it.then(|| &text[MACHINE.len()..])
}

/// An address, and the token within it.
pub(super) struct Address {
    url: Url,
    token: Option<Secret>,
}

impl Address {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = pasted::address(text)?;
        if text.eq_ignore_ascii_case("local") {
            return Err("is the word `local`, not an address: to run code on this computer, set COLAB_URL=local in the client's config"
                .to_owned());
        }
        // Split before parsing, which would escape characters that no token has.
        let (address, token) = text.split_once('#').unwrap_or((text, ""));
        let mut url = Url::parse(address).map_err(|error| {
            format!("is not an address ({error}): copy the line that the notebook prints, https://…#TOKEN")
        })?;
        check(&url)?;
        url.set_query(None);
        let token = Some(token.trim()).filter(|token| !token.is_empty());
        let token = token.map(|token| read_token(token, NOTEBOOK)).transpose();
        let token = token.map_err(|fault| format!("has a token that {fault}"))?;
        Ok(Self { url, token })
    }

    /// Adds the token that was given separately.
    pub(super) fn with(self, beside: Option<Secret>) -> Result<Endpoint, String> {
        let token = match (self.token, beside) {
            (Some(within), Some(beside)) if within != beside => {
                return Err("has a different token after its # than the one given separately (COLAB_TOKEN): remove the old one".to_owned());
            }
            (Some(token), _) | (None, Some(token)) => token,
            (None, None) => {
                return Err("has no token: copy the whole line that the notebook prints, with the part after #, or give the token separately \
                     (COLAB_TOKEN)"
                    .to_owned());
            }
        };
        Ok(Endpoint {
            kind: Kind::Executor,
            url: self.url,
            token,
        })
    }
}

/// Refuses addresses that would show a token, and those that cannot be meant.
pub(super) fn check(url: &Url) -> Result<(), String> {
    let fault = match url.scheme() {
        "http" if !is_loopback(url) => {
            let port = url.port_or_known_default().unwrap_or_default();
            return Err(format!(
                "starts with http://, which would send the token in clear text: use https://, or forward the port to this computer with \
                 `ssh -L {port}:localhost:{port} HOST` and use http://localhost:{port}"
            ));
        }
        "https" | "http" => "",
        // The text is not quoted: what stands before a colon may be part of a token.
        _ => "does not start with https:// (or http:// for this machine itself)",
    };
    let host = url.host_str().unwrap_or_default();
    let fault = if !fault.is_empty() {
        fault
    } else if !url.username().is_empty() || url.password().is_some() {
        "contains a user name or password: put the token after a #, or give it separately"
    } else if url.port() == Some(0) {
        "names port 0, where nothing can listen"
    } else if host == "colab.research.google.com" {
        "is the page of the notebook itself: run its cells, and copy the line that the last one prints, https://…#TOKEN"
    } else if placeholder::is_example_host(host) {
        "is still an example: replace it with the address that the notebook or the server prints"
    } else {
        return Ok(());
    };
    Err(fault.to_owned())
}

/// Where the tokens of executors are found, to follow "copy" or "give".
pub(super) const NOTEBOOK: &str = "the part after # of the line that the notebook prints";

/// Reads a pasted token, which is found at `place`.
///
/// # Errors
/// The fault, worded to follow the setting's name. It never quotes the text.
pub(super) fn read_token(text: &str, place: &str) -> Result<Secret, String> {
    let text = pasted::unquoted(text).trim_start_matches('#');
    let has = |is_odd: fn(char) -> bool| text.contains(is_odd);
    let fault = if placeholder::is_example(text) {
        format!("is still an example: replace it with {place}")
    } else if text.contains("://") {
        format!("is an address: give only the token, {place}")
    } else if has(char::is_whitespace) {
        "contains a space or a line break, which no token has: copy it again, without `Bearer` or anything else around it".to_owned()
    } else if has(|c| "\"'`“”‘’".contains(c)) {
        "contains a quote, which no token has: copy it again without quotes".to_owned()
    } else if has(|c| !c.is_ascii_graphic()) {
        format!(
            "contains a character that no token has (tokens are ASCII): copy the whole token again, {place}"
        )
    } else {
        return Ok(Secret::new(text));
    };
    Err(fault)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{NOTEBOOK, endpoint, read_token};

    #[test]
    fn invalid_tokens_are_refused_without_being_shown() {
        for text in [
            "your-token-here",
            "<token>",
            "TOKEN",
            "YOUR_TOKEN",
            "<your token>",
            "changeme",
            "xxxxxxxx",
            "****",
            "…",
            "...",
            "s3c ret",
            "Bearer s3cret",
            "s3c\nret",
            "s3c\"ret",
            "\"s3cret",
            "s3cr\u{e9}t",
            "s3cret…",
            "https://a.b#s3cret",
        ] {
            let fault = read_token(text, NOTEBOOK).unwrap_err();
            assert!(!fault.contains("s3c") && !fault.contains("ret"), "{fault}");
            let beside = endpoint("https://a.b", Some(text));
            assert!(beside.is_err(), "{text}");
            let within = endpoint(&format!("https://a.b#{text}"), None);
            assert!(within.is_err() || text.contains('*'), "{text}");
        }
        for text in [
            "s3cret",
            " s3cret ",
            "\"s3cret\"",
            "`s3cret`",
            "<s3cret>",
            "#s3cret",
        ] {
            assert_eq!(
                read_token(text, NOTEBOOK).unwrap().expose(),
                "s3cret",
                "{text}"
            );
        }
        for text in ["t", "my-token-4711", "tokenize", "a(b)c%20!"] {
            assert_eq!(read_token(text, NOTEBOOK).unwrap().expose(), text);
        }
    }

    #[test]
    fn the_fault_of_an_invalid_address_is_named() {
        for (text, word) in [
            ("a.ngrok-free.dev#t", "is not an address"),
            ("Local\n", "set COLAB_URL=local"),
            ("localhost:5001#t", "does not start with https://"),
            ("https://a.b:99999#t", "is not an address"),
            ("http://127.0.0.1:0#t", "port 0"),
            (
                "https://colab.research.google.com/drive/1#scrollTo=x",
                "page of the notebook itself",
            ),
            ("https://your-name.ngrok-free.dev#t", "still an example"),
            (
                "https://YOUR-SUBDOMAIN.trycloudflare.com#t",
                "still an example",
            ),
            ("https://a.b#", "has no token"),
            ("jupyter", "set COLAB_URL=jupyter"),
            ("jupyter+http://a.b/?token=t", "clear text"),
            ("http://localhost:8888/lab?token=t", ""),
            ("https://a.b#t", ""),
            ("https://your.b:8443/proxy/5001/?x=1#t", ""),
        ] {
            match endpoint(text, None) {
                Ok(_) => assert_eq!(word, "", "{text}"),
                Err(fault) => assert!(!word.is_empty() && fault.contains(word), "{text}: {fault}"),
            }
        }
    }

    #[test]
    fn two_different_tokens_are_refused() {
        let both = |beside| endpoint("https://a.b#s3cret", Some(beside));
        assert!(both("s3cret").is_ok() && both(" ").is_ok());
        let fault = both("0ther").unwrap_err();
        assert!(
            fault.contains("different token") && !fault.contains("s3cret"),
            "{fault}"
        );
    }
}
