//! Where a stream is.

/// A place in the slab. Valid until its stream is removed; look-ups by a stale key find nothing
/// or, once the place is reused, another stream, so keys do not leave the session: ids do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) struct Key(u32);

impl Key {
    /// No place.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(super) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}
