//! Counters of the session. A counter below zero is a bug: debug builds panic, release builds stay
//! at zero.

/// Counts one more.
pub(super) const fn more(figure: &mut u32) {
    *figure = figure.saturating_add(1);
}

/// Counts one less.
pub(super) const fn fewer(figure: &mut u32) {
    debug_assert!(*figure > 0, "a count includes what leaves it");
    *figure = figure.saturating_sub(1);
}

/// Adds bytes.
pub(super) const fn add(figure: &mut u64, bytes: u64) {
    *figure = figure.saturating_add(bytes);
}

/// Subtracts bytes that were added before.
pub(super) const fn take_off(figure: &mut u64, bytes: u64) {
    debug_assert!(*figure >= bytes, "a sum includes what leaves it");
    *figure = figure.saturating_sub(bytes);
}

/// Changes one part of a sum.
pub(super) const fn change(figure: &mut u64, before: u64, after: u64) {
    add(figure, after);
    take_off(figure, before);
}
