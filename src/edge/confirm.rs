//! Whose yes counts for what costs compute units.

use super::env::{self, Env};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirm {
    /// The user's, whom the client asks if it can.
    #[default]
    User,
    /// The model's, which says that the user agreed.
    Model,
}

impl Confirm {
    pub(super) fn read(env: &Env) -> Result<Self, String> {
        match env.get(env::CONFIRM) {
            None | Some("user") => Ok(Self::User),
            Some("model") => Ok(Self::Model),
            Some(other) => Err(format!(
                "{} is {other:?}: it must be user or model",
                env::CONFIRM
            )),
        }
    }
}
