//! The policy for risky calls in code, for executors that this program starts on this computer.

use super::env::{self, Env};

const LEVELS: [&str; 4] = ["off", "warn", "confirm", "deny"];
const KINDS: [&str; 4] = ["delete", "shell", "credentials", "network"];
const DEFAULT: &str = "warn";

/// The policy in the form in which the executor reads it.
pub(super) fn read(env: &Env) -> Result<String, String> {
    let text = env.get(env::POLICY).unwrap_or(DEFAULT);
    let plain = text.to_ascii_lowercase();
    let parts = || {
        let parts = plain.split(',').map(str::trim);
        parts.filter(|part| !part.is_empty())
    };
    for part in parts() {
        let (kind, level) = part.split_once('=').unwrap_or((KINDS[0], part));
        if !LEVELS.contains(&level.trim()) || !KINDS.contains(&kind.trim()) {
            return Err(format!(
                "{} is {text:?}: it must be one of {}, or one for each kind of {}, such as warn,network=deny",
                env::POLICY,
                LEVELS.join(", "),
                KINDS.join(", ")
            ));
        }
    }
    let read: Vec<&str> = parts().collect();
    match read.is_empty() {
        true => Ok(DEFAULT.to_owned()),
        false => Ok(read.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Env, read};

    #[test]
    fn a_policy_is_a_level_or_one_for_each_kind_of_call() {
        let read = |text| read(&Env::from([("SMART_COLAB_POLICY", text)]));
        assert_eq!(read("").unwrap(), "warn");
        assert_eq!(read("off, Delete = deny").unwrap(), "off,delete = deny");
        assert_eq!(read("WARN,").unwrap(), "warn");
        assert_eq!(read(",").unwrap(), "warn");
        for wrong in ["strict", "shell", "warn,disk=deny", "deny;off"] {
            assert!(
                read(wrong).unwrap_err().contains("warn,network=deny"),
                "{wrong}"
            );
        }
    }
}
