//! Columns and constants as lanes: where a row's value lies, by Arrow's layout.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use super::asm::{Class, Pred, Reg, line};
use super::lane::{Bits, Kind, Lane};
use super::{Constant, Emit, OP, Part, Shape, Word};
use crate::column::layout::{Layout, OffsetWidth};
use crate::error::{Error, Result};
use crate::ops::spans::SPAN;

/// Which column, or the dictionary below it.
#[derive(Clone, Copy)]
struct At<'a> {
    column: usize,
    dictionary: bool,
    shape: &'a Shape,
}

impl At<'_> {
    fn word(&self, part: Part) -> Word {
        Word::Column { column: self.column, dictionary: self.dictionary, part }
    }
}

impl<'a> Emit<'a> {
    /// The row's value of a column, loaded once; a dictionary's value for a dictionary.
    pub(super) fn column(&mut self, index: usize, data_type: &DataType) -> Result<Lane> {
        if let Some(lane) = self.columns.get(&index) {
            return Ok(*lane);
        }
        Kind::of(OP, data_type)?;
        let at = self.found(index, data_type)?;
        let (inside, shape) = (Pred::Reg(self.row.inside), at.shape);
        let valid = self.validity(at);
        let (row, guard) = (self.row.number, inside);
        let lane = match data_type {
            DataType::Null => Lane::NULL,
            DataType::Dictionary(key, values) => self.dictionary(at, key, values, valid)?,
            DataType::Boolean => Lane::truth(self.row_bit(at.word(Part::Buffer(0))), valid),
            _ => Lane { bits: self.value(at, data_type, row, guard, valid)?, valid },
        };
        // Rows past the end are valid in no output, which their stores leave out.
        let lane = if shape.nullable || lane.valid != inside { lane } else { Lane { valid: Pred::True, ..lane } };
        self.columns.insert(index, lane);
        Ok(lane)
    }

    /// Where the row of a column of lists or structs is not null, of which nothing else can be asked.
    pub(super) fn nested_validity(&mut self, index: usize, data_type: &DataType) -> Result<Pred> {
        let at = self.found(index, data_type)?;
        Ok(self.validity(at))
    }

    fn found(&self, index: usize, data_type: &DataType) -> Result<At<'a>> {
        let missing = || Error::Internal { op: OP, why: "a column is missing".into() };
        let shape = self.shapes.get(index).ok_or_else(missing)?;
        if shape.data_type != *data_type {
            let why = format!("column {index} is {}, the expression was bound to {data_type}", shape.data_type);
            return Err(Error::invalid(OP, why));
        }
        Ok(At { column: index, dictionary: false, shape })
    }

    fn validity(&mut self, at: At<'_>) -> Pred {
        match at.shape.nullable {
            true => self.row_bit(at.word(Part::Validity)),
            false => Pred::Reg(self.row.inside),
        }
    }

    fn dictionary(&mut self, at: At<'_>, key: &DataType, values: &DataType, valid: Pred) -> Result<Lane> {
        let bits = self.value(at, key, self.row.number, valid, valid)?;
        let key = match (bits, Kind::of(OP, key)?) {
            (Bits::Number(key), Kind::Int { bits: 64, .. }) => key,
            (Bits::Number(key), _) => self.asm.op(Class::D, "cvt.u64.u32", &[&key]),
            _ => return Err(Error::Internal { op: OP, why: "dictionary keys are integers".into() }),
        };
        let below = At { dictionary: true, ..at };
        let valid = match at.shape.nullable_dictionary {
            true => {
                let bit = self.bit_at(below.word(Part::Validity), key, valid);
                self.asm.and(valid, bit)
            }
            false => valid,
        };
        Ok(match values {
            DataType::Boolean => Lane::truth(self.bit_at(below.word(Part::Buffer(0)), key, valid), valid),
            DataType::Null => Lane::NULL,
            _ => Lane { bits: self.value(below, values, key, valid, valid)?, valid },
        })
    }

    /// Bit `row` of a bitmap: a word for the whole warp.
    fn row_bit(&mut self, bitmap: Word) -> Pred {
        let base = self.param(bitmap);
        let offset = self.asm.op(Class::D, "shl.b64", &[&self.row.word, &2]);
        let address = self.asm.op(Class::D, "add.s64", &[&base, &offset]);
        let word = self.asm.load(Pred::Reg(self.row.inside), Class::R, "ld.global.nc.u32", address);
        let bit = self.asm.op(Class::R, "and.b32", &[&word, &self.row.bit]);
        self.asm.test("setp.ne.u32", &[&bit, &0])
    }

    /// Bit `index` of a bitmap, false outside `guard`.
    fn bit_at(&mut self, bitmap: Word, index: Reg, guard: Pred) -> Pred {
        let base = self.param(bitmap);
        let byte = self.asm.op(Class::D, "shr.u64", &[&index, &3]);
        let address = self.asm.op(Class::D, "add.s64", &[&base, &byte]);
        let byte = self.asm.load(guard, Class::R, "ld.global.nc.u8", address);
        let low = self.asm.op(Class::R, "cvt.u32.u64", &[&index]);
        let place = self.asm.op(Class::R, "and.b32", &[&low, &7]);
        let shifted = self.asm.op(Class::R, "shr.u32", &[&byte, &place]);
        let bit = self.asm.op(Class::R, "and.b32", &[&shifted, &1]);
        self.asm.test("setp.ne.u32", &[&bit, &0])
    }

    /// The value at `index` of anything but bits: numbers are read for lanes of `inside`, what points elsewhere for
    /// those of `valid` only, since null rows may point anywhere.
    fn value(&mut self, at: At<'_>, data_type: &DataType, index: Reg, inside: Pred, valid: Pred) -> Result<Bits> {
        let address = |emit: &mut Self, part: Part, width: usize| {
            let base = emit.param(at.word(part));
            let offset = emit.scaled(index, width);
            emit.asm.op(Class::D, "add.s64", &[&base, &offset])
        };
        match Layout::of(data_type)? {
            Layout::Bytes(width) => {
                let offset = address(self, Part::Buffer(0), width.bytes());
                let (op, class) = match width {
                    OffsetWidth::W32 => ("ld.global.nc.u32", Class::R),
                    OffsetWidth::W64 => ("ld.global.nc.u64", Class::D),
                };
                let end = self.asm.op(Class::D, "add.s64", &[&offset, &width.bytes()]);
                let (begin, end) = (self.asm.load(valid, class, op, offset), self.asm.load(valid, class, op, end));
                let (begin, end) = (self.long(begin), self.long(end));
                let length = self.asm.op(Class::D, "sub.s64", &[&end, &begin]);
                let base = self.param(at.word(Part::Buffer(1)));
                Ok(Bits::Bytes(self.asm.op(Class::D, "add.s64", &[&base, &begin]), length))
            }
            Layout::Views => {
                let view = address(self, Part::Buffer(0), 16);
                Ok(self.view(at, view, valid))
            }
            Layout::Fixed(width) if Kind::of(OP, data_type)? == Kind::Bytes => {
                let start = address(self, Part::Buffer(0), width);
                Ok(Bits::Bytes(start, self.asm.op(Class::D, "mov.b64", &[&width])))
            }
            Layout::Fixed(width) => {
                let kind = Kind::of(OP, data_type)?;
                let start = address(self, Part::Values { align: width.min(8) }, width);
                Ok(self.number(kind, start, inside))
            }
            _ => Err(Error::Internal { op: OP, why: format!("{data_type} was thought to be flat") }),
        }
    }

    /// Text of up to 12 bytes lies in the view itself, longer text in a data buffer.
    fn view(&mut self, at: At<'_>, view: Reg, valid: Pred) -> Bits {
        let length = self.asm.load(valid, Class::R, "ld.global.nc.u32", view);
        let far = self.asm.test("setp.gt.u32", &[&length, &12]);
        let far = self.asm.and(far, valid);
        let inline = self.asm.op(Class::D, "add.s64", &[&view, &4]);
        let number = self.asm.op(Class::D, "add.s64", &[&view, &8]);
        let number = self.asm.load(far, Class::R, "ld.global.nc.u32", number);
        let offset = self.asm.op(Class::D, "add.s64", &[&view, &12]);
        let offset = self.asm.load(far, Class::R, "ld.global.nc.u32", offset);
        let (number, offset) = (self.long(number), self.long(offset));
        let table = self.param(at.word(Part::DataTable));
        let entry = self.scaled(number, 8);
        let entry = self.asm.op(Class::D, "add.s64", &[&table, &entry]);
        let data = self.asm.load(far, Class::D, "ld.global.nc.u64", entry);
        let outside = self.asm.op(Class::D, "add.s64", &[&data, &offset]);
        let start = self.asm.select(far, outside, inline);
        Bits::Bytes(start, self.long(length))
    }

    /// A number in memory, narrow integers extended.
    fn number(&mut self, kind: Kind, address: Reg, guard: Pred) -> Bits {
        let asm = &mut self.asm;
        let op = match kind {
            Kind::Wide | Kind::MonthDayNano => {
                let high = asm.op(Class::D, "add.s64", &[&address, &8]);
                let low = asm.load(guard, Class::D, "ld.global.nc.u64", address);
                return Bits::Wide(low, asm.load(guard, Class::D, "ld.global.nc.u64", high));
            }
            Kind::Huge => {
                return Bits::Huge(std::array::from_fn(|i| {
                    let word = asm.op(Class::D, "add.s64", &[&address, &(8 * i)]);
                    asm.load(guard, Class::D, "ld.global.nc.u64", word)
                }));
            }
            Kind::F16 => {
                let half = asm.load(guard, Class::H, "ld.global.nc.b16", address);
                return Bits::Number(asm.op(Class::F, "cvt.f32.f16", &[&half]));
            }
            Kind::Int { bits, signed } => format!("ld.global.nc.{}{bits}", if signed { 's' } else { 'u' }),
            _ => format!("ld.global.nc.{}", kind.ptx()),
        };
        Bits::Number(asm.load(guard, kind.class().unwrap_or(Class::D), &op, address))
    }

    /// `index * width`, once for each index and width.
    pub(super) fn scaled(&mut self, index: Reg, width: usize) -> Reg {
        if let Some((.., scaled)) = self.scaled.iter().find(|(i, w, _)| *i == index && *w == width) {
            return *scaled;
        }
        let scaled = match width.is_power_of_two() {
            true => self.asm.op(Class::D, "shl.b64", &[&index, &width.trailing_zeros()]),
            false => self.asm.op(Class::D, "mul.lo.u64", &[&index, &width]),
        };
        self.scaled.push((index, width, scaled));
        scaled
    }

    fn long(&mut self, value: Reg) -> Reg {
        match value.0 {
            Class::D => value,
            _ => self.asm.op(Class::D, "cvt.u64.u32", &[&value]),
        }
    }

    /// A literal: the kernel's parameters, so that the text does not depend on it. Whether it is null does count, and so
    /// do booleans, which are no more than two.
    pub(super) fn literal(&mut self, array: &ArrayRef) -> Result<Lane> {
        let kind = Kind::of(OP, array.data_type())?;
        if kind == Kind::Null || array.is_null(0) {
            return Ok(Lane::NULL);
        }
        if let Some(any) = array.as_any_dictionary_opt() {
            let values = arrow::compute::take(any.values(), any.keys(), None).map_err(|e| Error::arrow(OP, e))?;
            return self.literal(&values);
        }
        let bits = match kind {
            Kind::Null => Bits::Nothing,
            Kind::Bool => Bits::Bool(if array.as_boolean().value(0) { Pred::True } else { Pred::False }),
            Kind::Bytes => {
                let (place, length) = self.blob(bytes_of(array, 0));
                let at = self.param(Word::Constant(Constant::Blob(place)));
                Bits::Bytes(at, self.param(Word::Constant(Constant::Word(length as u64))))
            }
            Kind::Wide | Kind::MonthDayNano => {
                let words = words_of(array, kind, 0)?;
                let [low, high] = [0, 1].map(|i| self.param(Word::Constant(Constant::Word(words[i]))));
                Bits::Wide(low, high)
            }
            Kind::Huge => {
                let words = words_of(array, kind, 0)?;
                Bits::Huge(words.map(|word| self.param(Word::Constant(Constant::Word(word)))))
            }
            _ => {
                let [word, ..] = words_of(array, kind, 0)?;
                let class = kind.class().unwrap_or(Class::D);
                Bits::Number(self.narrow_param(class, Constant::Word(word)))
            }
        };
        Ok(Lane { bits, valid: Pred::True })
    }

    /// Stores the lane's number at `base + row * width`, for the rows there are: zeros where it is null, and one NaN, so
    /// that the bytes depend on values alone.
    pub(super) fn store(&mut self, kind: Kind, lane: Lane, output: Word) {
        let base = self.param(output);
        let offset = self.scaled(self.row.number, kind.width());
        let address = self.asm.op(Class::D, "add.s64", &[&base, &offset]);
        let inside = self.row.inside;
        let words = match lane.bits {
            Bits::Wide(low, high) => vec![low, high],
            Bits::Huge(words) => words.to_vec(),
            Bits::Number(value) => vec![self.stored(kind, value)],
            _ => vec![self.asm.zero(Class::D); kind.width().div_ceil(8)],
        };
        let bits = 8 * kind.width() / words.len();
        for (i, word) in words.into_iter().enumerate() {
            let zero = self.asm.zero(word.0);
            let word = self.asm.select(lane.valid, word, zero);
            line!(self.asm, "@{inside} st.global.b{bits} [{address}+{}], {word}", i * bits / 8);
        }
    }

    /// Stores the lane's text as a span, for the rows there are: an empty one where it is null.
    pub(super) fn store_span(&mut self, lane: Lane, output: Word) {
        let base = self.param(output);
        let offset = self.scaled(self.row.number, SPAN);
        let address = self.asm.op(Class::D, "add.s64", &[&base, &offset]);
        let zero = self.asm.zero(Class::D);
        let (at, length) = match lane.bits {
            Bits::Bytes(at, length) => {
                (self.asm.select(lane.valid, at, zero), self.asm.select(lane.valid, length, zero))
            }
            _ => (zero, zero),
        };
        line!(self.asm, "@{} st.global.v2.b64 [{address}], {{{at}, {length}}}", self.row.inside);
    }

    /// Stores the lane's bytes at `base + row * width`, for the rows there are: zeros where it is null.
    pub(super) fn store_bytes(&mut self, lane: Lane, width: usize, output: Word) {
        let base = self.param(output);
        let offset = self.scaled(self.row.number, width);
        let to = self.asm.op(Class::D, "add.s64", &[&base, &offset]);
        let zero = self.asm.zero(Class::D);
        let from = match lane.bits {
            Bits::Bytes(at, _) => self.asm.select(lane.valid, at, zero),
            _ => zero,
        };
        let width = self.asm.op(Class::D, "mov.b64", &[&width]);
        self.asm.call_plain("expr_store_bytes", Pred::Reg(self.row.inside), &[to, from, width]);
    }

    /// A number as memory holds it.
    fn stored(&mut self, kind: Kind, value: Reg) -> Reg {
        let nan = match kind {
            Kind::F16 => "0x7e00",
            Kind::F32 => "0f7fc00000",
            Kind::F64 => "0d7ff8000000000000",
            _ => return value,
        };
        let unordered = self.not_a_number(kind, value);
        let value = match kind {
            Kind::F16 => self.asm.op(Class::H, "cvt.rn.f16.f32", &[&value]),
            _ => value,
        };
        let nan = self.asm.op(value.0, &format!("mov.{}", value.0.bits()), &[&nan]);
        self.asm.select(unordered, nan, value)
    }
}

/// Row `row` of an array of text or binary.
pub(in crate::ops::expr) fn bytes_of(array: &ArrayRef, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).as_bytes(),
        DataType::Utf8View => array.as_string_view().value(row).as_bytes(),
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        _ => array.as_fixed_size_binary().value(row),
    }
}

/// Row `row` of an array of numbers as registers hold it, the lowest word first.
pub(super) fn words_of(array: &ArrayRef, kind: Kind, row: usize) -> Result<[u64; 4]> {
    let data = array.to_data();
    let bytes = data.buffers().first().map_or(&[][..], |buffer| buffer.as_slice());
    let at = (data.offset() + row) * kind.width();
    let Some(bytes) = bytes.get(at..at + kind.width()) else {
        return Err(Error::Internal { op: OP, why: format!("a literal of {} without a value", array.data_type()) });
    };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    words[0] = match kind {
        Kind::F16 => u64::from(half::f16::from_bits(words[0] as u16).to_f32().to_bits()),
        Kind::Int { bits, signed: true } => (((words[0] << (64 - bits)) as i64) >> (64 - bits)) as u64,
        _ => words[0],
    };
    Ok(words)
}
