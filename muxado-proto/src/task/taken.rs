//! Chunks that a reader takes under the lock and copies after it.

use bytes::Bytes;

use crate::StreamMut;

/// Larger reads take chunks; smaller ones are copied at once.
pub(super) const LARGE_READ: usize = 16 << 10;

/// Chunks taken at once.
const MOST: usize = 16;

/// Some chunks from the front of a stream.
#[derive(Debug, Default)]
pub(super) struct Taken([Option<Bytes>; MOST]);

impl Taken {
    /// Takes received bytes, at most `max` and as many chunks as there are places. An end or an
    /// error after them is left for the next call.
    pub(super) fn fill(&mut self, stream: &mut StreamMut<'_>, max: usize) {
        let mut places = self.0.iter_mut();
        let mut free = places.next();
        stream.take_chunks(max, |chunk| {
            if let Some(place) = free.take() {
                *place = Some(chunk);
            }
            free = places.next();
            free.is_some()
        });
    }

    /// Passes the chunks on and drops them; returns their size in bytes.
    pub(super) fn put(&mut self, put: &mut impl FnMut(&[u8])) -> usize {
        let mut count = 0usize;
        for place in &mut self.0 {
            let Some(chunk) = place.take() else { break };
            put(&chunk);
            count = count.saturating_add(chunk.len());
        }
        count
    }
}
