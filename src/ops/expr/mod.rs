//! Filter expressions: SQL text to a selection mask, on the host or on a device.
//!
//! [`Expr::parse`] reads the text, [`Expr::bind`] resolves columns and types against a schema (every mistake that does not
//! depend on the data is found there), and [`Predicate::evaluate`] computes a mask from a record batch.
//!
//! - Three-valued logic (Kleene) for AND, OR and NOT. A null in the mask means "not selected".
//! - Numbers compare by value: integers of any two types exactly, integers with floats as f64, decimals exactly.
//!   Integer arithmetic is done in 64 bits (unsigned
//!   for unsigned columns, except differences), checked; `/` on integers truncates; division by zero is an error.
//! - Floats: -0.0 equals 0.0; NaN equals NaN and is above every number, as in PostgreSQL.
//! - Text literals become dates, times or timestamps where the other side is one; a timestamp without an offset is UTC.
//! - Arithmetic on floats is in the wider float of the two; integers take the float's type, decimals f64. Sums and
//!   differences of dates, timestamps, durations and intervals are arrow-rs's, checked; two dates differ by whole days,
//!   intervals of two units meet in months, days and nanoseconds.
//! - The right side of AND and OR is computed only for rows that still need it, so `d <> 0 AND n / d > 2` never fails; and so
//!   are the branches of CASE and the arguments of COALESCE.
//! - `wrapping_add`, `wrapping_sub`, `wrapping_mul` and `wrapping_neg` keep their operands' integer type and never fail.
//!
//! [`Select`] and [`Projection`] do the same for several expressions of any type, as a batch of results. A NaN in a computed
//! column is the positive quiet one without a payload, and a null has no bytes.
//!
//! Against DataFusion 55 (`tests/golden/make_expr_typed.py`): the values are the same, but
//! - integers are computed in 64 bits where DataFusion computes in the operands' width and wraps;
//! - u64 beside a signed type is a decimal of other precision;
//! - u64 beside a literal without a sign stays u64, so that `u / 2` is cut, and `u - 1` and `u + 1` fail beyond its range,
//!   where DataFusion computes decimals: 3.5 for 7 / 2;
//! - a literal takes the type of the column beside it where it fits, also in CASE and COALESCE;
//! - `nullif(a, b)` has the type of `a`, which DataFusion widens to that of both;
//! - `CAST(... AS TIMESTAMP)` and `TIMESTAMP '...'` are in microseconds where DataFusion's are in nanoseconds: finer digits
//!   are cut, and the years before 1677 and after 2262 fit; `arrow_cast` takes any unit;
//! - integers compare with f32 as f64, and a literal with a point beside a decimal is a decimal in comparisons.

mod bind;
mod call;
pub(in crate::ops) mod cast;
mod choice;
pub(in crate::ops) mod cuda;
pub(in crate::ops) mod emit;
mod eval;
mod function;
mod mask;
mod parse;
mod project;
mod reach;
mod zone;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, Schema};

use crate::error::{Error, Result};
pub use eval::Predicate;
pub use function::{DatePart, Function};
pub use project::{Projection, Select, SelectItem};

/// A filter expression over named columns.
///
/// ```
/// use warpline::ops::expr::Expr;
/// let expr: Expr = "width >= 224 and label is not null".parse()?;
/// assert_eq!(expr.to_string(), "width >= 224 AND label IS NOT NULL");
/// assert_eq!(expr.columns().into_iter().collect::<Vec<_>>(), ["label", "width"]);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Expr {
    /// A column by name; names are case-sensitive.
    Column(String),
    /// A constant.
    Literal(Literal),
    /// `left op right`, boolean.
    Compare {
        /// Which comparison.
        op: Comparison,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// `left op right`, numeric.
    Arithmetic {
        /// Which operation.
        op: Arithmetic,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// `-expr`.
    Negate(Box<Expr>),
    /// `left AND right`.
    And(Box<Expr>, Box<Expr>),
    /// `left OR right`.
    Or(Box<Expr>, Box<Expr>),
    /// `NOT expr`.
    Not(Box<Expr>),
    /// `expr IS [NOT] NULL`; never null itself.
    IsNull {
        /// What is tested.
        expr: Box<Expr>,
        /// Whether `NOT` is written.
        negated: bool,
    },
    /// `expr IS [NOT] TRUE|FALSE`; never null itself.
    IsTruth {
        /// What is tested.
        expr: Box<Expr>,
        /// The truth value asked for.
        truth: bool,
        /// Whether `NOT` is written.
        negated: bool,
    },
    /// `expr [NOT] IN (list)`.
    InList {
        /// What is looked up.
        expr: Box<Expr>,
        /// Candidates.
        list: Vec<Expr>,
        /// Whether `NOT` is written.
        negated: bool,
    },
    /// `expr [NOT] BETWEEN low AND high`, both ends included.
    Between {
        /// What is tested.
        expr: Box<Expr>,
        /// Lower end.
        low: Box<Expr>,
        /// Upper end.
        high: Box<Expr>,
        /// Whether `NOT` is written.
        negated: bool,
    },
    /// `expr [NOT] LIKE pattern`: `%` any text, `_` any character, `\` quotes the next character.
    Like {
        /// What is matched.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// Whether `NOT` is written.
        negated: bool,
        /// `ILIKE`: letter case is ignored.
        ignore_case: bool,
    },
    /// `CAST(expr AS type)`, or `TRY_CAST`, which gives null where the value does not fit.
    Cast {
        /// What is converted.
        expr: Box<Expr>,
        /// The target type.
        to: DataType,
        /// Whether a misfit is null instead of an error.
        lenient: bool,
    },
    /// `CASE WHEN when THEN then ... [ELSE otherwise] END`, or with an operand that is compared with each `when`. The first
    /// branch that is true decides; without ELSE, else null.
    Case {
        /// What the branches are compared with, if written.
        operand: Option<Box<Expr>>,
        /// `when` and `then`, at least one.
        branches: Vec<(Expr, Expr)>,
        /// After ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// `function(args)`.
    Call {
        /// Which function.
        function: Function,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `EXTRACT(part FROM expr)` or `date_part('part', expr)`: a part of a date, time or timestamp, in its own zone.
    Extract {
        /// Which part.
        part: DatePart,
        /// Of what.
        expr: Box<Expr>,
    },
}

/// A constant in an expression.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Literal {
    /// `NULL`.
    Null,
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a point or an exponent, as written: a decimal beside a decimal, else f64.
    Real(String),
    /// `'text'`.
    Text(String),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`, with the sign of the left side.
    Remainder,
}

impl Expr {
    /// Reads an expression from SQL text.
    ///
    /// # Errors
    /// `InvalidInput` on text that is no expression, and on SQL outside the subset that [`Expr`] lists (other
    /// functions, subqueries), naming the construct.
    pub fn parse(text: &str) -> Result<Expr> {
        parse::parse(text)
    }

    /// Names of all columns that the expression reads.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.visit(&mut |expr| {
            if let Expr::Column(name) = expr {
                names.insert(name.as_str());
            }
        });
        names
    }

    /// Resolves columns and types, so that [`Predicate::evaluate`] can only fail on values.
    ///
    /// # Errors
    /// `InvalidInput` on an unknown column (the existing ones are listed), on operands of types that do not go together,
    /// and when the whole is not a boolean.
    pub fn bind(&self, schema: &Schema) -> Result<Predicate> {
        Predicate::new(bind::bind_predicate(self, schema)?, self.to_string())
    }

    fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column(_) | Expr::Literal(_) => vec![],
            Expr::Compare { left, right, .. } | Expr::Arithmetic { left, right, .. } => vec![left, right],
            Expr::And(left, right) | Expr::Or(left, right) => vec![left, right],
            Expr::Negate(expr) | Expr::Not(expr) => vec![expr],
            Expr::IsNull { expr, .. } | Expr::IsTruth { expr, .. } | Expr::Cast { expr, .. } => vec![expr],
            Expr::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
            Expr::Between { expr, low, high, .. } => vec![expr, low, high],
            Expr::Like { expr, pattern, .. } => vec![expr, pattern],
            Expr::Case { operand, branches, otherwise } => {
                let branches = branches.iter().flat_map(|(when, then)| [when, then]);
                operand.as_deref().into_iter().chain(branches).chain(otherwise.as_deref()).collect()
            }
            Expr::Call { args, .. } => args.iter().collect(),
            Expr::Extract { expr, .. } => vec![expr],
        }
    }

    fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Expr)) {
        f(self);
        for child in self.children() {
            child.visit(f);
        }
    }

    /// How tightly the expression's operator binds, as in PostgreSQL; a child that binds less gets parentheses.
    fn precedence(&self) -> u8 {
        match self {
            Expr::Or(..) => 1,
            Expr::And(..) => 2,
            Expr::Not(_) => 3,
            Expr::IsNull { .. } | Expr::IsTruth { .. } => 4,
            Expr::Compare { .. } | Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } => 5,
            Expr::Arithmetic { op: Arithmetic::Add | Arithmetic::Subtract, .. } => 7,
            Expr::Arithmetic { .. } => 8,
            Expr::Negate(_) => 9,
            Expr::Column(_) | Expr::Literal(_) | Expr::Cast { .. } => 10,
            Expr::Case { .. } | Expr::Call { .. } | Expr::Extract { .. } => 10,
        }
    }
}

impl FromStr for Expr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Expr> {
        Expr::parse(text)
    }
}

/// A child, in parentheses unless it binds more tightly than `above`.
struct Child<'a>(&'a Expr, u8);

impl fmt::Display for Child<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negative = matches!(self.0, Expr::Literal(Literal::Integer(i)) if *i < 0)
            || matches!(self.0, Expr::Literal(Literal::Real(text)) if text.starts_with('-'));
        if self.0.precedence() > self.1 && !(negative && self.1 >= 7) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "({})", self.0)
        }
    }
}

/// Expressions between commas.
struct Commas<'a>(&'a [Expr]);

impl fmt::Display for Commas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Prints SQL that parses back to an equal expression.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.precedence();
        let tight = |expr| Child(expr, level);
        // AND, OR and arithmetic group to the left: an equal operator on the left needs no parentheses.
        let left = |expr| Child(expr, level - 1);
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Expr::Column(name) => f.write_str(&parse::quote_name(name)),
            Expr::Literal(literal) => write!(f, "{literal}"),
            Expr::Compare { op, left, right } => write!(f, "{} {op} {}", tight(left), tight(right)),
            Expr::Arithmetic { op, left: l, right } => write!(f, "{} {op} {}", left(l), tight(right)),
            Expr::Negate(expr) => write!(f, "-{}", Child(expr, 9)),
            Expr::And(l, right) => write!(f, "{} AND {}", left(l), tight(right)),
            Expr::Or(l, right) => write!(f, "{} OR {}", left(l), tight(right)),
            Expr::Not(expr) => write!(f, "NOT {}", Child(expr, 2)),
            Expr::IsNull { expr, negated } => write!(f, "{} IS {}NULL", Child(expr, 9), not(negated)),
            Expr::IsTruth { expr, truth, negated } => {
                let truth = if *truth { "TRUE" } else { "FALSE" };
                write!(f, "{} IS {}{truth}", Child(expr, 9), not(negated))
            }
            Expr::InList { expr, list, negated } => {
                write!(f, "{} {}IN ({})", tight(expr), not(negated), Commas(list))
            }
            Expr::Between { expr, low, high, negated } => {
                write!(f, "{} {}BETWEEN {} AND {}", tight(expr), not(negated), tight(low), tight(high))
            }
            Expr::Like { expr, pattern, negated, ignore_case } => {
                let like = if *ignore_case { "ILIKE" } else { "LIKE" };
                write!(f, "{} {}{like} {}", tight(expr), not(negated), tight(pattern))
            }
            Expr::Cast { expr, to, lenient } => {
                let (cast, arrow) = if *lenient { ("TRY_CAST", "arrow_try_cast") } else { ("CAST", "arrow_cast") };
                match parse::type_name(to) {
                    Some(name) => write!(f, "{cast}({expr} AS {name})"),
                    None => write!(f, "{arrow}({expr}, {})", Literal::Text(to.to_string())),
                }
            }
            Expr::Case { operand, branches, otherwise } => {
                f.write_str("CASE")?;
                if let Some(operand) = operand {
                    write!(f, " {operand}")?;
                }
                for (when, then) in branches {
                    write!(f, " WHEN {when} THEN {then}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END")
            }
            Expr::Call { function, args } => write!(f, "{function}({})", Commas(args)),
            Expr::Extract { part, expr } => write!(f, "EXTRACT({part} FROM {expr})"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("NULL"),
            Literal::Boolean(true) => f.write_str("TRUE"),
            Literal::Boolean(false) => f.write_str("FALSE"),
            Literal::Integer(value) => write!(f, "{value}"),
            Literal::Real(text) => f.write_str(text),
            Literal::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Eq => "=",
            Comparison::NotEq => "<>",
            Comparison::Lt => "<",
            Comparison::LtEq => "<=",
            Comparison::Gt => ">",
            Comparison::GtEq => ">=",
        })
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Remainder => "%",
        })
    }
}
