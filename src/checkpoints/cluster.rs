//! The names of clusters that a plan may have.

use std::ops::RangeInclusive;

/// Instead of a cluster's name: the session's kernel.
pub(super) const NONE: &str = "none";
const MAX_CLUSTER_BYTES: usize = 500;
const LOCAL_WORKERS: RangeInclusive<u16> = 1..=9_999;
/// What a scheduler's address may begin with, as the executor checks it, too.
const SCHEMES: [&str; 6] = ["tcp", "tls", "ws", "wss", "ucx", "inproc"];
/// Not names of variables, however they are spelt.
const RESERVED: [&str; 3] = ["local", "dask", NONE];

/// What to write instead of a name that is none of a cluster.
pub(super) fn fault(name: &str) -> String {
    let meant = name.to_ascii_lowercase();
    if meant != name && is_valid(&meant) {
        return format!("did you mean {meant}?");
    }
    if meant.starts_with("local:") {
        return format!(
            "local:WORKERS takes {} to {} workers",
            LOCAL_WORKERS.start(),
            LOCAL_WORKERS.end()
        );
    }
    if let Some((scheme, _)) = meant.split_once("://")
        && !SCHEMES.contains(&scheme)
    {
        let dashboard = if scheme.starts_with("http") {
            "; one that begins with http is its dashboard's"
        } else {
            ""
        };
        return format!("a scheduler's address begins with tcp:// or tls://{dashboard}");
    }
    format!(
        "it must be local, local:WORKERS, dask, an address such as tcp://host:8786, a variable that setup_code makes, or {NONE}"
    )
}

/// Whether this can name a cluster.
pub(super) fn is_valid(name: &str) -> bool {
    let workers = name.strip_prefix("local:");
    if let Some(workers) = workers {
        return workers
            .parse()
            .is_ok_and(|count: u16| LOCAL_WORKERS.contains(&count));
    }
    let is_reserved = |word: &&str| name.eq_ignore_ascii_case(word) && name != *word;
    if RESERVED.iter().any(is_reserved) {
        return false;
    }
    let is_address = name.split_once("://").is_some_and(|(scheme, place)| {
        SCHEMES.contains(&scheme)
            && !place.is_empty()
            && place.bytes().all(|byte| byte.is_ascii_graphic())
    });
    name.len() <= MAX_CLUSTER_BYTES
        && (is_address || matches!(name, "local" | "dask") || is_variable(name))
}

/// Whether this names a cluster that the setup makes.
pub(super) fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    let begins = (letters.next()).is_some_and(|first| first.is_alphabetic() || first == '_');
    begins
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
        && !matches!(name, "local" | "dask")
}

#[cfg(test)]
mod tests {
    use super::{fault, is_valid};

    #[test]
    fn a_name_that_is_none_of_a_cluster_is_told_what_is_meant() {
        for name in [
            "local",
            "local:12",
            "dask",
            "tls://10.0.0.1:8786",
            "my_cluster",
            "none",
        ] {
            assert!(is_valid(name), "{name}");
        }
        for (name, said) in [
            ("LOCAL", "did you mean local?"),
            ("Local:4", "did you mean local:4?"),
            ("None", "did you mean none?"),
            ("local:0", "1 to 9999 workers"),
            ("local:100000", "1 to 9999 workers"),
            ("http://10.0.0.1:8787", "begins with tcp:// or tls://; one"),
            ("ftp://10.0.0.1:8786", "begins with tcp:// or tls://"),
            ("TCP://10.0.0.1:8786", "did you mean tcp://10.0.0.1:8786?"),
            ("a b", "it must be local"),
        ] {
            assert!(!is_valid(name), "{name}");
            assert!(fault(name).contains(said), "{name}: {}", fault(name));
        }
    }
}
