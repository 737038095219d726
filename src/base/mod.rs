//! The ground floor: identifiers, secrets, text, faults and what to do about them. No I/O, no clock but for ids, and no import from any other floor.

pub mod advice;
pub mod causes;
pub mod fault;
pub mod hex;
pub mod ids;
pub mod lock;
pub mod secret;
pub mod text;
