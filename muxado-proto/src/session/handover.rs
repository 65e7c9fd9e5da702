//! What happened to the latest batch of output.

/// The fate of a batch of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    /// The transport has taken it: the driver has asked for the next one.
    #[default]
    Taken,
    /// The driver has it, and has not asked for the next one.
    Pending,
    /// The transport failed first. It is unknown how much of the batch the peer received.
    Lost,
}

/// Counts the batches that [`Session::poll_transmit`](crate::Session::poll_transmit) hands out, so
/// that a stream knows whether the transport has its last frame.
///
/// There is one batch at a time: asking for the next one means that the previous one was written.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Handover {
    /// The current or latest batch. Wraps: a stream that was idle for 2^32 batches may wait for one
    /// batch too many.
    number: u32,
    fate: Fate,
}

impl Handover {
    /// The previous batch was written; the next one begins.
    pub(super) const fn begin(&mut self) {
        if !matches!(self.fate, Fate::Lost) {
            self.number = self.number.wrapping_add(1);
            self.fate = Fate::Pending;
        }
    }

    /// The previous batch was written, or the new one is empty.
    pub(super) const fn taken(&mut self) {
        if matches!(self.fate, Fate::Pending) {
            self.fate = Fate::Taken;
        }
    }

    /// The transport has failed.
    pub(super) const fn lose(&mut self) {
        if matches!(self.fate, Fate::Pending) {
            self.fate = Fate::Lost;
        }
    }

    /// The batch that is being cut.
    pub(super) const fn current(&self) -> u32 {
        self.number
    }

    /// The batch that the transport has not taken.
    #[cfg(feature = "audit")]
    pub(super) fn with_the_driver(&self) -> Option<u32> {
        (self.fate != Fate::Taken).then_some(self.number)
    }

    /// The number of a batch only identifies it.
    #[cfg(feature = "audit")]
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        digest.number(self.fate as u64);
    }

    /// Whether the transport has taken `batch`.
    pub(super) const fn has_taken(&self, batch: u32) -> bool {
        batch != self.number || matches!(self.fate, Fate::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_when_the_next_one_is_asked_for() {
        let mut handover = Handover::default();
        handover.begin();
        let first = handover.current();
        assert!(!handover.has_taken(first));
        handover.begin();
        assert!(handover.has_taken(first));
        assert!(!handover.has_taken(handover.current()));
        handover.taken();
        assert!(handover.has_taken(handover.current()));
    }

    #[test]
    fn what_is_lost_stays_so() {
        let mut handover = Handover::default();
        handover.begin();
        let lost = handover.current();
        handover.lose();
        handover.begin();
        handover.taken();
        assert!(!handover.has_taken(lost));
        // Without a current batch nothing is lost.
        let mut handover = Handover::default();
        handover.begin();
        handover.taken();
        handover.lose();
        assert!(handover.has_taken(handover.current()));
    }
}
