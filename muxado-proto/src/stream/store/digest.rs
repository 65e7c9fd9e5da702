//! The contents of the store as one number.

use super::Store;
use crate::digest::Digest;

impl Store {
    pub(crate) fn digest(&self, digest: &mut Digest<'_>) {
        // The links and the first streams determine the queues, and the slab the counts.
        let Self { slab, entries, first, stalled: _, lens: _, ready: _ } = self;
        digest.value(first);
        digest.count(slab.len());
        for number in 0..slab.end() {
            if let Some(stream) = slab.get(number) {
                digest.number(number.into());
                stream.digest(digest);
            }
        }
        digest.flag(slab.keeps_spare());
        entries.digest(digest);
    }
}
