//! PTX text in the making: registers by class, instructions, predicates that fold, calls.

use std::fmt::{self, Display, Write};

/// A class of registers; the PTX type is that of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// One bit, `.pred`.
    P,
    /// 16 bits.
    H,
    /// 32 bits.
    R,
    /// 64 bits.
    D,
    /// 32-bit float.
    F,
    /// 64-bit float.
    G,
}

impl Class {
    const ALL: [Class; 6] = [Class::P, Class::H, Class::R, Class::D, Class::F, Class::G];

    fn prefix(self) -> &'static str {
        ["p", "h", "r", "d", "f", "g"][self as usize]
    }

    fn declared(self) -> &'static str {
        ["pred", "b16", "b32", "b64", "f32", "f64"][self as usize]
    }

    /// The type that moves and selects its bits.
    pub(super) fn bits(self) -> &'static str {
        self.declared()
    }
}

/// A virtual register. Every one is written once, but for those that a loop or a skipped call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(pub(super) Class, u32);

impl Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{}", self.0.prefix(), self.1)
    }
}

/// A truth value of a lane that may be known while the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pred {
    True,
    False,
    Reg(Reg),
}

/// Instructions of one function body.
#[derive(Debug, Default)]
pub(super) struct Asm {
    body: String,
    counts: [u32; 6],
    labels: u32,
}

/// Writes one instruction line; `;` is added.
macro_rules! line {
    ($asm:expr, $($text:tt)*) => { $asm.line(format_args!($($text)*)) };
}
pub(super) use line;

impl Asm {
    pub(super) fn reg(&mut self, class: Class) -> Reg {
        self.counts[class as usize] += 1;
        Reg(class, self.counts[class as usize] - 1)
    }

    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "\t{text};");
    }

    /// `op result, arguments`.
    pub(super) fn op(&mut self, class: Class, op: &str, arguments: &[&dyn Display]) -> Reg {
        let result = self.reg(class);
        let _ = write!(self.body, "\t{op} {result}");
        for argument in arguments {
            let _ = write!(self.body, ", {argument}");
        }
        self.body.push_str(";\n");
        result
    }

    /// A comparison, or any instruction that writes a predicate.
    pub(super) fn test(&mut self, op: &str, arguments: &[&dyn Display]) -> Pred {
        Pred::Reg(self.op(Class::P, op, arguments))
    }

    pub(super) fn label(&mut self) -> String {
        self.labels += 1;
        format!("$L{}", self.labels)
    }

    pub(super) fn place(&mut self, label: &str) {
        let _ = writeln!(self.body, "{label}:");
    }

    pub(super) fn and(&mut self, a: Pred, b: Pred) -> Pred {
        match (a, b) {
            (Pred::False, _) | (_, Pred::False) => Pred::False,
            (Pred::True, other) | (other, Pred::True) => other,
            (Pred::Reg(x), Pred::Reg(y)) if x == y => a,
            (Pred::Reg(x), Pred::Reg(y)) => self.test("and.pred", &[&x, &y]),
        }
    }

    pub(super) fn or(&mut self, a: Pred, b: Pred) -> Pred {
        match (a, b) {
            (Pred::True, _) | (_, Pred::True) => Pred::True,
            (Pred::False, other) | (other, Pred::False) => other,
            (Pred::Reg(x), Pred::Reg(y)) if x == y => a,
            (Pred::Reg(x), Pred::Reg(y)) => self.test("or.pred", &[&x, &y]),
        }
    }

    pub(super) fn not(&mut self, a: Pred) -> Pred {
        match a {
            Pred::True => Pred::False,
            Pred::False => Pred::True,
            Pred::Reg(x) => self.test("not.pred", &[&x]),
        }
    }

    /// Whether two truth values differ.
    pub(super) fn xor(&mut self, a: Pred, b: Pred) -> Pred {
        match (a, b) {
            (Pred::False, other) | (other, Pred::False) => other,
            (Pred::True, other) | (other, Pred::True) => self.not(other),
            (Pred::Reg(x), Pred::Reg(y)) => self.test("xor.pred", &[&x, &y]),
        }
    }

    /// `a` and not `b`.
    pub(super) fn and_not(&mut self, a: Pred, b: Pred) -> Pred {
        let b = self.not(b);
        self.and(a, b)
    }

    /// `a` where `p`, else `b`, for truth values.
    pub(super) fn choose(&mut self, p: Pred, a: Pred, b: Pred) -> Pred {
        let yes = self.and(p, a);
        let no = self.and_not(b, p);
        self.or(yes, no)
    }

    /// `a` where `p`, else `b`, for registers of one class.
    pub(super) fn select(&mut self, p: Pred, a: Reg, b: Reg) -> Reg {
        match p {
            Pred::True => a,
            Pred::False => b,
            Pred::Reg(_) if a == b => a,
            Pred::Reg(p) => self.op(a.0, &format!("selp.{}", a.0.bits()), &[&a, &b, &p]),
        }
    }

    /// A predicate in a register, whatever is known of it.
    pub(super) fn materialize(&mut self, p: Pred) -> Reg {
        match p {
            Pred::Reg(reg) => reg,
            Pred::True => self.op(Class::P, "setp.eq.u32", &[&0, &0]),
            Pred::False => self.op(Class::P, "setp.ne.u32", &[&0, &0]),
        }
    }

    /// The bits of `p` over the warp, the lowest lane's lowest.
    pub(super) fn ballot(&mut self, p: Pred) -> Reg {
        let p = self.materialize(p);
        self.op(Class::R, "vote.sync.ballot.b32", &[&p, &"0xffffffff"])
    }

    /// A load that lanes outside `guard` leave out; they get zero, so that results do not depend on what was there.
    pub(super) fn load(&mut self, guard: Pred, class: Class, op: &str, address: Reg) -> Reg {
        match guard {
            Pred::True => self.op(class, op, &[&format_args!("[{address}]")]),
            Pred::False => self.zero(class),
            Pred::Reg(p) => {
                let result = self.zero(class);
                line!(self, "@{p} {op} {result}, [{address}]");
                result
            }
        }
    }

    pub(super) fn zero(&mut self, class: Class) -> Reg {
        let zero = match class {
            Class::F => "0f00000000",
            Class::G => "0d0000000000000000",
            _ => "0",
        };
        self.op(class, &format!("mov.{}", class.bits()), &[&zero])
    }

    /// Calls a function of `kernels/expr.cu` for the lanes of `guard`, when there is one; the others get zeros.
    pub(super) fn call(&mut self, name: &str, guard: Pred, arguments: &[Reg], result: Class) -> Reg {
        let kept = self.zero(result);
        self.call_with(name, guard, arguments, result.bits(), |asm, from| {
            line!(asm, "ld.param.{} {kept}, [{from}]", result.bits());
        });
        kept
    }

    /// As [`Asm::call`], for a function that returns 64-bit words.
    pub(super) fn call_words<const N: usize>(&mut self, name: &str, guard: Pred, arguments: &[Reg]) -> [Reg; N] {
        let kept = std::array::from_fn(|_| self.zero(Class::D));
        self.call_with(name, guard, arguments, &format!("align 8 .b8 [{}]", 8 * N), |asm, from| {
            for (i, word) in kept.iter().enumerate() {
                line!(asm, "ld.param.b64 {word}, [{from}+{}]", 8 * i);
            }
        });
        kept
    }

    /// Calls a function that returns nothing.
    pub(super) fn call_plain(&mut self, name: &str, guard: Pred, arguments: &[Reg]) {
        self.call_with(name, guard, arguments, "", |_, _| {});
    }

    fn call_with(
        &mut self,
        name: &str,
        guard: Pred,
        arguments: &[Reg],
        result: &str,
        read: impl FnOnce(&mut Asm, &str),
    ) {
        let skip = match guard {
            Pred::False => return,
            Pred::True => None,
            Pred::Reg(p) => {
                let skip = self.label();
                line!(self, "@!{p} bra {skip}");
                Some(skip)
            }
        };
        self.body.push_str("\t{\n");
        for (i, argument) in arguments.iter().enumerate() {
            line!(self, ".param .{} arg{i}", argument.0.bits());
            line!(self, "st.param.{} [arg{i}], {argument}", argument.0.bits());
        }
        let names: Vec<String> = (0..arguments.len()).map(|i| format!("arg{i}")).collect();
        let names = names.join(", ");
        match result.split_once(" [") {
            _ if result.is_empty() => line!(self, "call {name}, ({names})"),
            Some((declared, size)) => line!(self, ".param .{declared} ret[{size}"),
            None => line!(self, ".param .{result} ret"),
        }
        if !result.is_empty() {
            line!(self, "call (ret), {name}, ({names})");
        }
        read(self, "ret");
        self.body.push_str("\t}\n");
        if let Some(skip) = skip {
            self.place(&skip);
        }
    }

    /// The instructions so far.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.body)
    }

    /// The declarations of all registers.
    pub(super) fn declarations(&self) -> String {
        let mut text = String::new();
        for class in Class::ALL {
            let count = self.counts[class as usize];
            if count > 0 {
                let _ = writeln!(text, "\t.reg .{} %{}<{count}>;", class.declared(), class.prefix());
            }
        }
        text
    }
}
