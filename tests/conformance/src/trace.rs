//! The frames of a connection, for the report of a failure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The frames of a connection in both directions, the last ones only.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<VecDeque<String>>>);

impl Trace {
    const LINES: usize = 48;

    pub(super) fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == Self::LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
