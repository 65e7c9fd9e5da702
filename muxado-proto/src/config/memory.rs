//! How much memory a session with given settings can hold.

use super::{BLOCK, Config};
use crate::stream::buffer::{HEADS, REMNANT, SLACK};

/// The record of a stream, the heads of its buffers and its share of the tables.
const RECORD: u64 = 1 << 10;

/// The memory for what a stream may still buffer for sending when the session's buffer is full.
const RESERVED: u64 = 8 << 10;

/// The memory of a stream without the bytes it has received.
const OF_A_STREAM: u64 = RECORD + RESERVED + SLACK as u64;

/// The fraction that the heads of chunks take.
const HEADS_OF: u64 = HEADS as u64;

/// Bytes of a batch of output before its last frame.
const BATCH: u64 = 256 << 10;

/// The memory of a tombstone: its place in the map of ids, which is at least three eighths full at
/// its largest, and in a queue that doubles.
const OF_A_TOMBSTONE: u64 = 64;

/// The memory of a pending RST, in a queue that doubles.
pub(crate) const OF_A_RESET: u64 = 32;

/// The memory of a range of skipped ids, in a B-tree whose nodes are five elevenths full or more.
const OF_A_GAP: u64 = 32;

/// The session itself, one partial frame, spare buffers while it is busy, and bytes that are copied
/// or arrive while buffers are compacted.
const FIXED: u64 = 512 << 10;

/// The record of a stream that is over, and the memory that its unread bytes keep alive beyond
/// their own size.
const OF_AN_ENDED_STREAM: u64 = 9 << 10;

impl Config {
    /// Streams that may be open at once: those of both sides, and heartbeats.
    fn streams(&self) -> u64 {
        // One heartbeat is this side's own.
        u64::from(self.max_inbound_streams)
            .saturating_add(u64::from(self.max_outbound_streams))
            .saturating_add(u64::from(self.max_heartbeat_responders))
            .saturating_add(1)
    }

    /// Bytes that a peer may send at once on all streams that may be open.
    pub(crate) fn first_windows(&self) -> u64 {
        self.streams().saturating_mul(u64::from(self.receive_window))
    }

    /// By how much all windows together may grow, beside all initial windows.
    pub(crate) fn growth(&self) -> u64 {
        let left = self.session_receive_buffer.saturating_sub(self.first_windows());
        left.min(u64::from(self.window_budget))
    }

    /// The maximum that a peer may be promised; with `overcommit`, the maximum that is kept of it.
    pub(crate) fn promises(&self) -> u64 {
        let growth = if self.auto_tune { u64::from(self.window_budget) } else { 0 };
        let promises = self.first_windows().saturating_add(growth);
        promises.min(self.session_receive_buffer)
    }

    /// The memory held for received bytes, compacted.
    pub(crate) fn held_for(received: u64) -> u64 {
        received.saturating_add(received / HEADS_OF)
    }

    /// Streams that may be over and not released: accepted ones, and own ones.
    const fn ended_streams(&self) -> u64 {
        let accepted = (self.max_inbound_streams as u64).saturating_mul(2);
        accepted.saturating_add(self.max_outbound_streams as u64)
    }

    /// The memory that does not depend on streams.
    fn of_a_session(&self) -> u64 {
        let tables = u64::from(self.tombstones)
            .saturating_mul(OF_A_TOMBSTONE)
            .saturating_add(u64::from(self.pending_resets).saturating_mul(OF_A_RESET))
            .saturating_add(u64::from(self.id_gaps).saturating_mul(OF_A_GAP));
        tables.saturating_add(u64::from(self.goaway_text).saturating_mul(2)).saturating_add(FIXED)
    }

    /// The memory that a batch of output keeps alive, and the block of memory by which the send buffers
    /// may exceed their limit.
    fn of_a_batch(&self) -> u64 {
        let batch = BATCH.saturating_add(self.max_frame_size.into());
        batch.saturating_mul(REMNANT as u64).saturating_add(BLOCK as u64)
    }

    /// The maximum memory that a session with these settings holds, in bytes, for any behaviour of
    /// the peer. SECURITY.md has the formula.
    ///
    /// Chunks that the application has taken do not count. Inputs have to fill at least half of
    /// their memory, as [`handle_input`](crate::Session::handle_input) says, and the formula
    /// assumes that batches of output are no longer than
    /// [`batch_size`](crate::Session::batch_size).
    #[must_use]
    pub fn max_memory(&self) -> u64 {
        let sent = u64::from(self.session_send_buffer).saturating_mul(2);
        Self::held_for(self.promises())
            .saturating_add(sent)
            .saturating_add(self.of_a_batch())
            .saturating_add(self.streams().saturating_mul(OF_A_STREAM))
            .saturating_add(self.ended_streams().saturating_mul(OF_AN_ENDED_STREAM))
            .saturating_add(self.of_a_session())
    }

    /// The minimum memory for a useful session with these settings, in bytes: one stream each way,
    /// and the heartbeats of a typed session. It is reserved in a
    /// [`MemoryBudget`](crate::MemoryBudget) when a session is created.
    #[must_use]
    pub fn min_memory(&self) -> u64 {
        u64::from(self.covered_streams())
            .saturating_mul(2)
            .saturating_mul(self.stream_memory())
            .saturating_add(self.send_memory(self.min_send_buffer()))
            .saturating_add(self.of_a_session())
    }

    /// How many streams of each side the minimum covers.
    pub(crate) const fn covered_streams(&self) -> u32 {
        if self.typed { 2 } else { 1 }
    }

    /// The memory that one stream can hold, unless its window grows.
    pub(crate) fn stream_memory(&self) -> u64 {
        Self::held_for(self.receive_window.into()).saturating_add(OF_A_STREAM)
    }

    /// Bytes written and not sent that the minimum covers.
    pub(crate) fn min_send_buffer(&self) -> u64 {
        u64::from(self.session_send_buffer).min(BLOCK as u64)
    }

    /// The memory that `most` bytes written and not sent can hold, and the same again in the
    /// current batch of output.
    pub(crate) fn send_memory(&self, most: u64) -> u64 {
        let buffers = most.saturating_mul(2).saturating_add(BLOCK as u64);
        buffers.saturating_add(buffers.min(self.of_a_batch()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_most_memory_is_what_the_formula_says() {
        let received = 2053 * 262_144 + (32 << 20);
        let formula = received
            + received / 64
            + 2 * (16 << 20)
            + 8 * ((256 << 10) + 16_360)
            + (64 << 10)
            + (17 << 10) * 2053
            + (9 << 10) * 3 * 1024
            + 64 * 1024
            + 32 * 1024
            + 32 * 1024
            + 2 * 4096
            + (512 << 10);
        assert_eq!(Config::default().max_memory(), formula);
    }

    #[test]
    fn what_is_reserved_is_what_the_formula_says() {
        let config = Config::default();
        let stream = 262_144 + 262_144 / 64 + (17 << 10);
        assert_eq!(config.stream_memory(), stream);
        // Written bytes count twice, for the blocks they keep alive, and again in the current batch.
        let [small, large] = [64 << 10, 16 << 20].map(|most| config.send_memory(most));
        assert_eq!(small, 2 * (3 * (64 << 10)));
        assert_eq!(large, 2 * (16 << 20) + (64 << 10) + 8 * ((256 << 10) + 16_360) + (64 << 10));
        let session = 64 * 1024 + 32 * 1024 + 32 * 1024 + 2 * 4096 + (512 << 10);
        assert_eq!(config.min_memory(), 2 * stream + small + session);
        let tiny = Config::builder().session_send_buffer(1000).build().unwrap();
        assert_eq!((config.min_send_buffer(), tiny.min_send_buffer()), (64 << 10, 1000));
    }

    #[test]
    fn l4_settings_that_promise_more_than_they_hold_are_refused() {
        let many = Config::builder().max_inbound_streams(2000);
        let error = many.clone().build().unwrap_err();
        assert_eq!(error.setting(), "session_receive_buffer");
        assert!(error.to_string().contains("`max_inbound_streams`"), "{error}");
        assert!(many.clone().overcommit(true).build().is_ok());
        assert!(many.session_receive_buffer(1 << 30).build().is_ok());
        let small = Config::builder().session_receive_buffer(1 << 20);
        assert!(small.clone().build().is_err());
        let few = small.max_inbound_streams(1).max_outbound_streams(1).max_heartbeat_responders(1);
        assert_eq!(few.build().map(|config| config.growth()), Ok(0));
    }

    #[test]
    fn a_session_with_fewer_streams_holds_less() {
        let few = Config::builder().max_inbound_streams(1).max_outbound_streams(1).build().unwrap();
        assert!(few.max_memory() < 70 << 20, "{}", few.max_memory());
        let ngrok = Config::for_ngrok().build().unwrap();
        assert_eq!((ngrok.growth(), ngrok.promises()), (0, 997 * 262_144));
    }
}
