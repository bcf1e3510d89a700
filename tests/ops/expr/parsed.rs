//! Casts from text on a device, against the host twin: hard texts for every type, and texts changed at random.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use warpline::ops::expr::Select;
use warpline::{Batch, Error, ExecCtx};

use super::batch;
use super::casts::rows_agree;
use super::projection::agree;
use crate::common::samples::Random;
use crate::common::with_device;

const TRUTHS: &[&str] = &[
    "t",
    "tr",
    "tru",
    "true",
    "TRUE",
    "tRuE",
    "truee",
    "y",
    "ye",
    "yes",
    "yess",
    "o",
    "on",
    "ON",
    "of",
    "off",
    "offf",
    "f",
    "fa",
    "fal",
    "fals",
    "false",
    "falsee",
    "n",
    "no",
    "non",
    "1",
    "0",
    "01",
    "10",
    "",
    " ",
    " yes ",
    "\u{a0}no\u{3000}",
    "\u{2003}\t1\r\n\u{85}",
    "t rue",
    "\u{ff54}rue",
    "true\0",
    "\u{212a}",
];

const DATES: &[&str] = &[
    "2024-02-29",
    "2023-02-29",
    "2000-02-29",
    "1900-02-29",
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "2024-00-10",
    "2024-13-10",
    "2024-04-31",
    "2024-12-00",
    "2024-1-1",
    "2024-01-1",
    "2024-1-01",
    "2024-01-1x",
    "2024-1-1x",
    "2024-1-1xy",
    "2024-1-1\u{e9}",
    "2024-1-010",
    "2024-01-001",
    "2024-1-1-1",
    "20240229",
    "20230229",
    "2024022",
    "202402290",
    "2024-0229",
    "2024/02/29",
    "2024-02-29 ",
    " 2024-02-29",
    "2024-02-29T",
    "2024-02-29T00:00:00",
    "2024-02-29t23:59:59.999999999",
    "2024-02-29T23:30:00-01:00",
    "2024-03-01 00:30:00+01",
    "2024-02-29\u{a0}",
    "+10999-12-31",
    "-0001-03-01",
    "-0012-5-6",
    "+0012-+5-+06",
    "+0012-05-+",
    "+0012--5-6",
    "+012-05-06",
    "+000000000012-05-06",
    "+5881580-07-11",
    "+5881580-07-12",
    "-5877641-06-23",
    "-5877641-06-22",
    "+2147483647-01-01",
    "+2147483648-01-01",
    "-2147483648-01-01",
    "-0004-02-29",
    "-0003-02-29",
    "+2024-02-30",
    "+2024-02",
    "+2024-02-",
    "+2024-0000002-00000000029",
    "+2024-4294967298-1",
    "+20240-1-1",
    "+99999-1-1",
    "-99999-1-1",
    "+",
    "-",
    "",
    "2024",
    "2024-",
    "2024-02",
    "2024-02-",
    "\u{0662}024-02-29",
    "2024\u{2010}02-29",
    "1970-01-01",
    "1969-12-31",
    "1582-10-10",
    "not a date",
];

const MOMENTS: &[&str] = &[
    "2024-02-29T09:26:56",
    "2024-02-29 09:26:56",
    "2024-02-29t09:26:56",
    "2024-02-29_09:26:56",
    "2024-02-29  09:26:56",
    "2024-02-29T092656",
    "2024-02-29T092656Z",
    "2024-02-29T092656+0530",
    "2024-02-29T0926567",
    "2024-02-29T09265678",
    "2024-02-29T092656.5",
    "2024-02-29T09:26",
    "2024-02-29T09:26:5",
    "2024-02-29T9:26:56",
    "2024-02-29T09:26:56.",
    "2024-02-29T09:26:56.1",
    "2024-02-29T09:26:56.123",
    "2024-02-29T09:26:56.123456789",
    "2024-02-29T09:26:56.1234567899",
    "2024-02-29T09:26:56.12345678901",
    "2024-02-29T09:26:56.123456789012",
    "2024-02-29T09:26:56.1234567890123456Z",
    "2024-02-29T09:26:56.123456789012345678901 +01",
    "2024-02-29T09:26:56,5",
    "2024-02-29T09:26:56Z",
    "2024-02-29T09:26:56z",
    "2024-02-29T09:26:56 Z",
    "2024-02-29T09:26:56ZZ",
    "2024-02-29T09:26:56+05:30",
    "2024-02-29T09:26:56-0530",
    "2024-02-29T09:26:56 +05",
    "2024-02-29T09:26:56\u{2003}\t-05",
    "2024-02-29T09:26:56+5",
    "2024-02-29T09:26:56+05:3",
    "2024-02-29T09:26:56+05-30",
    "2024-02-29T09:26:56+23:59",
    "2024-02-29T09:26:56+24:00",
    "2024-02-29T09:26:56+23:99",
    "2024-02-29T09:26:56+05:30 ",
    "2024-02-29T09:26:56*05:30",
    "2024-02-29T09:26:56+05:30:00",
    "2024-02-29T09:26:56 ",
    "2024-02-29T24:00:00",
    "2024-02-29T23:60:00",
    "2024-02-29T23:59:60",
    "2024-02-29T12:30:60.75",
    "2024-02-29T23:59:61",
    "2024-02-29T23:59:60.999999999Z",
    "0000-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999999-23:59",
    "0000-01-01",
    "9999-12-31",
    "1677-09-21T00:12:43.145224192",
    "1677-09-21T00:12:43.145224191",
    "1677-09-21T00:12:43",
    "2262-04-11T23:47:16.854775807",
    "2262-04-11T23:47:16.854775808",
    "1969-12-31T23:59:59.999999999",
    "1969-12-31T23:59:59.5",
    "1969-12-31T23:59:60",
    "2024-02-29",
    "2024-2-29",
    "2024-02-30T00:00:00",
    "20240229T092656",
    "2024-02-29T09:26:56Europe/Paris",
    "2024-02-29T09:26:56\u{e9}",
    "\u{e9}24-02-29T09:26:56",
    "2024-02-29T0\u{e9}:26:56",
    "2024-02-29T",
    "2024-02-29 ",
    "2024-02-2",
    "",
    "+2024-02-29T00:00:00",
    "2024-02-29T-9:26:56",
    "2024-02-29T09:26:56\0",
];

const CLOCKS: &[&str] = &[
    "09:26:56",
    "9:26:56",
    "9:26",
    "09:26",
    "9:2",
    "09:2",
    "009:26",
    ":26",
    "0:00",
    "00:00:00",
    "23:59:59.999999999",
    "23:59:60",
    "23:59:60.999",
    "12:34:60",
    "23:59:61",
    "24:00:00",
    "23:60:00",
    "09:26:56.",
    "09:26:56.1",
    "09:26:56.12345678",
    "09:26:56.1234567891",
    "09:26:56.12345678912345678912",
    "09:26:56.1x",
    "09:26:56x",
    "09:26:5",
    "09:26:567",
    "09:26x56",
    "9:26 AM",
    "09:26:56 am",
    "12:00 AM",
    "12:00 PM",
    "12:59:59.5 pM",
    "1:00 Pm",
    "13:00 PM",
    "0:00 AM",
    "00:30 PM",
    "11:59:60 PM",
    "9:26AM",
    "9:26  AM",
    "9:26 AM ",
    " 9:26",
    "9:26 MM",
    "1 AM",
    ":1 AM",
    "1:2 AM",
    "9:26 XM",
    "AM",
    " AM",
    "\u{e9}:26",
    "9:\u{e9}6",
    "0",
    "-1",
    "+5",
    "--5",
    "5 ",
    " 5",
    "5.0",
    "86399",
    "86400",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "00000000000000000000000000012",
    "+",
    "-",
    "",
    "1e3",
    "9223372036854775817",
];

const DECIMALS: &[&str] = &[
    "0",
    "-0",
    "+0",
    "1",
    "-1",
    "+1",
    "12.345",
    "-12.345",
    "12.344",
    "12.355",
    "-12.355",
    ".5",
    "-.5",
    "+.5",
    "5.",
    "-5.",
    ".",
    "-",
    "+",
    "-.",
    "",
    " ",
    " 12.5 ",
    "\u{a0}12.5\u{2003}",
    "1 2",
    "1.2.3",
    "1..2",
    "..",
    "1,2",
    "1e3",
    "1E3",
    "1e-3",
    "--1",
    "+-1",
    "-+1",
    "1.-2",
    "1.+2",
    "1-",
    "1.2-",
    "-1.2.",
    "0x10",
    "NaN",
    "inf",
    "\u{0661}",
    "1\u{e9}",
    "0.004",
    "0.005",
    "0.0049999999999999999999999999999999999999999999999999999999999999",
    "0.00499",
    "999.994",
    "999.995",
    "-999.995",
    "9999999.99",
    "9999999.989",
    "9999999.995",
    "10000000",
    "99999999999999999999999999999999999999",
    "100000000000000000000000000000000000000",
    "-99999999999999999999999999999999999999",
    "0000000000000000000000012",
    "0.00000000000000000000000000000000000001",
    "0.000000000000000000000000000000000000004",
    "0.000000000000000000000000000000000000005",
    "-0.000000000000000000000000000000000000005",
    "170141183460469231731687303715884105727",
    "170141183460469231731687303715884105728",
    "0.5000000000000000000000000000000000000000000000000000000000000000000000000000",
    "0.50000000000000000000000000000000000000000000000000000000000000000000000000000",
    "0.57896044618658097711785492504343953926634992332820282019728792003956564819967",
    "0.57896044618658097711785492504343953926634992332820282019728792003956564819968",
    "0.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
    "57896044618658097711785492504343953926634992332820282019728792003956564819967.5555555555555555555555555555555555555555",
    "57896044618658097711785492504343953926634992332820282019728792003956564819968.5555555555555555555555555555555555555555",
    // Ten times these, and a hundred, are a little more or less than 2^256.
    "11579208923731619542357098500868790785326998466564056403945758400791312963994.55",
    "-11579208923731619542357098500868790785326998466564056403945758400791312963994.55",
    "11579208923731619542357098500868790785326998466564056403945758400791312963993.55",
    "-11579208923731619542357098500868790785326998466564056403945758400791312963993.55",
    "1157920892373161954235709850086879078532699846656405640394575840079131296400.555",
    "-1157920892373161954235709850086879078532699846656405640394575840079131296399.555",
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001.5",
    "0000000000000000000000000000000000000000-1",
    "1234567890123456789012345678901234567890+1",
    "1234567890+12345678901234567890123456789012345678",
];

/// Numbers that are read as floats: published hard cases (Paxson, "A Program for Testing IEEE Decimal-Binary Conversion",
/// 1991; the double that stopped PHP and Java), limits of every format, and what the grammar takes and does not.
const FLOATS: &[&str] = &[
    "0",
    "-0",
    "+0.0",
    "00",
    "0e5",
    "-0e-999",
    "0e999999999999999999999",
    "1",
    "-1",
    "+1",
    "1.",
    ".1",
    "-.5",
    "+.5e1",
    "1.e2",
    "1e",
    "1e+",
    "1e-",
    "e5",
    ".e5",
    ".",
    "-",
    "+",
    "",
    " ",
    "1e5",
    "1E5",
    "1e+05",
    "1e-05",
    "1e5.0",
    "1.2.3",
    "1,5",
    "--1",
    "+-1",
    "1_000",
    "0x10",
    "1f",
    "1d",
    "1\0",
    "\u{0661}",
    "1\u{e9}",
    " 1",
    "1 ",
    "\t1.5\r\n",
    "\u{c}2\u{c}",
    "\u{b}2",
    "\u{a0}1",
    "1\u{2003}",
    " -inf ",
    "1 2",
    "- 1",
    "nan",
    "NaN",
    "-nan",
    "+NAN",
    "nan1",
    "nann",
    "na",
    "inf",
    "-Inf",
    "+INF",
    "infinity",
    "-INFINITY",
    "infinit",
    "infinityy",
    "inf inity",
    "i",
    "\u{4e}\u{41}\u{6e}",
    "1e308",
    "1e309",
    "-1e309",
    "1e-400",
    "1e400",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "0.1",
    "0.2",
    "0.3",
    "3.14159265358979",
    "1e22",
    "1e23",
    "9007199254740992",
    "9007199254740993",
    "9007199254740994",
    "9007199254740995",
    "9007199254740993.0",
    "9007199254740993.00000000000000000000000000000000000001",
    "9007199254740992.99999999999999999999999999999999999999",
    "16777216",
    "16777217",
    "16777218",
    "16777219",
    "16777217.0000000000000000000000000000000000001",
    "2.2250738585072011e-308",
    "2.2250738585072012e-308",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.7976931348623159e308",
    "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792",
    "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497791.999999",
    "5e-324",
    "4.9406564584124654e-324",
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "2.4703282292062329e-324",
    "7.4109846876186982e-324",
    "3.4028234663852886e38",
    "3.4028235677973366e38",
    "3.4028235677973365e38",
    "3.4028236e38",
    "1.401298464324817e-45",
    "7.006492321624085e-46",
    "7.006492321624086e-46",
    "1.1754943508222875e-38",
    "1.1754942e-38",
    "65504",
    "65519.99",
    "65520",
    "65519.999999999",
    "5.960464477539063e-8",
    "2.98023223876953125e-8",
    "2.980232238769532e-8",
    "6.103515625e-5",
    "1.00048828125",
    "1.00048828125000000000001",
    "5e125",
    "69e267",
    "999e-26",
    "7861e-34",
    "75569e-254",
    "928609e-261",
    "9210917e80",
    "84863171e114",
    "653777767e273",
    "5232604057e-298",
    "27235667517e-109",
    "653532977297e-123",
    "3142213164987e-294",
    "46202199371337e-72",
    "231010996856685e-73",
    "9324754620109615e212",
    "78459735791271921e49",
    "272104041512242479e200",
    "6802601037806061975e198",
    "20505426358836677347e-221",
    "836168422905420598437e-234",
    "4891559871276714924261e222",
    "1e-342",
    "9999999999999999999e-343",
    "9999999999999999999999999999e-343",
    "0.000000000000000000000000000000000000000000001e45",
    "1000000000000000000000000000000000000000000000000e-48",
    "1234567890123456789012345678901234567890",
    "1152921504606846975.5",
    "11529215046068469755",
    "18446744073709551615",
    "18446744073709551616",
    "9999999999999999999",
    "99999999999999999999",
    "0.00000000000000000000123456789012345678901234567890",
    "8.5e-9",
    "123456.7890625",
    "1e-7",
    "1.5e300",
];

/// Types and the texts for them.
const CASES: &[(&str, &[&str])] = &[
    ("Boolean", TRUTHS),
    ("Date32", DATES),
    ("Date32", MOMENTS),
    ("Date64", DATES),
    ("Date64", MOMENTS),
    ("Timestamp(Second, None)", MOMENTS),
    ("Timestamp(Millisecond, None)", MOMENTS),
    ("Timestamp(Microsecond, Some(\"UTC\"))", MOMENTS),
    ("Timestamp(Nanosecond, None)", MOMENTS),
    ("Timestamp(Nanosecond, Some(\"-09:30\"))", MOMENTS),
    ("Timestamp(Second, Some(\"+14\"))", MOMENTS),
    ("Timestamp(Second, None)", DATES),
    ("Time32(Second)", CLOCKS),
    ("Time32(Millisecond)", CLOCKS),
    ("Time64(Microsecond)", CLOCKS),
    ("Time64(Nanosecond)", CLOCKS),
    ("Decimal32(9, 2)", DECIMALS),
    ("Decimal64(18, 2)", DECIMALS),
    ("Decimal128(38, 0)", DECIMALS),
    ("Decimal128(38, 1)", DECIMALS),
    ("Decimal128(38, 38)", DECIMALS),
    ("Decimal128(9, 2)", DECIMALS),
    ("Float64", FLOATS),
    ("Float32", FLOATS),
    ("Float16", FLOATS),
];

/// The texts in every layout, with a null at the end.
fn texts<S: AsRef<str>>(texts: &[S]) -> RecordBatch {
    let plain: StringArray = texts.iter().map(|text| Some(text.as_ref())).chain([None]).collect();
    let plain: ArrayRef = Arc::new(plain);
    let as_type = |to: &str| cast(&plain, &to.parse().expect("a type")).expect("text");
    let columns = [("large", "LargeUtf8"), ("view", "Utf8View"), ("dict", "Dictionary(Int32, Utf8)")];
    let columns = columns.map(|(name, to)| (name, as_type(to)));
    batch([("s", plain.clone())].into_iter().chain(columns).collect())
}

/// Whether arrow-rs was built with its zone database, with which only the host reads what may be a zone's name.
fn zones_have_names() -> bool {
    "Europe/Paris".parse::<Tz>().is_ok()
}

/// Whether such a name may follow a date and a time.
fn may_name_zone(text: &str) -> bool {
    let tail = text.get(17..).unwrap_or("").trim_start_matches(|c: char| c.is_ascii_digit() || "+-:.".contains(c));
    !matches!(tail, "z" | "Z") && tail.contains(|c: char| c.is_ascii_alphabetic())
}

/// The texts that a device reads.
fn readable<S: AsRef<str>>(texts: &[S]) -> Vec<&str> {
    let texts = texts.iter().map(AsRef::as_ref);
    texts.filter(|text| !zones_have_names() || !may_name_zone(text)).collect()
}

#[test]
fn names_of_zones_are_for_the_host() {
    with_device(|ctx| {
        for (text, is_name) in
            [("2024-02-29T09:26:56 Europe/Paris", true), ("2024-02-29 09:26:56.5Mars/Olympus", false)]
        {
            let rows = texts(&["2024-02-29", text, "no date"]);
            let input = Batch::from_record_batch(&rows).to(ctx).expect("upload");
            let cast = |f: &str| {
                let text = format!("{f}(s, 'Timestamp(Second, None)') AS x");
                Select::parse(&text).and_then(|s| s.bind(&rows.schema())).expect(&text).evaluate_on(ctx, &input)
            };
            let Err(error) = cast("arrow_cast") else { panic!("{text} was cast") };
            assert!(error.to_string().contains("row 1"), "{error}");
            assert_eq!(matches!(error, Error::Unsupported { .. }), is_name && zones_have_names(), "{error}");
            let tried = cast("arrow_try_cast").and_then(|found| found.to_host()?.to_record_batch());
            match zones_have_names() {
                true => assert!(matches!(tried, Err(Error::Unsupported { .. })), "{tried:?}"),
                false => assert_eq!(tried.expect("nulls").column(0).null_count(), 3),
            }
        }
    });
}

#[test]
fn hard_texts_as_every_type() {
    with_device(|ctx| {
        for (to, hard) in CASES {
            let rows = texts(&readable(hard));
            let columns = ["s", "large", "view", "dict"];
            let list = columns.map(|column| format!("arrow_try_cast({column}, '{to}') AS {column}"));
            assert_eq!(agree(ctx, &list.join(", "), &rows), "", "{to}");
            rows_agree(ctx, &format!("arrow_cast(view, '{to}') AS x"), &rows, 1);
        }
    });
}

/// A text with some characters changed.
fn changed(text: &str, random: &mut Random) -> String {
    const OTHERS: [char; 28] = [
        '0', '1', '2', '3', '5', '6', '9', '0', '1', '9', '+', '-', ':', '.', ' ', 'T', 'Z', 'e', 'E', 'A', 'M', 'P',
        'm', 't', '\0', '\u{a0}', '\u{e9}', '\u{2003}',
    ];
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..random.next() % 3 {
        let other = OTHERS[random.below(28)];
        let at = random.below(characters.len() + 1);
        match random.next() % 4 {
            0 => characters.insert(at, other),
            1 if at < characters.len() => drop(characters.remove(at)),
            _ if at < characters.len() => characters[at] = other,
            _ => {}
        }
    }
    characters.into_iter().collect()
}

/// Changed texts on both sides, without errors and with; how many have a value.
fn changed_texts_agree(ctx: &ExecCtx, to: &str, hard: &[&str], random: &mut Random) -> usize {
    let changed: Vec<String> = (0..1500).map(|_| changed(hard[random.below(hard.len())], random)).collect();
    let rows = texts(&readable(&changed));
    let text = format!("arrow_try_cast(s, '{to}') AS x");
    assert_eq!(agree(ctx, &text, &rows), "", "{to}");
    assert_ne!(agree(ctx, &format!("arrow_cast(s, '{to}') AS x"), &rows), "", "{to}");
    let values = Select::parse(&text).and_then(|s| s.bind(&rows.schema())).and_then(|p| p.evaluate(&rows));
    let values = values.expect("values").column(0).clone();
    values.len() - values.null_count()
}

#[test]
fn changed_texts_as_every_type() {
    with_device(|ctx| {
        let mut random = Random(59);
        for (to, hard) in CASES {
            let values = changed_texts_agree(ctx, to, hard, &mut random);
            assert!(values > 60, "{to}: {values}");
        }
    });
}

/// c * 2^q with all its digits.
fn exact(c: u64, q: i32) -> String {
    let mut digits: Vec<u8> = c.to_string().bytes().rev().map(|d| d - b'0').collect();
    for _ in 0..q.unsigned_abs() {
        // Times two, or times five and a tenth.
        let factor = if q > 0 { 2 } else { 5 };
        let mut carry = 0;
        for digit in &mut digits {
            let product = *digit * factor + carry;
            (*digit, carry) = (product % 10, product / 10);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    let digits: String = digits.iter().rev().map(|d| char::from(d + b'0')).collect();
    if q < 0 { format!("{digits}e{q}") } else { digits }
}

/// Numbers halfway between two floats and their nearest neighbours above and below, with hundreds of digits, and the
/// shortest texts of random floats.
#[test]
fn floats_halfway() {
    let mut random = Random(1990);
    let mut texts_of = Vec::new();
    for i in 0..90 {
        let (fraction, q) = match i % 3 {
            0 => (random.next() & ((1 << 52) - 1), -1074),
            1 => (random.next() & ((1 << 52) - 1) | 1 << 52, random.below(2045) as i32 - 1074),
            _ => (random.next() & ((1 << 23) - 1) | 1 << 23, random.below(253) as i32 - 149),
        };
        let half = exact(2 * fraction + 1, q - 1);
        let (digits, power) = half.split_once('e').unwrap_or((&half, "0"));
        let (first, rest) = digits.split_at(1);
        let power: i32 = power.parse::<i32>().expect("a power") + rest.len() as i32;
        let zeros = "0".repeat(random.below(900));
        texts_of.push(half.clone());
        texts_of.push(format!("-{first}.{rest}{zeros}e{power}"));
        texts_of.push(format!("{first}.{rest}{zeros}1e{power}"));
        let last = digits.len() - 1;
        let power = power - rest.len() as i32 - 1 - zeros.len() as i32;
        if let lower @ b'0'..=b'9' = digits.as_bytes()[last] - 1 {
            texts_of.push(format!("000{}{}9{zeros}e{power}", &digits[..last], char::from(lower)));
        }
    }
    for _ in 0..600 {
        texts_of.push(f64::from_bits(random.next()).to_string());
        texts_of.push(format!("{:e}", f64::from_bits(random.next())));
        texts_of.push(format!("{:e}", f32::from_bits(random.next() as u32)));
        texts_of.push(format!("{}{}e{}", random.next(), random.next(), random.below(700) as i32 - 370));
    }
    let rows = texts(&texts_of);
    with_device(|ctx| {
        let list =
            ["Float64", "Float32", "Float16"].map(|to| format!("arrow_cast(s, '{to}') AS {}", to.to_lowercase()));
        assert_eq!(agree(ctx, &list.join(", "), &rows), "");
    });
}
