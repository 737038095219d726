//! The bridge from outside.

#![allow(clippy::unwrap_used)]

mod download;
