//! What to do next, as a value that each face words.

use std::borrow::Cow;
use std::ops::Add;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sentences for a person or a model. What each face offers in its own form (a tool, a command, a button) is a [`Step`] in them.
///
/// In JSON it is a string where it holds no step, and otherwise an object that [`Advice::from_json`] knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Json", into = "Json")]
pub struct Advice(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Text(Cow<'static, str>),
    Step(Step),
}

/// What a face words: a whole sentence, or the name of something that can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    // Sentences.
    /// Name a machine for the first time.
    Configure,
    /// Wait until the local environment is made.
    AwaitEnvironment,
    /// See whether the executor still runs, and where.
    CheckExecutor,
    /// Try again, and look at the machine if that does not help.
    CheckLoad,
    /// Wait for the tunnel's plan, which ngrok explains under `sign`, or take another tunnel.
    ChangeTunnel {
        sign: String,
    },
    /// Start the executor again where it ran.
    RestartExecutor,
    /// Give the address with the token that is valid now.
    RenewToken,
    /// Run this version's executor.
    UpdateExecutor,
    /// The same, if the address is the right one.
    CheckAddressOrUpdate,
    /// Find out what answers in the executor's place.
    CheckAddress,
    /// Return to the machine of `place`.
    ConnectBack {
        place: String,
    },
    /// Try again after so many seconds.
    Retry {
        after_sec: u64,
    },

    // Names.
    CheckConnection,
    Connect,
    Probe,
    RunQuick,
    RunLong,
    RunChunked,
    ListJobs,
    /// Read or follow a job: one that the sentence names where there is no id.
    Output {
        job: Option<String>,
    },
    /// End a job: one that the sentence names where there is no id.
    Interrupt {
        job: Option<String>,
    },
    RestartSession,
    ListVariables,
    ListFiles,
    Upload,
    Download,
    ListCheckpoints,
    GetCheckpoint,
    DeleteCheckpoint,
}

impl Step {
    /// Reading the job `id`.
    pub fn output(id: impl ToString) -> Self {
        let job = Some(id.to_string());
        Self::Output { job }
    }

    /// Ending the job `id`.
    pub fn interrupt(id: impl ToString) -> Self {
        let job = Some(id.to_string());
        Self::Interrupt { job }
    }
}

impl Advice {
    /// The whole in the words of a face.
    pub fn worded(&self, word: impl Fn(&Step) -> Cow<'static, str>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(words) => text += words,
                Part::Step(step) => text += &word(step),
            }
        }
        text
    }

    /// With `other` behind it, as sentences of its own.
    #[must_use]
    pub fn then(self, other: impl Into<Self>) -> Self {
        let other = other.into();
        if self.0.is_empty() || other.0.is_empty() {
            self + other
        } else {
            self + " " + other
        }
    }

    /// The advice that a value in JSON is, where a step is in it.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let is_advice = value.get(KEY).is_some();
        is_advice.then(|| Self::deserialize(value).ok())?
    }
}

impl<T: Into<Advice>> Add<T> for Advice {
    type Output = Self;

    fn add(mut self, more: T) -> Self {
        self.0.extend(more.into().0);
        self
    }
}

impl From<Cow<'static, str>> for Advice {
    fn from(text: Cow<'static, str>) -> Self {
        Self(
            (!text.is_empty())
                .then_some(Part::Text(text))
                .into_iter()
                .collect(),
        )
    }
}

impl From<&'static str> for Advice {
    fn from(text: &'static str) -> Self {
        Cow::Borrowed(text).into()
    }
}

impl From<String> for Advice {
    fn from(text: String) -> Self {
        Cow::<'static, str>::Owned(text).into()
    }
}

impl From<Step> for Advice {
    fn from(step: Step) -> Self {
        Self(vec![Part::Step(step)])
    }
}

const KEY: &str = "$advice";

/// Advice as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    Text(String),
    Parts {
        #[serde(rename = "$advice")]
        parts: Vec<Part>,
    },
}

impl From<Advice> for Json {
    fn from(advice: Advice) -> Self {
        let texts = advice.0.iter().map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Step(_) => None,
        });
        match texts.collect() {
            Some(text) => Self::Text(text),
            None => Self::Parts { parts: advice.0 },
        }
    }
}

impl From<Json> for Advice {
    fn from(json: Json) -> Self {
        match json {
            Json::Text(text) => text.into(),
            Json::Parts { parts } => Self(parts),
        }
    }
}

/// A string: it is worded before a client sees it.
impl JsonSchema for Advice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Advice, Step};

    fn advice() -> Advice {
        Advice::from("To see it, call ") + Step::output(7) + "."
    }

    #[test]
    fn steps_are_worded_where_they_stand() {
        let worded = advice()
            .then("Then rest.")
            .worded(|step| format!("<{step:?}>").into());
        assert_eq!(
            worded,
            "To see it, call <Output { job: Some(\"7\") }>. Then rest."
        );
    }

    #[test]
    fn advice_survives_json_and_plain_text_is_a_string_there() {
        let saved = serde_json::to_value(advice()).unwrap();
        assert_eq!(Advice::from_json(&saved), Some(advice()));
        let text = Advice::from("Rest. ") + "Then call.";
        let saved = serde_json::to_value(&text).unwrap();
        assert_eq!(saved, json!("Rest. Then call."));
        let read: Advice = serde_json::from_value(saved).unwrap();
        assert_eq!(read, Advice::from("Rest. Then call."));
        assert_eq!(Advice::from_json(&json!({"text": "user's own"})), None);
    }
}
