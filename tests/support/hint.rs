//! The advice of errors and reports, as a client reads it.

use smart_colab::base::advice::Advice;
use smart_colab::base::fault::Fault;
use smart_colab::mcp::words;

pub(crate) trait Hint: Fault {
    fn hint(&self) -> String {
        worded(&self.remedy())
    }
}

impl<F: Fault> Hint for F {}

pub(crate) fn worded(advice: &Advice) -> String {
    advice.worded(words::word)
}
