//! Declarations: variables with their initial values, parameters and registers.

use super::Type;
use super::ast::*;
use super::lexer::Token;
use super::parser::{Body, Name, Parser, Result};

/// Largest array that a declaration may ask for; a device could not hold more.
const MAX_VAR: u64 = 1 << 40;

impl Parser<'_> {
    /// Reads `.align 4 .b8 name[16] = {..}, other;` behind its state space.
    pub(super) fn variables(&mut self, space: Space, external: bool, line: u32) -> Result<Vec<Var>> {
        let mut align = 0u32;
        let mut vector = 1u64;
        let ty = loop {
            match self.word()? {
                ".align" => align = self.unsigned()?,
                ".attribute" => {
                    self.expect(b'(')?;
                    while !self.accept(b')') {
                        if self.next() == Token::End {
                            return self.err("attribute without an end");
                        }
                    }
                }
                ".v2" => vector = 2,
                ".v4" => vector = 4,
                ".ptr" => {}
                w => match Type::parse(w.trim_start_matches('.')) {
                    Some(ty) => break ty,
                    None => return self.err(format!("unknown type {w}")),
                },
            }
        };
        let element = ty.bytes() as u64 * vector;
        let align = if align == 0 { element as u32 } else { align };
        if !align.is_power_of_two() || align > 1 << 20 {
            return self.err("alignment is no power of two");
        }
        let mut out = Vec::new();
        loop {
            let name = self.word()?.to_string();
            let mut count = 1u64;
            let mut open = false;
            while self.accept(b'[') {
                if self.accept(b']') {
                    open = true;
                    continue;
                }
                let n = self.int()?;
                count = match u64::try_from(n).ok().and_then(|n| count.checked_mul(n)) {
                    Some(c) if c.saturating_mul(element) <= MAX_VAR => c,
                    _ => return self.err("array too large"),
                };
                self.expect(b']')?;
            }
            let mut init = None;
            if self.accept(b'=') {
                let mut data = Init::default();
                self.initialiser(ty, &mut data, 0)?;
                init = Some(data);
            }
            let mut size = count * element;
            if open {
                size = init.as_ref().map_or(0, |i| i.bytes.len() as u64);
            }
            out.push(Var { name, space, align, size, external, init, line });
            if !self.accept(b',') {
                break;
            }
        }
        self.expect(b';')?;
        Ok(out)
    }

    pub(super) fn initialiser(&mut self, ty: Type, out: &mut Init, depth: u32) -> Result<()> {
        if depth > 16 {
            return self.err("initialiser nested too deeply");
        }
        if self.accept(b'{') {
            while !self.accept(b'}') {
                self.initialiser(ty, out, depth + 1)?;
                if !self.accept(b',') && !self.is(b'}') {
                    return self.err("expected ',' or '}'");
                }
            }
            return Ok(());
        }
        let size = ty.bytes() as usize;
        let negative = self.accept(b'-');
        let value: u64 = match self.next() {
            Token::Int(v) => {
                let v = if negative { v.wrapping_neg() } else { v };
                if let Type::F(bits) = ty { float_bits(v as f64, bits) } else { v as u64 }
            }
            Token::F32(v) => (if negative { v ^ (1 << 31) } else { v }) as u64,
            Token::F64(v) => {
                let v = if negative { v ^ (1 << 63) } else { v };
                if let Type::F(32) = ty { float_bits(f64::from_bits(v), 32) } else { v }
            }
            Token::Word(name) => {
                let name = if name == "generic" && self.accept(b'(') {
                    let inner = self.word()?;
                    self.expect(b')')?;
                    inner
                } else {
                    name
                };
                let addend = if self.accept(b'+') { self.int()? } else { 0 };
                if size != 8 {
                    return self.err("an address needs 64 bits");
                }
                out.addresses.push((out.bytes.len() as u32, name.to_string(), addend));
                0
            }
            t => return self.err(format!("unexpected {t:?} in an initialiser")),
        };
        out.bytes.extend_from_slice(&value.to_le_bytes()[..size.min(8)]);
        Ok(())
    }

    pub(super) fn params(&mut self, body: &mut Body) -> Result<Vec<Param>> {
        self.expect(b'(')?;
        let mut out = Vec::new();
        while !self.accept(b')') {
            let space = self.word()?;
            let mut align = 0;
            let ty = loop {
                match self.word()? {
                    ".align" => align = self.unsigned()?,
                    ".ptr" | ".global" | ".const" | ".shared" | ".local" => {}
                    w => match Type::parse(w.trim_start_matches('.')) {
                        // `.ptr .align N` may follow the type.
                        Some(ty) => break ty,
                        None => return self.err(format!("unknown parameter type {w}")),
                    },
                }
            };
            while let Token::Word(w @ (".ptr" | ".align" | ".global" | ".const" | ".shared" | ".local")) = self.peek() {
                self.next();
                if w == ".align" {
                    self.unsigned()?;
                }
            }
            let name = self.word()?.to_string();
            let mut size = ty.bytes() as i64;
            if self.accept(b'[') {
                size *= self.int()?.clamp(0, 1 << 20);
                self.expect(b']')?;
            }
            if !(0..=1 << 20).contains(&size) {
                return self.err("parameter too large");
            }
            let align = if align == 0 { ty.bytes() } else { align };
            if !align.is_power_of_two() || align > 1 << 16 {
                return self.err("alignment is no power of two");
            }
            let reg = match space {
                ".reg" => Some(self.new_regs(body, ty, 1)?),
                ".param" => None,
                w => return self.err(format!("expected .param or .reg, found {w}")),
            };
            if let Some(reg) = reg {
                body.scopes[0].insert(name.clone(), Name::Reg(reg));
            }
            out.push(Param { name, size: size as u32, align, reg });
            if !self.accept(b',') && !self.is(b')') {
                return self.err("expected ',' or ')'");
            }
        }
        Ok(out)
    }

    /// Reads the names behind `.reg .type`.
    pub(super) fn registers(&mut self, b: &mut Body, w: &str) -> Result<()> {
        let Some(ty) = Type::parse(w.trim_start_matches('.')) else {
            return self.err(format!("unsupported register type {w}"));
        };
        loop {
            let name = self.word()?;
            let entry = if self.accept(b'<') {
                let count = self.unsigned()?;
                self.expect(b'>')?;
                Name::Range { first: self.new_regs(b, ty, count)?, count }
            } else {
                Name::Reg(self.new_regs(b, ty, 1)?)
            };
            b.scopes.last_mut().expect("a scope is open").insert(name.to_string(), entry);
            if !self.accept(b',') {
                break;
            }
        }
        self.expect(b';')
    }
}

fn float_bits(v: f64, bits: u8) -> u64 {
    if bits == 32 { (v as f32).to_bits() as u64 } else { v.to_bits() }
}
