//! The order of results, and the keys that keep it.

/// The order in which results reach the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of the input: deterministic. The default.
    Input,
    /// The order in which batches finish: the first results come soonest.
    Completion,
}

/// Where a batch stands in the order of the input: the source's count, and which part of that batch it is once
/// batches have been split. A whole batch spans `0..WHOLE`; a split halves the span, so parts keep their order
/// without anyone knowing how many there will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    seq: u64,
    start: u64,
    len: u64,
}

/// Wide enough to halve a batch of 2^31 rows down to one row at each of many stages.
const WHOLE: u64 = 1 << 62;

impl Key {
    /// The key of the source's batch number `seq`.
    pub(super) fn new(seq: u64) -> Self {
        Key { seq, start: 0, len: WHOLE }
    }

    /// The source's number of the batch.
    pub(super) fn seq(self) -> u64 {
        self.seq
    }

    /// Two keys that follow each other in place of this one; `None` when it cannot be halved again.
    pub(super) fn split(self) -> Option<(Key, Key)> {
        let half = self.len / 2;
        (half > 0)
            .then_some((Key { len: half, ..self }, Key { start: self.start + half, len: self.len - half, ..self }))
    }
}

/// The place in the order that is due next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    seq: u64,
    start: u64,
}

impl Cursor {
    /// Whether this key is due next.
    pub(super) fn is_due(self, key: Key) -> bool {
        self.seq == key.seq && self.start == key.start
    }

    /// The place after this key.
    pub(super) fn after(key: Key) -> Cursor {
        match key.start + key.len {
            WHOLE => Cursor { seq: key.seq + 1, start: 0 },
            start => Cursor { seq: key.seq, start },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_keep_the_order_and_cover_the_span() {
        let mut parts = vec![Key::new(7)];
        for i in [0usize, 1, 0, 2, 4, 1] {
            let (a, b) = parts[i].split().unwrap();
            parts.splice(i..=i, [a, b]);
        }
        assert!(parts.is_sorted());
        let mut cursor = Cursor { seq: 7, start: 0 };
        for &part in &parts {
            assert!(cursor.is_due(part));
            cursor = Cursor::after(part);
        }
        assert!(cursor.is_due(Key::new(8)));
    }
}
