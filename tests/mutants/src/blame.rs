//! From an error of the compiler to the mutants that cause it.

use std::ops::Range;

/// A marked piece of a rewritten file.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes.
    pub range: Range<usize>,
    /// What it is.
    pub what: What,
}

/// What a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A mutant.
    Mutant(u32),
    /// A site, named after its first mutant.
    Site(u32),
}

/// The marked pieces of a text.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut open = Vec::new();
    for (at, _) in text.match_indices("/*") {
        let Some(length) = text[at..].find("*/") else { break };
        let comment = &text[at + 2..at + length];
        if let Some(what) = comment.strip_prefix('[').and_then(parse) {
            open.push((at, what));
        } else if let Some(what) = comment.strip_suffix(']').and_then(parse)
            && let Some((start, begun)) = open.pop()
        {
            debug_assert_eq!(begun, what, "pieces are nested");
            pieces.push(Piece { range: start..at + length + 2, what });
        }
    }
    pieces
}

fn parse(name: &str) -> Option<What> {
    let number = name.get(1..)?.parse().ok()?;
    match name.as_bytes().first()? {
        b'm' => Some(What::Mutant(number)),
        b's' => Some(What::Site(number)),
        _ => None,
    }
}

/// The smallest piece that contains these bytes.
pub fn innermost(pieces: &[Piece], bytes: &Range<usize>) -> Option<What> {
    let around = |piece: &&Piece| piece.range.start <= bytes.start && bytes.end <= piece.range.end;
    let found = pieces.iter().filter(around).min_by_key(|piece| piece.range.len());
    found.map(|piece| piece.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_piece_is_blamed() {
        let text = "a /*[s1*/ b /*[m2*/ c /*m2]*/ /*s1]*/ /* d */";
        let pieces = pieces(text);
        let at = |what: &str| text.find(what).map(|at| at..at + 1).expect("a letter");
        assert_eq!(innermost(&pieces, &at("a")), None);
        assert_eq!(innermost(&pieces, &at("b")), Some(What::Site(1)));
        assert_eq!(innermost(&pieces, &at("c")), Some(What::Mutant(2)));
        assert_eq!(innermost(&pieces, &at("d")), None);
    }
}
