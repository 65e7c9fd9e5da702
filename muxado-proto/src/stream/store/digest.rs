//! The contents of the store as one number.

use super::Store;
use crate::digest::Digest;

impl Store {
    pub(crate) fn digest(&self, digest: &mut Digest<'_>) {
        // The links determine the lists; the slab and the tombstones determine the counts and the
        // map of ids.
        let Self {
            slab,
            ids: _,
            tombstones,
            max_tombstones: _,
            settled: _,
            lists: _,
            stalled: _,
            lens: _,
            ready: _,
        } = self;
        digest.count(slab.len());
        for number in 0..slab.end() {
            if let Some(stream) = slab.get(number) {
                digest.number(number.into());
                stream.digest(digest);
            }
        }
        digest.flag(slab.keeps_spare());
        digest.count(tombstones.len());
        for &id in tombstones {
            digest.value(&(id, self.entry(id)));
        }
    }
}
