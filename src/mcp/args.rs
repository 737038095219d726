//! Arguments as models send them.

use super::fault::Fault;
use crate::base::ids::JobId;
use crate::wire::session::is_name;

use serde::{Deserialize, Deserializer, de::Error};

/// A whole number that may come as `600`, `600.0` or `"600"`: some clients know no integers.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Nothing,
        Whole(u64),
        Fraction(f64),
        Text(String),
    }
    let fault = || D::Error::custom("a whole number, 0 or more, is wanted");
    match Given::deserialize(deserializer).map_err(|_| fault())? {
        Given::Nothing => Ok(None),
        Given::Whole(number) => Ok(Some(number)),
        Given::Fraction(number) if number >= 0.0 && number.fract() == 0.0 && number < 9e15 =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked above"
            )]
            Ok(Some(number as u64))
        }
        Given::Fraction(_) => Err(fault()),
        Given::Text(text) => text.trim().parse().map(Some).map_err(|_| fault()),
    }
}

/// The same, and less than 0 too.
pub(super) fn whole_or_negative<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let fault = || D::Error::custom("a whole number is wanted");
    let given = Option::<serde_json::Value>::deserialize(deserializer)?;
    let Some(given) = given else { return Ok(None) };
    let text = match given.as_str() {
        Some(text) => text.trim().to_owned(),
        None => given.to_string(),
    };
    let text = text.strip_suffix(".0").unwrap_or(&text);
    text.parse().map(Some).map_err(|_| fault())
}

/// The same for an argument that must be given.
pub(super) fn required_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole(deserializer)?.ok_or_else(|| D::Error::custom("a whole number is wanted"))
}

/// The session that is meant where none is named.
pub(super) const MAIN: &str = "main";
/// Characters of a wrong argument that its error repeats.
const SHOWN: usize = 64;

/// A session's name as the executor takes it: letters, digits, `_` and `-`, 1 to 64 of them.
pub(super) fn session(name: String) -> Result<String, Fault> {
    if is_name(&name) {
        return Ok(name);
    }
    let shown: String = name.chars().take(SHOWN).collect();
    Err(Fault::invalid(format!(
        "{shown:?} is no name for a session: it is 1 to 64 letters, digits, _ or -"
    )))
}

/// The same, `main` where none is named.
pub(super) fn session_or_main(name: Option<String>) -> Result<String, Fault> {
    name.map_or_else(|| Ok(MAIN.to_owned()), session)
}

/// The UUID that an earlier answer named.
pub(super) fn job_id(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(SHOWN).collect();
        Fault::invalid(format!(
            "{shown:?} is not a job_id: it is the UUID that an earlier answer named, or one of list_jobs"
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize)]
    struct Args {
        #[serde(default, deserialize_with = "super::whole")]
        n: Option<u64>,
    }

    #[derive(Deserialize)]
    struct Signed {
        #[serde(default, deserialize_with = "super::whole_or_negative")]
        n: Option<i64>,
    }

    #[test]
    fn some_may_be_less_than_nothing() {
        for (given, expected) in [
            (json!({}), Some(None)),
            (json!({"n": -20}), Some(Some(-20))),
            (json!({"n": "-20"}), Some(Some(-20))),
            (json!({"n": -20.0}), Some(Some(-20))),
            (json!({"n": -0.5}), None),
            (json!({"n": "end"}), None),
            (json!({"n": [1]}), None),
        ] {
            let read = serde_json::from_value::<Signed>(given.clone());
            assert_eq!(read.ok().map(|args| args.n), expected, "{given}");
        }
    }

    #[test]
    fn whole_numbers_come_in_several_dresses() {
        for (given, expected) in [
            (json!({}), Some(None)),
            (json!({"n": null}), Some(None)),
            (json!({"n": 600}), Some(Some(600))),
            (json!({"n": 600.0}), Some(Some(600))),
            (json!({"n": " 600 "}), Some(Some(600))),
            (json!({"n": 0.5}), None),
            (json!({"n": -1}), None),
            (json!({"n": "soon"}), None),
            (json!({"n": [1]}), None),
        ] {
            let read = serde_json::from_value::<Args>(given.clone())
                .ok()
                .map(|args| args.n);
            assert_eq!(read, expected, "{given}");
        }
    }
}
