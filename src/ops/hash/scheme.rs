//! The schemes: what each makes of a type, and what partition a hash is of.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::column::layout::Layout;
use crate::error::{Error, Result};
use crate::ops::keys::{KeyKind, Reading, bytes_kind, values_type};

/// Whose hash: each gives, bit for bit, what the system it is named after computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum HashScheme {
    /// `create_hashes` of DataFusion 55 with the state that its repartition and its joins use (foldhash 0.2 `fast`,
    /// seed 0): UInt64. Utf8 and Utf8View hash apart, a null leaves the hash as it is, -0.0 is 0.0, NaN goes by bits.
    DataFusion = 0,
    /// Spark's `hash`: murmur3 with seed 42, Int32. A null is skipped, the hash of a column is the seed of the next,
    /// -0.0 is 0.0, NaN is one value, a string's tail is hashed byte by byte.
    SparkMurmur3 = 1,
    /// Spark's `xxhash64`: seed 42, Int64; other than that as [`HashScheme::SparkMurmur3`].
    SparkXxHash64 = 2,
    /// XXH64 with seed 0 of a value's bytes as they lie in memory, a boolean as one byte; UInt64. Nulls, -0.0, NaN and
    /// several columns as in Spark.
    XxHash64 = 3,
    /// Iceberg's 32-bit hash (specification, appendix B), of which its bucket transform takes the remainder: Int32, null
    /// for null. One column.
    Iceberg = 4,
    /// libcudf's `murmurhash3_x86_32` and `hash_partition` with their default seed of 0: UInt32. Every column hashes from
    /// the seed and is combined with those before it, a null as 2^32 - 1; -0.0 is 0.0, NaN is one value.
    Cudf = 5,
}

/// `HashForm` in `kernels/include/hash.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Form {
    Word = 0,
    Float = 1,
    Bytes = 2,
    Integer = 3,
    Wide = 4,
    Bool = 5,
    Text = 6,
    Binary = 7,
    View = 8,
}

impl Form {
    pub(super) const ALL: [Form; 9] = [
        Form::Word,
        Form::Float,
        Form::Bytes,
        Form::Integer,
        Form::Wide,
        Form::Bool,
        Form::Text,
        Form::Binary,
        Form::View,
    ];
}

const SCHEMES: [(HashScheme, &str); 6] = [
    (HashScheme::DataFusion, "datafusion"),
    (HashScheme::SparkMurmur3, "spark"),
    (HashScheme::SparkXxHash64, "spark-xxhash64"),
    (HashScheme::XxHash64, "xxhash64"),
    (HashScheme::Iceberg, "iceberg"),
    (HashScheme::Cudf, "cudf"),
];

impl fmt::Display for HashScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEMES.iter().find(|(scheme, _)| scheme == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for HashScheme {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = SCHEMES.iter().find(|(_, name)| *name == text).map(|(scheme, _)| *scheme);
        known.ok_or_else(|| {
            let names = SCHEMES.map(|(_, name)| name).join(", ");
            Error::invalid("hash", format!("no hash scheme is named `{text}`; there are {names}"))
        })
    }
}

impl HashScheme {
    /// The type of its hashes.
    pub fn data_type(self) -> DataType {
        match self {
            HashScheme::DataFusion | HashScheme::XxHash64 => DataType::UInt64,
            HashScheme::SparkXxHash64 => DataType::Int64,
            HashScheme::SparkMurmur3 | HashScheme::Iceberg => DataType::Int32,
            HashScheme::Cudf => DataType::UInt32,
        }
    }

    /// Bytes of a hash.
    pub(in crate::ops) fn width(self) -> usize {
        self.data_type().primitive_width().unwrap_or(8)
    }

    /// The partition of a row with this hash, as its owner has it: Spark's is the positive remainder of a signed number,
    /// Iceberg's that of the hash without its sign, the others' that of an unsigned number. `partition_of` in
    /// `kernels/hash_partition.cu` is the same.
    pub(in crate::ops) fn partition_of(self, hash: u64, partitions: u32) -> u32 {
        let wide = u64::from(partitions);
        match self {
            HashScheme::DataFusion | HashScheme::XxHash64 | HashScheme::Cudf => (hash % wide) as u32,
            HashScheme::SparkXxHash64 => (hash as i64).rem_euclid(wide as i64) as u32,
            HashScheme::SparkMurmur3 => i64::from(hash as i32).rem_euclid(wide as i64) as u32,
            HashScheme::Iceberg => (hash as u32 & i32::MAX as u32) % partitions,
        }
    }

    pub(super) fn is_spark(self) -> bool {
        matches!(self, HashScheme::SparkMurmur3 | HashScheme::SparkXxHash64)
    }

    /// How it reads a column of this type.
    pub(in crate::ops) fn reading(self, op: &'static str, data_type: &DataType) -> Result<Reading> {
        let values = values_type(data_type);
        let layout = Layout::of(values)?;
        let found = match (layout, values == data_type) {
            (Layout::Null, true) if self != HashScheme::Iceberg => Some((KeyKind::Null, Form::Word, 0)),
            (Layout::Bits | Layout::Fixed(_) | Layout::Bytes(_) | Layout::Views, _) => match self {
                HashScheme::DataFusion => data_fusion(values, layout),
                HashScheme::XxHash64 => plain(values, layout),
                HashScheme::Iceberg => iceberg(values, layout),
                HashScheme::Cudf => cudf(values, layout),
                _ => spark(values, layout),
            },
            _ => None,
        };
        let Some((kind, form, out_width)) = found else {
            let hint = "cast the column to a type that the scheme's owner hashes, or choose another scheme";
            return Err(Error::unsupported(op, format!("a key of type {data_type} with the scheme {self}"), hint));
        };
        let width = match layout {
            Layout::Fixed(width) => width,
            _ => 0,
        };
        Ok(Reading { kind, width, form: form as u32, out_width })
    }
}

type Found = Option<(KeyKind, Form, u64)>;

fn data_fusion(values: &DataType, layout: Layout) -> Found {
    use DataType::*;
    Some(match (values, layout) {
        (Utf8 | LargeUtf8, _) => (bytes_kind(layout)?, Form::Text, 0),
        (Binary | LargeBinary, _) => (bytes_kind(layout)?, Form::Binary, 0),
        (_, Layout::Views) => (KeyKind::Views, Form::View, 0),
        (FixedSizeBinary(_), _) => (KeyKind::Fixed, Form::Binary, 0),
        (Boolean, _) => (KeyKind::Bits, Form::Bool, 1),
        (Float16 | Float32 | Float64, _) => (KeyKind::Unsigned, Form::Float, 0),
        (_, Layout::Fixed(16 | 32)) => (KeyKind::Fixed, Form::Wide, 0),
        (_, Layout::Fixed(_)) => (KeyKind::Unsigned, Form::Word, 0),
        _ => return None,
    })
}

/// Bytes as they lie in memory.
fn plain(values: &DataType, layout: Layout) -> Found {
    use DataType::*;
    Some(match (values, layout) {
        (Boolean, _) => (KeyKind::Bits, Form::Word, 1),
        (Float16 | Float32 | Float64, Layout::Fixed(width)) => (KeyKind::Unsigned, Form::Float, width as u64),
        (FixedSizeBinary(_), _) | (_, Layout::Fixed(16 | 32)) => (KeyKind::Fixed, Form::Bytes, 0),
        (_, Layout::Fixed(width)) => (KeyKind::Unsigned, Form::Word, width as u64),
        _ => (bytes_kind(layout)?, Form::Bytes, 0),
    })
}

/// Most digits of a decimal in Spark and in Iceberg.
const MOST_DIGITS: u8 = 38;

fn spark(values: &DataType, layout: Layout) -> Found {
    use DataType::*;
    Some(match (values, layout) {
        (Boolean, _) => (KeyKind::Bits, Form::Word, 4),
        (Int8 | Int16 | Int32 | Date32 | Interval(IntervalUnit::YearMonth), _) => (KeyKind::Signed, Form::Word, 4),
        (Int64 | Timestamp(TimeUnit::Microsecond, _) | Duration(TimeUnit::Microsecond), _) => {
            (KeyKind::Signed, Form::Word, 8)
        }
        (Float32 | Float64, Layout::Fixed(width)) => (KeyKind::Unsigned, Form::Float, width as u64),
        // A long where 18 digits are enough, the bytes of a BigInteger otherwise.
        (Decimal32(..) | Decimal64(..), _) => (KeyKind::Signed, Form::Word, 8),
        (Decimal128(..=18, _) | Decimal256(..=18, _), _) => (KeyKind::Signed, Form::Word, 8),
        (Decimal128(..=MOST_DIGITS, _) | Decimal256(..=MOST_DIGITS, _), _) => (KeyKind::Fixed, Form::Integer, 0),
        (FixedSizeBinary(_), _) => (KeyKind::Fixed, Form::Bytes, 0),
        _ => (bytes_kind(layout)?, Form::Bytes, 0),
    })
}

fn iceberg(values: &DataType, layout: Layout) -> Found {
    use DataType::*;
    Some(match (values, layout) {
        (Int8 | Int16 | Int32 | Int64 | Date32, _) => (KeyKind::Signed, Form::Word, 8),
        (Time64(TimeUnit::Microsecond) | Timestamp(TimeUnit::Microsecond, _), _) => (KeyKind::Signed, Form::Word, 8),
        (Decimal32(..) | Decimal64(..), _) => (KeyKind::Fixed, Form::Integer, 0),
        (Decimal128(..=MOST_DIGITS, _) | Decimal256(..=MOST_DIGITS, _), _) => (KeyKind::Fixed, Form::Integer, 0),
        (FixedSizeBinary(_), _) => (KeyKind::Fixed, Form::Bytes, 0),
        _ => (bytes_kind(layout)?, Form::Bytes, 0),
    })
}

/// The types that libcudf has, which are the ones that it makes of Arrow's.
fn cudf(values: &DataType, layout: Layout) -> Found {
    use DataType::*;
    match values {
        Float16 | Decimal256(..) | Time32(_) | Time64(_) | Interval(_) => None,
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => None,
        _ => plain(values, layout),
    }
}
