//! What tests share.

pub(crate) mod machine;
pub(crate) mod python;
