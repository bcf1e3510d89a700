//! The functions of `kernels/expr.cu`, cut out of its PTX: a module holds those that it calls.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::device::kernels::KernelModule;

/// A function or a variable at module level, by name, in the order of the text.
struct Units(Vec<(String, String)>);

static UNITS: LazyLock<Units> = LazyLock::new(|| Units::split(KernelModule::Expr.ptx()));

impl Units {
    /// Cuts at the lines that begin a declaration; line numbers and comments are left out, for they would make a third
    /// of what the driver reads.
    fn split(ptx: &str) -> Units {
        let mut units: Vec<(String, String)> = Vec::new();
        let mut open = false;
        for line in ptx.lines() {
            let code = line.trim();
            let declares = [".visible", ".weak", ".func", ".global", ".const", ".shared"];
            if declares.iter().any(|word| line.starts_with(word)) {
                open = true;
                units.push((name(line), String::new()));
            }
            let text = !code.is_empty() && !code.starts_with("//") && !code.starts_with(".loc\t");
            if let Some((_, unit)) = units.last_mut().filter(|_| open && text) {
                unit.push_str(line);
                unit.push('\n');
            }
            // Bodies end with a brace in the first column, variables with their line.
            if line == "}" || (line.ends_with(';') && !line.starts_with(char::is_whitespace)) {
                open = false;
            }
        }
        Units(units)
    }
}

/// The declared name: the last word before the parameters, the length or the end.
fn name(line: &str) -> String {
    let line = match line.split_once(')') {
        // A function with a result: `.func (.param .b32 func_retval0) name(`.
        Some((before, after)) if before.contains(".func") && !after.trim().is_empty() => after,
        _ => line,
    };
    let end = line.trim_end_matches([';', '(']);
    let end = end.split(['[', '(']).next().unwrap_or(end).trim();
    end.rsplit(char::is_whitespace).next().unwrap_or(end).to_owned()
}

/// The text of these functions and of what they use.
pub(super) fn text(calls: &str) -> String {
    let words = |text: &str| -> HashMap<String, ()> {
        let name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        text.split(|c| !name(c)).filter(|word| !word.is_empty()).map(|word| (word.to_owned(), ())).collect()
    };
    let mut needed = vec![false; UNITS.0.len()];
    let mut open = vec![words(calls)];
    while let Some(used) = open.pop() {
        for (i, (name, unit)) in UNITS.0.iter().enumerate() {
            if !needed[i] && used.contains_key(name) {
                needed[i] = true;
                open.push(words(unit));
            }
        }
    }
    UNITS.0.iter().zip(needed).filter(|(_, needed)| *needed).map(|((_, unit), _)| unit.as_str()).collect()
}
