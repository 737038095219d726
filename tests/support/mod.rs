//! Helpers that tests share.

pub(crate) mod cable;
pub(crate) mod chance;
pub(crate) mod chromium;
pub(crate) mod colab_site;
pub(crate) mod colab_tab;
pub(crate) mod executor;
pub(crate) mod fake_colab;
pub(crate) mod fake_disk;
pub(crate) mod fake_executor;
pub(crate) mod fake_runtime;
pub(crate) mod hint;
pub(crate) mod home;
pub(crate) mod jupyter;
pub(crate) mod lab_tab;
pub(crate) mod machine;
pub(crate) mod mishaps;
mod port;
pub(crate) mod process;
pub(crate) mod provisioners;
pub(crate) mod proxy;
pub(crate) mod python;
pub(crate) mod rust;
pub(crate) mod stdio;
pub(crate) mod strangers;
pub(crate) mod tls;
pub(crate) mod world;
