//! Seeded columns of every Arrow type that Warpline takes.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use warpline::Batch;

/// Sizes around the borders of bytes, bitmap words and warps.
pub const SIZES: [usize; 8] = [0, 1, 31, 32, 33, 64, 65, 1000];

/// Which rows are null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    None,
    Some,
    All,
}

/// All three.
pub const NULLS: [Nulls; 3] = [Nulls::None, Nulls::Some, Nulls::All];

/// SplitMix64 (Steele, Lea, Flood 2014): a seed gives the same numbers everywhere.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Rows to make, and how.
#[derive(Clone)]
struct Maker {
    rows: usize,
    nulls: Nulls,
    random: Random,
}

impl Maker {
    fn validity(&mut self) -> Option<NullBuffer> {
        let random = &mut self.random;
        match self.nulls {
            Nulls::None => None,
            Nulls::Some => Some(NullBuffer::new(BooleanBuffer::collect_bool(self.rows, |_| random.below(4) != 0))),
            Nulls::All => Some(NullBuffer::new_null(self.rows)),
        }
    }

    /// Random bytes under nulls too; the special values of floats are put in by [`Maker::floats`].
    fn fixed(&mut self, data_type: DataType, width: usize) -> ArrayRef {
        let bytes: Vec<u8> = (0..self.rows * width).map(|_| self.random.next() as u8).collect();
        let mut aligned = arrow::buffer::MutableBuffer::new(bytes.len());
        aligned.extend_from_slice(&bytes);
        let data = ArrayData::builder(data_type).len(self.rows).nulls(self.validity()).add_buffer(aligned.into());
        make_array(data.build().expect("fixed width"))
    }

    fn floats(&mut self) -> ArrayRef {
        let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 2.0, 1.5];
        let values: Vec<f64> = (0..self.rows).map(|_| special[self.random.below(special.len())]).collect();
        Arc::new(Float64Array::new(values.into(), self.validity()))
    }

    fn bits(&mut self) -> ArrayRef {
        let random = &mut self.random.clone();
        let values = BooleanBuffer::collect_bool(self.rows, |_| random.below(2) == 0);
        Arc::new(BooleanArray::new(values, self.validity()))
    }

    /// Empty, short and, now and then, long strings; under nulls too.
    fn text(&mut self) -> Vec<String> {
        let one = |random: &mut Random| {
            let length = match random.below(8) {
                0 => 0,
                1..=5 => random.below(16),
                6 => 12 + random.below(3),
                _ => random.below(300),
            };
            (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
        };
        (0..self.rows).map(|_| one(&mut self.random)).collect()
    }

    fn offsets<O: OffsetSizeTrait>(&mut self, most: usize) -> OffsetBuffer<O> {
        OffsetBuffer::from_lengths((0..self.rows).map(|_| self.random.below(most + 1)))
    }

    fn strings<O: OffsetSizeTrait>(&mut self) -> (OffsetBuffer<O>, Buffer, Option<NullBuffer>) {
        let text = self.text();
        let offsets = OffsetBuffer::from_lengths(text.iter().map(String::len));
        (offsets, Buffer::from(text.concat().into_bytes()), self.validity())
    }

    fn string_views(&mut self) -> StringViewArray {
        let text = self.text();
        let mut builder = StringViewBuilder::new().with_fixed_block_size(512);
        text.iter().for_each(|text| builder.append_value(text));
        let (views, data, _) = builder.finish().into_parts();
        StringViewArray::new(views, data, self.validity())
    }

    fn child(&mut self, rows: usize) -> Maker {
        Maker { rows, nulls: self.nulls, random: Random(self.random.next()) }
    }

    fn dictionary<K: ArrowDictionaryKeyType>(&mut self, key: impl Fn(usize) -> K::Native) -> ArrayRef {
        let values = StringArray::from(vec!["red", "", "a colour with a rather long name", "blue"]);
        let keys: ScalarBuffer<K::Native> = (0..self.rows).map(|_| key(self.random.below(4))).collect();
        Arc::new(DictionaryArray::<K>::new(PrimitiveArray::new(keys, self.validity()), Arc::new(values)))
    }

    fn structs(&mut self) -> ArrayRef {
        let (numbers, text) = (self.fixed(DataType::Int32, 4), Arc::new(self.string_views()));
        let fields = vec![Field::new("n", DataType::Int32, true), Field::new("t", DataType::Utf8View, true)];
        Arc::new(StructArray::new(fields.into(), vec![numbers, text], self.validity()))
    }

    fn list<O: OffsetSizeTrait>(&mut self, most: usize, items: impl Fn(&mut Maker) -> ArrayRef) -> ArrayRef {
        let offsets = self.offsets::<O>(most);
        let items = items(&mut self.child(offsets.last().expect("one offset").as_usize()));
        let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
        Arc::new(GenericListArray::<O>::new(field, offsets, items, self.validity()))
    }

    fn fixed_list(&mut self, size: usize, items: impl Fn(&mut Maker) -> ArrayRef) -> ArrayRef {
        let items = items(&mut self.child(self.rows * size));
        let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
        let data = ArrayData::builder(DataType::FixedSizeList(field, size as i32))
            .len(self.rows)
            .nulls(self.validity())
            .add_child_data(items.to_data());
        make_array(data.build().expect("fixed-size list"))
    }

    fn map(&mut self) -> ArrayRef {
        let offsets = self.offsets::<i32>(3);
        let rows = *offsets.last().expect("one offset") as usize;
        let mut below = Maker { rows, nulls: Nulls::None, random: self.random.clone() };
        let (offsets_of_keys, bytes, _) = below.strings::<i32>();
        let keys = StringArray::new(offsets_of_keys, bytes, None);
        let values = self.child(rows).fixed(DataType::Float32, 4);
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Float32, true)];
        let entries = StructArray::new(Fields::from(fields), vec![Arc::new(keys), values], None);
        let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        Arc::new(MapArray::new(field, offsets, entries, self.validity(), false))
    }

    fn every_type(&mut self) -> Vec<(&'static str, ArrayRef)> {
        use DataType::*;
        let mut columns: Vec<(&'static str, ArrayRef)> = Vec::new();
        let zone: Option<Arc<str>> = Some("Europe/Zurich".into());
        for (name, data_type, width) in [
            ("i8", Int8, 1),
            ("i16", Int16, 2),
            ("i32", Int32, 4),
            ("i64", Int64, 8),
            ("u8", UInt8, 1),
            ("u16", UInt16, 2),
            ("u32", UInt32, 4),
            ("u64", UInt64, 8),
            ("f16", Float16, 2),
            ("f32", Float32, 4),
            ("date32", Date32, 4),
            ("timestamp", Timestamp(TimeUnit::Microsecond, zone), 8),
            ("duration", Duration(TimeUnit::Millisecond), 8),
            ("months", Interval(IntervalUnit::YearMonth), 4),
            ("days", Interval(IntervalUnit::DayTime), 8),
            ("nanos", Interval(IntervalUnit::MonthDayNano), 16),
            ("fixed_binary", FixedSizeBinary(5), 5),
            ("no_binary", FixedSizeBinary(0), 0),
        ] {
            columns.push((name, self.fixed(data_type, width)));
        }
        columns.extend([("f64", self.floats()), ("bool", self.bits())]);
        columns.extend(self.times());
        columns.extend(self.decimals());
        let (offsets, bytes, nulls) = self.strings::<i32>();
        columns.push(("utf8", Arc::new(StringArray::new(offsets.clone(), bytes.clone(), nulls.clone()))));
        columns.push(("binary", Arc::new(BinaryArray::new(offsets, bytes, nulls))));
        let (offsets, bytes, nulls) = self.strings::<i64>();
        columns.push(("large_utf8", Arc::new(LargeStringArray::new(offsets.clone(), bytes.clone(), nulls.clone()))));
        columns.push(("large_binary", Arc::new(LargeBinaryArray::new(offsets, bytes, nulls))));
        let views = self.string_views();
        columns.push(("binary_view", Arc::new(views.clone().to_binary_view())));
        columns.push(("utf8_view", Arc::new(views)));
        columns.push(("null", Arc::new(NullArray::new(self.rows))));
        columns.push(("dictionary", self.dictionary::<Int8Type>(|key| key as i8)));
        columns.push(("wide_dictionary", self.dictionary::<UInt32Type>(|key| key as u32)));
        columns.push(("struct", self.structs()));
        columns.push(("no_fields", Arc::new(StructArray::new_empty_fields(self.rows, self.validity()))));
        columns.push(("list", self.list::<i32>(4, |items| items.fixed(Int32, 4))));
        columns.push(("large_list", self.list::<i64>(3, |items| items.bits())));
        columns.push(("list_of_structs", self.list::<i32>(3, Maker::structs)));
        columns.push(("list_of_lists", self.list::<i32>(3, |items| items.list::<i64>(2, |items| items.bits()))));
        columns.push(("fixed_list", self.fixed_list(3, |items| items.fixed(Float32, 4))));
        columns.push(("fixed_list_of_bits", self.fixed_list(7, Maker::bits)));
        columns.push(("empty_fixed_list", self.fixed_list(0, |items| items.fixed(Int8, 1))));
        columns.push(("map", self.map()));
        columns
    }

    /// Whole days and times of a day, which the types ask for.
    fn times(&mut self) -> Vec<(&'static str, ArrayRef)> {
        const DAY_NS: usize = 86_400_000_000_000;
        let days = (0..self.rows).map(|_| self.random.below(40_000) as i64 * 86_400_000).collect();
        let seconds = (0..self.rows).map(|_| self.random.below(86_400) as i32).collect();
        let nanos = (0..self.rows).map(|_| self.random.below(DAY_NS) as i64).collect();
        vec![
            ("date64", Arc::new(Date64Array::new(days, self.validity()))),
            ("time32", Arc::new(Time32SecondArray::new(seconds, self.validity()))),
            ("time64", Arc::new(Time64NanosecondArray::new(nanos, self.validity()))),
        ]
    }

    /// Small decimals, so that they fit their precision.
    fn decimals(&mut self) -> Vec<(&'static str, ArrayRef)> {
        let values: Vec<i32> = (0..self.rows).map(|_| self.random.next() as i32 / 4).collect();
        let (a, b, c, d) = (self.validity(), self.validity(), self.validity(), self.validity());
        let d32 = Decimal32Array::new(values.clone().into(), a).with_precision_and_scale(9, 2);
        let d64 = Decimal64Array::new(values.iter().map(|&v| v.into()).collect(), b).with_precision_and_scale(18, 4);
        let d128 = Decimal128Array::new(values.iter().map(|&v| v.into()).collect(), c).with_precision_and_scale(38, 9);
        let d256 =
            Decimal256Array::new(values.iter().map(|&v| i256::from(v)).collect(), d).with_precision_and_scale(76, -3);
        vec![
            ("decimal32", Arc::new(d32.expect("decimal32"))),
            ("decimal64", Arc::new(d64.expect("decimal64"))),
            ("decimal128", Arc::new(d128.expect("decimal128"))),
            ("decimal256", Arc::new(d256.expect("decimal256"))),
        ]
    }
}

/// A batch with a column of every type, `skip` rows cut off in front of a larger one, so that with `skip` not 0 every
/// bitmap and offset starts somewhere inside. The first column's field and the schema carry metadata.
pub fn every_type(rows: usize, nulls: Nulls, skip: usize, seed: u64) -> Batch {
    let after = if skip == 0 { 0 } else { 3 };
    let columns = Maker { rows: skip + rows + after, nulls, random: Random(seed) }.every_type();
    let mut fields: Vec<Field> = Vec::new();
    let mut arrays = Vec::new();
    for (name, array) in columns {
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array.slice(skip, rows));
    }
    let note = |text: &str| [("note".to_string(), text.to_string())].into();
    fields[0] = fields[0].clone().with_metadata(note("of a field"));
    let schema = Schema::new(fields).with_metadata(note("of a schema"));
    Batch::from_record_batch(&RecordBatch::try_new(Arc::new(schema), arrays).expect("samples"))
}

/// Columns whose rows are wide: tensors, large fixed binary, an odd width.
pub fn wide(rows: usize, nulls: Nulls, seed: u64) -> Batch {
    let mut maker = Maker { rows, nulls, random: Random(seed) };
    let mut tensors = maker.clone();
    tensors.nulls = Nulls::None;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("tensor", tensors.fixed_list(48, |items| items.fixed(DataType::Float32, 4))),
        ("tensor_with_nulls", maker.fixed_list(40, |items| items.fixed(DataType::UInt8, 1))),
        ("binary100", maker.fixed(DataType::FixedSizeBinary(100), 100)),
        ("binary64", maker.fixed(DataType::FixedSizeBinary(64), 64)),
        ("binary33", maker.fixed(DataType::FixedSizeBinary(33), 33)),
    ];
    Batch::from_record_batch(&RecordBatch::try_from_iter(columns).expect("wide columns"))
}

/// The columns of these names.
pub fn only(batch: &Batch, names: &[&str]) -> Batch {
    let records = batch.to_record_batch().expect("host");
    let index = |name: &&str| records.schema().index_of(name).expect("a column of that name");
    Batch::from_record_batch(&records.project(&names.iter().map(index).collect::<Vec<_>>()).expect("project"))
}

/// Each column as a batch of its own.
pub fn each_column(batch: &Batch) -> Vec<Batch> {
    batch.schema().fields().iter().map(|field| only(batch, &[field.name()])).collect()
}

/// A mask over `rows` rows that selects about `percent` of them, null now and then unless `nulls` says none.
pub fn mask(rows: usize, percent: usize, nulls: Nulls, skip: usize, seed: u64) -> BooleanArray {
    let mut random = Random(seed);
    let all = skip + rows;
    let bits = BooleanBuffer::collect_bool(all, |_| random.below(100) < percent);
    let valid = match nulls {
        Nulls::None => None,
        Nulls::Some => Some(NullBuffer::new(BooleanBuffer::collect_bool(all, |_| random.below(5) != 0))),
        Nulls::All => Some(NullBuffer::new_null(all)),
    };
    BooleanArray::new(bits, valid).slice(skip, rows)
}
