//! The ground floor: identifiers, secrets, text. No I/O, no clock but for ids, and no import from any other floor.

pub mod causes;
pub mod hex;
pub mod ids;
pub mod secret;
pub mod text;
