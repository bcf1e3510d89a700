//! Letter case beyond ASCII, for ILIKE: Unicode's simple case folding, as regular expressions have it, for arrow-rs makes one
//! of the pattern.

use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// The characters beyond ASCII that are equal to a lower one when case is ignored, in order, each before the lowest of
/// those: two words of 32 bits.
pub(super) static FOLDS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let cased = |c: &char| !c.to_lowercase().eq([*c]) || !c.to_uppercase().eq([*c]);
    let folds = ('\u{80}'..=char::MAX).filter(cased).map(|c| [c, fold(c)]).filter(|[c, fold]| c != fold);
    folds.flatten().flat_map(|c| u32::from(c).to_le_bytes()).collect()
});

/// The lowest character that is equal when case is ignored.
fn fold(c: char) -> char {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    class.case_fold_simple();
    class.ranges().first().map_or(c, ClassUnicodeRange::start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No character without a lower or an upper form has others that it is equal to.
    #[test]
    fn all_of_unicode() {
        let words: Vec<u32> = FOLDS.chunks(4).map(|w| u32::from_le_bytes(w.try_into().expect("a word"))).collect();
        let mut folds = words.chunks(2);
        let mut next = folds.next();
        for c in '\u{80}'..=char::MAX {
            let listed = next.filter(|pair| pair[0] == u32::from(c));
            assert_eq!(listed.map_or(u32::from(c), |pair| pair[1]), u32::from(fold(c)), "{c:?}");
            if listed.is_some() {
                next = folds.next();
            }
        }
        assert!(next.is_none());
        assert_eq!(('a'..='z').map(fold).collect::<String>(), ('A'..='Z').collect::<String>());
        assert_eq!(['\u{17f}', '\u{212a}', 'ς', 'é'].map(fold), ['S', 'K', 'Σ', 'É']);
    }
}
