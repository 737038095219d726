//! Calls to a machine that boots.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::fault::not_ready;
use super::{Shared, State};
use crate::provision::colab::BOOTING;
use crate::runtime::RuntimeResult;

/// How long a call waits for it.
const BOOT_PATIENCE: Duration = Duration::from_secs(10);

impl Shared {
    /// Waits a while if the machine is booting, which may take minutes, and goes on in the background.
    pub(super) async fn await_boot(&self, deadline: Instant) -> RuntimeResult<()> {
        let is_booting =
            |state: &State| matches!(state, State::Starting { doing, .. } if doing == BOOTING);
        let end = deadline.min(Instant::now() + BOOT_PATIENCE);
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Starting { .. }));
        let _ = timeout_at(end, settled).await.is_ok();
        match is_booting(&self.state.borrow()) {
            true => Err(not_ready(BOOTING)),
            false => Ok(()),
        }
    }
}
