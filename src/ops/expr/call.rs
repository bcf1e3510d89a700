//! Functions, CASE and EXTRACT to typed form.

use arrow::datatypes::DataType;

use super::bind::{
    Bound, OP, Place, Scope, align, bind, boolean, compare, in_utc, instant, integer, is_binary, is_text, plain,
    scalar, widen,
};
use super::{Arithmetic, Comparison, DatePart, Expr, Function, Literal};
use crate::error::{Error, Result};

pub(super) fn case_of(expr: &Expr, scope: &Scope<'_>) -> Result<Bound> {
    let Expr::Case { operand, branches, otherwise } = expr else {
        return Err(Error::Internal { op: OP, why: format!("{expr} is no CASE") });
    };
    let sub = |expr: &Expr| bind(expr, scope);
    let mut conditions = Vec::with_capacity(branches.len());
    let mut values = Vec::with_capacity(branches.len() + 1);
    for (when, then) in branches {
        conditions.push(match operand {
            Some(operand) => compare(Comparison::Eq, sub(operand)?, sub(when)?, expr)?,
            None => boolean(sub(when)?, when)?,
        });
        values.push(sub(then)?);
    }
    values.push(otherwise.as_deref().map_or_else(|| Ok(Bound::Scalar(scalar(&Literal::Null))), sub)?);
    case(conditions, values, expr)
}

fn case(conditions: Vec<Bound>, values: Vec<Bound>, expr: &Expr) -> Result<Bound> {
    let mut values = unify(values, expr)?;
    match values.pop() {
        Some(otherwise) if !conditions.is_empty() => {
            Ok(Bound::Case { branches: conditions.into_iter().zip(values).collect(), otherwise: Box::new(otherwise) })
        }
        _ => Err(Error::invalid(OP, format!("'{expr}' has no branch"))),
    }
}

pub(super) fn call(function: Function, args: &[Expr], expr: &Expr, scope: &Scope<'_>) -> Result<Bound> {
    if args.is_empty() || function.arity().is_some_and(|arity| arity != args.len()) {
        let takes = function.arity().map_or("one argument or more".to_owned(), |arity| format!("{arity} arguments"));
        return Err(Error::invalid(OP, format!("'{expr}': {function} takes {takes}, {} are given", args.len())));
    }
    let mut bound = args.iter().map(|arg| bind(arg, scope).map(plain)).collect::<Result<Vec<_>>>()?;
    let wrong = |what: &str, bound: &Bound| {
        Error::invalid(OP, format!("'{expr}': {function} takes {what}, not {}", bound.data_type()))
    };
    match function {
        Function::Coalesce => return Ok(Bound::Coalesce(unify(bound, expr)?)),
        Function::NullIf => {
            let first = bind(&args[0], scope).map(plain)?;
            let [a, b] = two(bound);
            let null = widen(Bound::Scalar(scalar(&Literal::Null)), first.data_type())?;
            return case(vec![compare(Comparison::Eq, a, b, expr)?], vec![null, first], expr);
        }
        Function::Length | Function::OctetLength => {
            let bytes = function == Function::OctetLength;
            let input = bound.swap_remove(0);
            return match input.data_type() {
                t if is_text(t) || (bytes && is_binary(t)) => Ok(Bound::Length { input: Box::new(input), bytes }),
                DataType::Null => widen(input, &DataType::Int32),
                _ => Err(wrong("text", &input)),
            };
        }
        Function::WrappingNeg => bound.insert(0, Bound::Scalar(integer(0))),
        _ => {}
    }
    let (left, right) = {
        let [a, b] = two(bound);
        align(a, b, expr)?
    };
    let place = match function {
        Function::StartsWith => Place::Start,
        Function::EndsWith => Place::End,
        Function::Contains => Place::Anywhere,
        _ => {
            // Where a sum wraps depends on its type: two types would leave that open.
            let given = args.iter().map(|arg| bind(arg, scope).map(plain)).collect::<Result<Vec<_>>>()?;
            let typed = |bound: &Bound| !matches!(bound, Bound::Scalar(_));
            let mixed = given.iter().any(|bound| typed(bound) && bound.data_type() != left.data_type());
            if !left.data_type().is_integer() || mixed {
                return Err(wrong("integers of one type", given.last().unwrap_or(&left)));
            }
            let op = match function {
                Function::WrappingAdd => Arithmetic::Add,
                Function::WrappingMul => Arithmetic::Multiply,
                _ => Arithmetic::Subtract,
            };
            return Ok(Bound::Wrapping { op, left: Box::new(left), right: Box::new(right) });
        }
    };
    match left.data_type() {
        t if is_text(t) => Ok(Bound::Search { place, input: Box::new(left), part: Box::new(right) }),
        DataType::Null => widen(left, &DataType::Boolean),
        _ => Err(wrong("text", &left)),
    }
}

fn two(bound: Vec<Bound>) -> [Bound; 2] {
    let mut bound = bound.into_iter();
    let mut next = || bound.next().unwrap_or_else(|| Bound::Scalar(scalar(&Literal::Null)));
    [next(), next()]
}

pub(super) fn extract(part: DatePart, input: Bound, expr: &Expr) -> Result<Bound> {
    let data_type = input.data_type().clone();
    if data_type == DataType::Null {
        return widen(input, &DataType::Int32);
    }
    let time = matches!(data_type, DataType::Duration(_) | DataType::Interval(_));
    if !data_type.is_temporal() || time {
        return Err(Error::invalid(OP, format!("'{expr}': a date, time or timestamp is needed, not {data_type}")));
    }
    let input = in_utc(input, true)?;
    let data_type = input.data_type();
    // Whether the type has the part, and whether its zone is known.
    arrow::compute::date_part(&arrow::array::new_empty_array(data_type), part.to_arrow())
        .map_err(|e| Error::invalid(OP, format!("'{expr}': {e}")))?;
    Ok(Bound::DatePart { part, input: Box::new(input) })
}

/// Brings all to one type, as [`align`] does with two.
fn unify(inputs: Vec<Bound>, expr: &Expr) -> Result<Vec<Bound>> {
    let mut done: Vec<Bound> = Vec::with_capacity(inputs.len());
    for next in inputs.into_iter().map(plain) {
        match done.pop() {
            None => done.push(next),
            Some(last) => {
                let (last, next) = align(last, next, expr)?;
                done.extend([last, next]);
            }
        }
    }
    let Some(to) = done.last().map(|bound| bound.data_type().clone()) else { return Ok(done) };
    done.into_iter().map(|bound| instant(bound, &to)).collect()
}
