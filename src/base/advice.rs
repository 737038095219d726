//! Remedies as values, which each face words.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Add;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Sentences for a person or a model. Whatever each face offers in its own form (a tool, a command, a button) is a [`Step`] in them.
///
/// Serialized [`in_words_of`] a face it is a string; otherwise it keeps its steps, so that a file of it can be worded by any face.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Json")]
pub struct Advice(Vec<Part>);

/// How a face words a step.
pub type Words = fn(&Step) -> Cow<'static, str>;

thread_local! {
    static WORDS: Cell<Option<Words>> = const { Cell::new(None) };
}

/// Runs `serialize`; all advice in it becomes strings in the words of a face.
pub fn in_words_of<T>(words: Words, serialize: impl FnOnce() -> T) -> T {
    let before = WORDS.replace(Some(words));
    let serialized = serialize();
    WORDS.set(before);
    serialized
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Text(Cow<'static, str>),
    Step(Step),
}

/// A part of advice that each face words: a whole sentence, or the name of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    // Sentences.
    /// Name a machine for the first time.
    Configure,
    /// Wait until the local environment is ready.
    AwaitEnvironment,
    /// See whether the executor still runs, and where.
    CheckExecutor,
    /// Try again, and look at the machine if that does not help.
    CheckLoad,
    /// Wait until the tunnel's plan renews, or use another tunnel; `sign` is ngrok's error code.
    ChangeTunnel {
        sign: String,
    },
    /// Start the executor again where it ran.
    RestartExecutor,
    /// Supply the address with the current token.
    RenewToken,
    /// See whether the Jupyter Server runs, and where.
    CheckJupyter,
    /// Start a Jupyter Server on this computer.
    StartJupyter,
    /// Supply the Jupyter Server's token, which was not given.
    GiveJupyterToken,
    /// Supply the Jupyter Server's address with its current token.
    RenewJupyterToken,
    /// Run this version's executor.
    UpdateExecutor,
    /// Check the address; if it is right, run this version's executor.
    CheckAddressOrUpdate,
    /// Find out which server answers in place of the executor.
    CheckAddress,
    /// Reconnect to the machine at `place`.
    ConnectBack {
        place: String,
    },
    /// Sign in to Google.
    SignIn,
    /// Have a machine of Colab assigned.
    AssignMachine,
    /// See which machines Colab has assigned, and give one back.
    ListMachines,
    /// Put this server into a client's config, by the client's id; without one, into all that are installed.
    Install {
        client: Option<String>,
    },
    /// Retry after this many seconds.
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
    /// Read or follow a job; without an id, the one that the sentence names.
    Output {
        job: Option<String>,
    },
    /// End a job; without an id, the one that the sentence names.
    Interrupt {
        job: Option<String>,
    },
    RestartSession,
    ListVariables,
    ListFiles,
    Upload,
    Download,
    Mirror,
    ListCheckpoints,
    GetCheckpoint,
    DeleteCheckpoint,
    OpenNotebook,
    GetCells,
    OpenTab,

    // Arguments, with what they belong to where that has to be said.
    /// Code with a longer time limit: whom to give what.
    LongerRun,
    /// The path on the runtime.
    RemotePath,
    /// The name or path of a download here.
    LocalName,
    /// The folder that downloads go to.
    SaveDir,
}

impl Step {
    /// The step that reads the job `id`.
    pub fn output(id: impl ToString) -> Self {
        let job = Some(id.to_string());
        Self::Output { job }
    }

    /// The step that ends the job `id`.
    pub fn interrupt(id: impl ToString) -> Self {
        let job = Some(id.to_string());
        Self::Interrupt { job }
    }
}

impl Advice {
    /// Renders the advice; `word` words each step.
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

    /// Appends `other` as separate sentences.
    #[must_use]
    pub fn then(self, other: impl Into<Self>) -> Self {
        let other = other.into();
        if self.0.is_empty() || other.0.is_empty() {
            self + other
        } else {
            self + " " + other
        }
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

/// Advice in JSON. A hint that another version wrote never makes a state file unreadable.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    Text(String),
    Parts {
        #[serde(rename = "$advice", deserialize_with = "known_parts")]
        parts: Vec<Part>,
    },
}

/// Reads all parts; none if one of them is unknown to this version.
fn known_parts<'de, D: Deserializer<'de>>(saved: D) -> Result<Vec<Part>, D::Error> {
    let saved = Value::deserialize(saved)?;
    Ok(serde_json::from_value(saved).unwrap_or_default())
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

impl Serialize for Advice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match WORDS.get() {
            Some(words) => serializer.serialize_str(&self.worded(words)),
            None => Json::from(self.clone()).serialize(serializer),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Advice, Step, in_words_of};

    fn advice() -> Advice {
        Advice::from("To see it, call ") + Step::output(7) + "."
    }

    #[test]
    fn steps_are_worded_in_place() {
        let worded = advice()
            .then("Then rest.")
            .worded(|step| format!("<{step:?}>").into());
        assert_eq!(
            worded,
            "To see it, call <Output { job: Some(\"7\") }>. Then rest."
        );
    }

    #[test]
    fn saved_advice_keeps_its_steps_and_a_face_words_them() {
        let saved = serde_json::to_value(advice()).unwrap();
        let read: Advice = serde_json::from_value(saved).unwrap();
        assert_eq!(read, advice());
        let shown = in_words_of(|_| "it".into(), || serde_json::to_value(&read).unwrap());
        assert_eq!(shown, json!("To see it, call it."));
        assert_eq!(
            serde_json::to_value(&read).unwrap()["$advice"][0],
            json!({"text": "To see it, call "})
        );
    }

    #[test]
    fn advice_with_an_unknown_step_reads_as_empty() {
        let saved = json!({"$advice": [{"text": "Call "}, {"step": "fly"}]});
        let read: Advice = serde_json::from_value(saved).unwrap();
        assert_eq!(read, Advice::default());
        assert!(serde_json::from_value::<Advice>(json!(null)).is_err());
    }

    #[test]
    fn advice_without_steps_is_a_string_on_disk_too() {
        let text = Advice::from("Rest. ") + "Then call.";
        let saved = serde_json::to_value(&text).unwrap();
        assert_eq!(saved, json!("Rest. Then call."));
        let read: Advice = serde_json::from_value(saved).unwrap();
        assert_eq!(read, Advice::from("Rest. Then call."));
    }
}
