//! What a join keeps, and which keys it calls equal.

use crate::ops::expr::Expr;

/// Which rows a join keeps. "Left" is the probe side, "right" the built table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinType {
    /// Pairs of rows that match.
    #[default]
    Inner,
    /// Those, and the probe rows without a match, with nulls for the built table's columns.
    Left,
    /// The pairs, and at the end the built rows without a match, with nulls for the probe side's columns.
    Right,
    /// The pairs, and the rows of both sides without a match.
    Full,
    /// Probe rows with a match, once each.
    LeftSemi,
    /// Probe rows without a match.
    LeftAnti,
    /// At the end, the built rows with a match, once each.
    RightSemi,
    /// At the end, the built rows without a match.
    RightAnti,
    /// All probe rows, with a boolean column `mark`, which is true where there is a match and never null.
    LeftMark,
}

impl JoinType {
    /// Whether joined rows are pairs, with columns of both sides.
    pub(super) fn pairs(self) -> bool {
        matches!(self, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
    }

    /// Whether probe rows without a match appear, beside nulls.
    pub(super) fn keeps_left(self) -> bool {
        matches!(self, JoinType::Left | JoinType::Full)
    }

    /// Whether built rows appear at the end, alone: those rows [`HashJoin::finish`](super::HashJoin::finish) gives.
    pub fn gives_built_rows(self) -> bool {
        matches!(self, JoinType::Right | JoinType::Full | JoinType::RightSemi | JoinType::RightAnti)
    }
}

/// A join type with its conditions; a [`JoinType`] alone converts to it.
///
/// ```
/// use warpline::ops::expr::Expr;
/// use warpline::ops::join::{JoinOptions, JoinType};
/// let options = JoinOptions::new(JoinType::LeftAnti).null_equals_null(true).residual(Expr::parse("price < limit")?);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinOptions {
    pub(super) kind: JoinType,
    pub(super) null_equals_null: bool,
    pub(super) residual: Option<Expr>,
}

impl JoinOptions {
    /// Which rows are kept.
    pub fn join_type(&self) -> JoinType {
        self.kind
    }

    /// Nulls match nothing, and equal keys suffice.
    pub fn new(kind: JoinType) -> Self {
        JoinOptions { kind, ..Default::default() }
    }

    /// Whether a null key matches a null key, as SQL's `IS NOT DISTINCT FROM`. By default it matches nothing.
    #[must_use]
    pub fn null_equals_null(mut self, equal: bool) -> Self {
        self.null_equals_null = equal;
        self
    }

    /// A condition that a pair of rows with equal keys must meet too, as in SQL's ON clause: a pair that does not is no
    /// match. It sees the columns of an inner join, under their names there.
    #[must_use]
    pub fn residual(mut self, condition: Expr) -> Self {
        self.residual = Some(condition);
        self
    }
}

impl From<JoinType> for JoinOptions {
    fn from(kind: JoinType) -> Self {
        JoinOptions::new(kind)
    }
}
