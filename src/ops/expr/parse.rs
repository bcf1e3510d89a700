//! SQL text to [`Expr`] and [`Select`](super::Select), through sqlparser; and the spelling of names and types on the way back.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType as Sql, ExactNumberInfo, Expr as Ast, Function as Called, FunctionArg,
    FunctionArgExpr, FunctionArguments, Interval, SelectItem as Item, TimezoneInfo, UnaryOperator, Value,
    WildcardAdditionalOptions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::{Arithmetic, Comparison, DatePart, Expr, Function, Literal, SelectItem};
use crate::error::{Error, Result};

const OP: &str = "filter";
/// Deepest nesting accepted: evaluation recurses, and worker threads have small stacks.
const MAX_DEPTH: usize = 200;
const MAX_BYTES: usize = 1 << 20;
/// Stack of the parsing thread: a chain of a hundred thousand ORs must parse, and drop, to be refused.
const STACK: usize = 256 << 20;

pub(super) fn parse(text: &str) -> Result<Expr> {
    on_a_large_stack(text, parse_here)
}

/// Reads what stands between SELECT and FROM.
pub(super) fn parse_select(text: &str) -> Result<Vec<SelectItem>> {
    on_a_large_stack(text, select_here)
}

fn on_a_large_stack<T: Send>(text: &str, parse: fn(&str) -> Result<T>) -> Result<T> {
    if text.len() > MAX_BYTES {
        return Err(refuse(format!("the expression has {} bytes, at most {MAX_BYTES} are read", text.len())));
    }
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().name("warpline-parse".into()).stack_size(STACK);
        let thread = parser.spawn_scoped(scope, || parse(text)).map_err(|e| Error::io("parser thread", e))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::Internal { op: OP, why: format!("the parser panicked on {text:?}") }))
    })
}

fn parse_here(text: &str) -> Result<Expr> {
    convert(&whole(text, |parser| parser.parse_expr())?, 0)
}

fn select_here(text: &str) -> Result<Vec<SelectItem>> {
    let items = whole(text, |parser| parser.parse_projection())?;
    let item = |item: &Item| match item {
        Item::UnnamedExpr(ast) => Ok(SelectItem::Expr { expr: convert(ast, 0)?, name: None }),
        Item::ExprWithAlias { expr, alias } => {
            Ok(SelectItem::Expr { expr: convert(expr, 0)?, name: Some(alias.value.clone()) })
        }
        Item::Wildcard(options) if *options == WildcardAdditionalOptions::default() => Ok(SelectItem::All),
        other => Err(outside(&other.to_string())),
    };
    items.iter().map(item).collect()
}

/// Parses the whole text.
fn whole<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T> {
    let bad = |e: &dyn std::fmt::Display| refuse(format!("cannot parse '{}': {e}", clip(text)));
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(|e| bad(&e))?;
    let parsed = parse(&mut parser).map_err(|e| bad(&e))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(bad(&format!("unexpected '{rest}' after a complete expression")));
    }
    Ok(parsed)
}

/// The text, shortened for a one-line message.
fn clip(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    if line.chars().count() <= 120 { line } else { line.chars().take(117).chain("...".chars()).collect() }
}

fn refuse(why: String) -> Error {
    Error::invalid(OP, why)
}

fn outside(what: &str) -> Error {
    let hint = "a filter takes comparisons, AND, OR, NOT, IS NULL, IN, BETWEEN, LIKE, arithmetic, CAST, CASE, EXTRACT and few functions";
    Error::unsupported(OP, format!("'{}'", clip(what)), hint)
}

fn convert(ast: &Ast, depth: usize) -> Result<Expr> {
    if depth > MAX_DEPTH {
        return Err(refuse(format!("nested deeper than {MAX_DEPTH} levels: use IN (...) or run two filters")));
    }
    let sub = |ast: &Ast| convert(ast, depth + 1).map(Box::new);
    Ok(match ast {
        Ast::Identifier(name) => Expr::Column(name.value.clone()),
        Ast::CompoundIdentifier(parts) => {
            // A dotted name is a column whose name holds the dots, as flattened Parquet columns have.
            Expr::Column(parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join("."))
        }
        Ast::Nested(inner) => convert(inner, depth + 1)?,
        Ast::Value(value) => Expr::Literal(literal(&value.value)?),
        Ast::TypedString(typed) => {
            let to = data_type(&typed.data_type)?;
            Expr::Cast { expr: Box::new(Expr::Literal(literal(&typed.value.value)?)), to, lenient: false }
        }
        Ast::BinaryOp { left, op, right } => binary(*sub(left)?, op, *sub(right)?, ast)?,
        Ast::UnaryOp { op, expr } => unary(op, *sub(expr)?, ast)?,
        Ast::IsNull(expr) | Ast::IsUnknown(expr) => Expr::IsNull { expr: sub(expr)?, negated: false },
        Ast::IsNotNull(expr) | Ast::IsNotUnknown(expr) => Expr::IsNull { expr: sub(expr)?, negated: true },
        Ast::IsTrue(expr) => Expr::IsTruth { expr: sub(expr)?, truth: true, negated: false },
        Ast::IsNotTrue(expr) => Expr::IsTruth { expr: sub(expr)?, truth: true, negated: true },
        Ast::IsFalse(expr) => Expr::IsTruth { expr: sub(expr)?, truth: false, negated: false },
        Ast::IsNotFalse(expr) => Expr::IsTruth { expr: sub(expr)?, truth: false, negated: true },
        Ast::InList { expr, list, negated } => {
            let list = list.iter().map(|item| convert(item, depth + 1)).collect::<Result<_>>()?;
            Expr::InList { expr: sub(expr)?, list, negated: *negated }
        }
        Ast::Between { expr, negated, low, high } => {
            Expr::Between { expr: sub(expr)?, low: sub(low)?, high: sub(high)?, negated: *negated }
        }
        Ast::Like { negated, any: false, expr, pattern, escape_char: None } => {
            Expr::Like { expr: sub(expr)?, pattern: sub(pattern)?, negated: *negated, ignore_case: false }
        }
        Ast::ILike { negated, any: false, expr, pattern, escape_char: None } => {
            Expr::Like { expr: sub(expr)?, pattern: sub(pattern)?, negated: *negated, ignore_case: true }
        }
        Ast::Cast { kind, expr, data_type: to, format: None } => {
            let lenient = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
            Expr::Cast { expr: sub(expr)?, to: data_type(to)?, lenient }
        }
        Ast::Case { operand, conditions, else_result, .. } => {
            let branch = |case: &sqlparser::ast::CaseWhen| {
                Ok((convert(&case.condition, depth + 1)?, convert(&case.result, depth + 1)?))
            };
            Expr::Case {
                operand: operand.as_deref().map(sub).transpose()?,
                branches: conditions.iter().map(branch).collect::<Result<_>>()?,
                otherwise: else_result.as_deref().map(sub).transpose()?,
            }
        }
        Ast::Extract { field, expr, .. } => Expr::Extract { part: date_part(&field.to_string())?, expr: sub(expr)? },
        Ast::Interval(interval) => return span(interval, ast),
        Ast::Function(called) => {
            let args = arguments(called).ok_or_else(|| outside(&ast.to_string()))?;
            let args = args.into_iter().map(|arg| convert(arg, depth + 1)).collect::<Result<_>>()?;
            return call(&called.name.to_string(), args, ast);
        }
        other => return Err(outside(&other.to_string())),
    })
}

fn date_part(name: &str) -> Result<DatePart> {
    let hint = "use YEAR, QUARTER, MONTH, WEEK, DAY, DOW, DOY, HOUR, MINUTE or SECOND";
    DatePart::named(name).ok_or_else(|| Error::unsupported(OP, format!("the date part '{}'", clip(name)), hint))
}

/// `INTERVAL '2' DAY` and `INTERVAL '2 days'`, as a cast of the text.
fn span(interval: &Interval, ast: &Ast) -> Result<Expr> {
    let Interval { value, leading_field, leading_precision: None, last_field: None, .. } = interval else {
        return Err(outside(&ast.to_string()));
    };
    let Ast::Value(value) = &**value else { return Err(outside(&ast.to_string())) };
    let text = match literal(&value.value)? {
        Literal::Text(text) => text,
        Literal::Integer(number) => number.to_string(),
        _ => return Err(outside(&ast.to_string())),
    };
    let text = leading_field.as_ref().map_or_else(|| text.clone(), |unit| format!("{text} {unit}"));
    let to = DataType::Interval(IntervalUnit::MonthDayNano);
    Ok(Expr::Cast { expr: Box::new(Expr::Literal(Literal::Text(text))), to, lenient: false })
}

/// The arguments of a plain call: no DISTINCT, FILTER, OVER or names.
fn arguments(called: &Called) -> Option<Vec<&Ast>> {
    let FunctionArguments::List(list) = &called.args else { return None };
    let plain = called.parameters == FunctionArguments::None
        && called.filter.is_none()
        && called.null_treatment.is_none()
        && called.over.is_none()
        && called.within_group.is_empty()
        && list.duplicate_treatment.is_none()
        && list.clauses.is_empty();
    let plain_argument = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref ast)) => Some(ast),
        _ => None,
    };
    if plain { list.args.iter().map(plain_argument).collect() } else { None }
}

fn call(name: &str, mut args: Vec<Expr>, ast: &Ast) -> Result<Expr> {
    let lower = name.to_ascii_lowercase();
    match (lower.as_str(), args.as_slice()) {
        ("arrow_cast" | "arrow_try_cast", [_, Expr::Literal(Literal::Text(to))]) => {
            let to = to.parse().map_err(|e| refuse(format!("'{}' is no Arrow type: {e}", clip(to))))?;
            let lenient = lower == "arrow_try_cast";
            return Ok(Expr::Cast { expr: Box::new(args.swap_remove(0)), to: castable(to)?, lenient });
        }
        ("date_part" | "datepart", [Expr::Literal(Literal::Text(part)), _]) => {
            return Ok(Expr::Extract { part: date_part(part)?, expr: Box::new(args.swap_remove(1)) });
        }
        _ => {}
    }
    let Some(function) = Function::named(name) else { return Err(outside(&ast.to_string())) };
    Ok(Expr::Call { function, args })
}

/// Types that an expression may be cast to.
pub(super) fn castable(to: DataType) -> Result<DataType> {
    use DataType::*;
    let good = match to {
        Decimal32(p, s) => (1..=9).contains(&p) && s.unsigned_abs() <= p,
        Decimal64(p, s) => (1..=18).contains(&p) && s.unsigned_abs() <= p,
        Decimal128(p, s) => (1..=38).contains(&p) && s.unsigned_abs() <= p,
        Decimal256(p, s) => (1..=76).contains(&p) && s.unsigned_abs() <= p,
        Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => true,
        _ => to.is_integer() || to.is_floating() || to.is_temporal(),
    };
    let hint = "cast to a number, a boolean, text, binary, a date, a time or a decimal within its precision";
    if good { Ok(to) } else { Err(Error::unsupported(OP, format!("a cast to {to}"), hint)) }
}

/// As DataFusion has it: 256 bits from 39 digits on, and DECIMAL alone is DECIMAL(38, 10).
fn decimal(digits: &ExactNumberInfo) -> Option<DataType> {
    let (precision, scale) = match digits {
        ExactNumberInfo::None => (38, 10),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let (precision, scale) = (u8::try_from(precision).ok()?, u8::try_from(scale).ok()?);
    match precision {
        1..=38 if scale <= precision => Some(DataType::Decimal128(precision, scale as i8)),
        39..=76 if scale <= precision => Some(DataType::Decimal256(precision, scale as i8)),
        _ => None,
    }
}

fn binary(left: Expr, op: &BinaryOperator, right: Expr, ast: &Ast) -> Result<Expr> {
    let (left, right) = (Box::new(left), Box::new(right));
    let compare = |op, left, right| Expr::Compare { op, left, right };
    let arithmetic = |op, left, right| Expr::Arithmetic { op, left, right };
    Ok(match op {
        BinaryOperator::And => Expr::And(left, right),
        BinaryOperator::Or => Expr::Or(left, right),
        BinaryOperator::Eq => compare(Comparison::Eq, left, right),
        BinaryOperator::NotEq => compare(Comparison::NotEq, left, right),
        BinaryOperator::Lt => compare(Comparison::Lt, left, right),
        BinaryOperator::LtEq => compare(Comparison::LtEq, left, right),
        BinaryOperator::Gt => compare(Comparison::Gt, left, right),
        BinaryOperator::GtEq => compare(Comparison::GtEq, left, right),
        BinaryOperator::Plus => arithmetic(Arithmetic::Add, left, right),
        BinaryOperator::Minus => arithmetic(Arithmetic::Subtract, left, right),
        BinaryOperator::Multiply => arithmetic(Arithmetic::Multiply, left, right),
        BinaryOperator::Divide => arithmetic(Arithmetic::Divide, left, right),
        BinaryOperator::Modulo => arithmetic(Arithmetic::Remainder, left, right),
        _ => return Err(outside(&ast.to_string())),
    })
}

fn unary(op: &UnaryOperator, expr: Expr, ast: &Ast) -> Result<Expr> {
    Ok(match (op, expr) {
        (UnaryOperator::Not, expr) => Expr::Not(Box::new(expr)),
        (UnaryOperator::Plus, expr) => expr,
        // A sign before a number is part of the number, so that -1 fits where only a literal does.
        (UnaryOperator::Minus, Expr::Literal(Literal::Integer(value))) => Expr::Literal(Literal::Integer(-value)),
        (UnaryOperator::Minus, Expr::Literal(Literal::Real(text))) => {
            Expr::Literal(Literal::Real(text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned)))
        }
        (UnaryOperator::Minus, expr) => Expr::Negate(Box::new(expr)),
        _ => return Err(outside(&ast.to_string())),
    })
}

fn literal(value: &Value) -> Result<Literal> {
    Ok(match value {
        Value::Null => Literal::Null,
        Value::Boolean(value) => Literal::Boolean(*value),
        Value::SingleQuotedString(text) => Literal::Text(text.clone()),
        Value::Number(text, _) if text.bytes().all(|b| b.is_ascii_digit()) => match text.parse::<i128>() {
            Ok(value) if text.trim_start_matches('0').len() <= 38 => Literal::Integer(value),
            _ => return Err(refuse(format!("the number {} has more than 38 digits", clip(text)))),
        },
        Value::Number(text, _) => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Literal::Real(text.clone()),
            _ => return Err(refuse(format!("the number {} is outside f64's range", clip(text)))),
        },
        other => return Err(outside(&other.to_string())),
    })
}

fn data_type(sql: &Sql) -> Result<DataType> {
    Ok(match sql {
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(_) => DataType::Int8,
        Sql::SmallInt(_) => DataType::Int16,
        Sql::Int(_) | Sql::Integer(_) => DataType::Int32,
        Sql::BigInt(_) => DataType::Int64,
        Sql::TinyIntUnsigned(_) => DataType::UInt8,
        Sql::SmallIntUnsigned(_) => DataType::UInt16,
        Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) => DataType::UInt32,
        Sql::BigIntUnsigned(_) => DataType::UInt64,
        Sql::Real | Sql::Float4 => DataType::Float32,
        Sql::Float(_) | Sql::Double(_) | Sql::DoublePrecision | Sql::Float8 | Sql::Float64 => DataType::Float64,
        Sql::Varchar(None) | Sql::Text | Sql::String(None) => DataType::Utf8,
        Sql::Date => DataType::Date32,
        Sql::Interval { fields: None, precision: None } => DataType::Interval(IntervalUnit::MonthDayNano),
        Sql::Timestamp(None, zone) => {
            let zone = matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz).then(|| "+00:00".into());
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        other => match other {
            Sql::Decimal(digits) | Sql::Numeric(digits) | Sql::Dec(digits) => decimal(digits),
            _ => None,
        }
        .ok_or_else(|| {
            let hint =
                "use BOOLEAN, TINYINT to BIGINT [UNSIGNED], REAL, DOUBLE, VARCHAR, DATE, TIMESTAMP or DECIMAL(p, s)";
            Error::unsupported(OP, format!("the type {other}"), hint)
        })?,
    })
}

/// The SQL spelling of a type, where [`data_type`] reads one.
pub(super) fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INTEGER UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 => "VARCHAR".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone == *"+00:00" => {
            "TIMESTAMP WITH TIME ZONE".into()
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => "INTERVAL".into(),
        DataType::Decimal128(p, s) if (0..=*p as i8).contains(s) => format!("DECIMAL({p}, {s})"),
        _ => return None,
    })
}

/// A column name as SQL: bare where it is a plain word that the parser reads as a name, else in double quotes.
pub(super) fn quote_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let column = || Box::new(Expr::Column(name.to_owned()));
    // A keyword may read as a name in one place and not in another: try the places that differ.
    let reads_back = || {
        let probe = format!("NOT ({name} + {name} < {name} AND {name} IS NULL)");
        let sum = Expr::Arithmetic { op: Arithmetic::Add, left: column(), right: column() };
        let less = Expr::Compare { op: Comparison::Lt, left: Box::new(sum), right: column() };
        let null = Expr::IsNull { expr: column(), negated: false };
        parse_here(&probe).is_ok_and(|e| e == Expr::Not(Box::new(Expr::And(Box::new(less), Box::new(null)))))
    };
    if plain && reads_back() { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
