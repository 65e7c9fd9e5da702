//! What the store consists of, in one number.

use super::{Slot, Store};
use crate::digest::Digest;

impl Store {
    pub(crate) fn digest(&self, digest: &mut Digest<'_>) {
        // The lists follow from the links, the counts from the slab and the tombstones, and the map
        // of ids from both.
        let Self {
            slots,
            free,
            live: _,
            ids: _,
            tombstones,
            max_tombstones: _,
            settled: _,
            closed: _,
            lists: _,
            lens: _,
            ready: _,
        } = self;
        digest.count(slots.len());
        digest.value(free);
        for slot in slots {
            match slot {
                Slot::Used(stream) => stream.digest(digest),
                Slot::Free(next) => digest.value(next),
            }
        }
        digest.count(tombstones.len());
        for &id in tombstones {
            digest.value(&(id, self.entry(id)));
        }
    }
}
