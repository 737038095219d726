//! Addresses of notebooks in Colab, and of our own page that leads to one.

use std::fmt::{self, Display, Formatter};

use thiserror::Error;
use url::{Host, Url};

/// The pages whose scripts may connect. A notebook's address must be of one of them.
const HOSTS: [&str; 2] = ["colab.research.google.com", "colab.google.com"];
const EMPTY: &str = "https://colab.research.google.com/notebooks/empty.ipynb";
/// Where our page is.
pub(super) const DOOR: &str = "/open/";

/// A notebook in Colab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page(Url);

/// An address that is no notebook's in Colab.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not the address of a notebook in Colab")]
pub struct NotColab(pub String);

impl Default for Page {
    #[expect(clippy::expect_used, reason = "a constant")]
    fn default() -> Self {
        Self(Url::parse(EMPTY).expect("it is an address"))
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Page {
    /// Reads the address of a notebook; what earlier invitations put into it is dropped.
    pub(super) fn parse(text: &str) -> Result<Self, NotColab> {
        let refused = || NotColab(text.to_owned());
        let mut url = Url::parse(text.trim()).map_err(|_| refused())?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_colab = url.scheme() == "https"
            && url.port().is_none()
            && matches!(url.host(), Some(Host::Domain(host)) if HOSTS.contains(&host));
        if !(is_colab && is_plain) {
            return Err(refused());
        }
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "p")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        let fragment = url.fragment().unwrap_or_default().to_owned();
        let ours = ["mcpProxyToken=", "mcpProxyPort="];
        let kept: Vec<&str> = fragment
            .split('&')
            .filter(|part| !part.is_empty() && !ours.iter().any(|name| part.starts_with(name)))
            .collect();
        url.set_fragment(Some(&*kept.join("&")).filter(|kept| !kept.is_empty()));
        Ok(Self(url))
    }

    /// Its address with what its script needs to connect. `p` keeps a browser from reusing a tab that has the fragment of an earlier process.
    pub(super) fn inviting(&self, token: &str, port: u16) -> Url {
        let mut url = self.0.clone();
        url.query_pairs_mut().append_pair("p", &port.to_string());
        let before = url.fragment().map(|kept| format!("{kept}&"));
        let fragment = format!(
            "{}mcpProxyToken={token}&mcpProxyPort={port}",
            before.unwrap_or_default()
        );
        url.set_fragment(Some(&fragment));
        url
    }
}

/// Our own page.
#[expect(clippy::expect_used, reason = "a constant, a number and base64")]
pub(super) fn door(port: u16, ticket: &str) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}{DOOR}{ticket}")).expect("it is an address")
}

/// Whether a page of this origin may connect.
pub(super) fn is_colab(origin: &str) -> bool {
    let host = origin.strip_prefix("https://");
    host.is_some_and(|host| HOSTS.contains(&host))
}

#[cfg(test)]
mod tests {
    use super::{Page, door, is_colab};

    #[test]
    fn a_notebooks_address_invites_once_whatever_it_held_before() {
        let first = Page::default().inviting("tok", 7);
        let empty = "https://colab.research.google.com/notebooks/empty.ipynb";
        let wanted = format!("{empty}?p=7#mcpProxyToken=tok&mcpProxyPort=7");
        assert_eq!(first.as_str(), wanted);
        let again = Page::parse(first.as_str()).unwrap();
        assert_eq!(again, Page::default());
        for (given, wanted) in [
            (
                "https://colab.research.google.com/drive/1a?authuser=1#scrollTo=x",
                "https://colab.research.google.com/drive/1a?authuser=1&p=7#scrollTo=x&mcpProxyToken=t&mcpProxyPort=7",
            ),
            (
                " https://colab.google.com/github/a/b/blob/main/c.ipynb ",
                "https://colab.google.com/github/a/b/blob/main/c.ipynb?p=7#mcpProxyToken=t&mcpProxyPort=7",
            ),
        ] {
            let page = Page::parse(given).unwrap();
            assert_eq!(page.inviting("t", 7).as_str(), wanted);
        }
        assert_eq!(door(7, "abc").as_str(), "http://127.0.0.1:7/open/abc");
    }

    #[test]
    fn addresses_and_origins_that_are_almost_colabs_are_refused() {
        for almost in [
            "colab.research.google.com/drive/1",
            "http://colab.research.google.com/drive/1",
            "https://colab.research.google.com:8443/drive/1",
            "https://colab.research.google.com.example.org/drive/1",
            "https://user@colab.research.google.com/drive/1",
            "https://example.org/?https://colab.research.google.com",
            "file:///colab.research.google.com",
            "",
        ] {
            assert!(Page::parse(almost).is_err(), "{almost}");
        }
        assert!(is_colab("https://colab.research.google.com"));
        assert!(is_colab("https://colab.google.com"));
        for almost in [
            "http://colab.research.google.com",
            "https://colab.research.google.com:443",
            "https://colab.research.google.com/",
            "https://xcolab.google.com",
            "https://COLAB.google.com",
            "null",
            "",
        ] {
            assert!(!is_colab(almost), "{almost}");
        }
    }
}
