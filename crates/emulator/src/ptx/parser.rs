//! A recursive-descent parser for PTX modules. Names are resolved to numbers as they are read, since inline
//! assembly opens scopes that shadow registers of the same name.

use std::collections::HashMap;

use super::ast::*;
use super::lexer::{Token, lex, used_bytes};
use super::{PtxError, Type};

pub(super) type Result<T> = std::result::Result<T, PtxError>;

/// Most virtual registers in one function.
const MAX_REGS: usize = 1 << 20;

/// Parses the text of a module.
pub fn parse(text: &str) -> Result<Module> {
    let tokens = lex(text)?;
    let mut parser = Parser { tokens, at: 0, module: Module::default() };
    parser.module()?;
    Ok(parser.module)
}

pub(super) struct Parser<'a> {
    tokens: Vec<(Token<'a>, u32)>,
    at: usize,
    module: Module,
}

/// What a name means inside a scope of a function.
#[derive(Clone, Copy)]
pub(super) enum Name {
    Reg(u32),
    Range { first: u32, count: u32 },
    Var(usize),
}

/// State while a function body is read.
pub(super) struct Body {
    pub(super) f: Function,
    pub(super) scopes: Vec<HashMap<String, Name>>,
    /// Numbers of the open scopes, which make their labels unique.
    scope_ids: Vec<u32>,
    next_scope: u32,
    loc: Loc,
    /// File and last line of the function itself.
    own: (u32, u32),
    used: Option<u32>,
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Token<'a> {
        self.tokens[self.at].0
    }

    fn peek2(&self) -> Token<'a> {
        self.tokens.get(self.at + 1).map_or(Token::End, |t| t.0)
    }

    fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.tokens[self.at].0;
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    pub(super) fn err<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(PtxError { line: self.line(), message: message.into() })
    }

    pub(super) fn is(&self, c: u8) -> bool {
        self.peek() == Token::Punct(c)
    }

    pub(super) fn accept(&mut self, c: u8) -> bool {
        let yes = self.is(c);
        if yes {
            self.next();
        }
        yes
    }

    pub(super) fn expect(&mut self, c: u8) -> Result<()> {
        if self.accept(c) { Ok(()) } else { self.err(format!("expected {:?}, found {:?}", c as char, self.peek())) }
    }

    pub(super) fn word(&mut self) -> Result<&'a str> {
        match self.peek() {
            Token::Word(w) => {
                self.next();
                Ok(w)
            }
            t => self.err(format!("expected a name, found {t:?}")),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64> {
        let negative = self.accept(b'-');
        match self.peek() {
            Token::Int(v) => {
                self.next();
                Ok(if negative { v.wrapping_neg() } else { v })
            }
            t => self.err(format!("expected an integer, found {t:?}")),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u32> {
        let v = self.int()?;
        u32::try_from(v).or_else(|_| self.err(format!("{v} is out of range")))
    }

    /// Skips to behind the next `;`.
    pub(super) fn skip_statement(&mut self) {
        while !matches!(self.next(), Token::Punct(b';') | Token::End) {}
    }

    fn module(&mut self) -> Result<()> {
        loop {
            let line = self.line();
            match self.peek() {
                Token::End => break,
                Token::UsedBytes(_) | Token::Punct(b';') => {
                    self.next();
                }
                Token::Word(w) => self.directive(w, line)?,
                t => return self.err(format!("unexpected {t:?} at module level")),
            }
        }
        if self.module.version.0 == 0 {
            return self.err("no .version");
        }
        Ok(())
    }

    fn directive(&mut self, w: &str, line: u32) -> Result<()> {
        match w {
            ".version" => {
                self.next();
                let Token::F64(bits) = self.next() else { return self.err("bad .version") };
                let v = f64::from_bits(bits);
                self.module.version = (v as u32, ((v - v.floor()) * 10.0).round() as u32);
            }
            ".target" => {
                self.next();
                self.module.target = self.word()?.to_string();
                while self.accept(b',') {
                    self.word()?;
                }
            }
            ".address_size" => {
                self.next();
                if self.int()? != 64 {
                    return self.err("only .address_size 64 is supported");
                }
            }
            ".file" => {
                self.next();
                let number = self.unsigned()?;
                let Token::Str(name) = self.next() else { return self.err("expected a file name") };
                self.module.files.insert(number, name.to_string());
                while self.accept(b',') {
                    self.int()?;
                }
            }
            ".section" => {
                self.next();
                self.word()?;
                while !matches!(self.next(), Token::Punct(b'}') | Token::End) {}
            }
            ".pragma" | ".alias" => self.skip_statement(),
            ".loc" => {
                self.next();
                self.loc()?;
            }
            ".extern" | ".visible" | ".weak" | ".common" | ".func" | ".entry" | ".global" | ".const" | ".shared"
            | ".local" => self.declaration(line)?,
            _ => return self.err(format!("unknown directive {w}")),
        }
        Ok(())
    }

    fn declaration(&mut self, line: u32) -> Result<()> {
        let mut external = false;
        loop {
            match self.word()? {
                ".extern" => external = true,
                ".visible" | ".weak" | ".common" => {}
                ".entry" => return self.function(true, line),
                ".func" => return self.function(false, line),
                w => {
                    let Some(space) = var_space(w) else { return self.err(format!("unexpected {w}")) };
                    let vars = self.variables(space, external, line)?;
                    self.module.vars.extend(vars);
                    return Ok(());
                }
            }
        }
    }

    fn function(&mut self, entry: bool, line: u32) -> Result<()> {
        let f = Function { entry, line, ..Function::default() };
        let mut body = Body {
            f,
            scopes: vec![HashMap::new()],
            scope_ids: vec![0],
            next_scope: 1,
            loc: Loc::default(),
            own: (0, 0),
            used: None,
        };
        while matches!(self.peek(), Token::Word(".attribute")) {
            self.next();
            while !self.accept(b')') {
                if self.next() == Token::End {
                    return self.err("attribute without an end");
                }
            }
        }
        if self.is(b'(') {
            body.f.returns = self.params(&mut body)?;
        }
        body.f.name = self.word()?.to_string();
        if self.is(b'(') {
            body.f.params = self.params(&mut body)?;
        }
        loop {
            match self.peek() {
                Token::Word(w) => {
                    self.next();
                    let dims = match w {
                        ".maxntid" | ".reqntid" | ".minnctapersm" | ".maxnctapersm" | ".maxnreg"
                        | ".reqnctapercluster" | ".maxclusterrank" => self.dims()?,
                        ".noreturn" | ".explicitcluster" => continue,
                        ".pragma" => {
                            self.skip_statement();
                            continue;
                        }
                        _ => return self.err(format!("unknown function directive {w}")),
                    };
                    match w {
                        ".maxntid" => {
                            body.f.max_threads = dims.iter().fold(1u32, |a, b| a.saturating_mul(*b));
                        }
                        ".reqntid" => body.f.required = dims,
                        ".reqnctapercluster" => return self.err("thread block clusters are not supported"),
                        _ => {}
                    }
                }
                Token::Punct(b';') => {
                    self.next();
                    break;
                }
                Token::Punct(b'{') => {
                    self.next();
                    body.f.defined = true;
                    self.body(&mut body)?;
                    break;
                }
                t => return self.err(format!("unexpected {t:?} in a function header")),
            }
        }
        // A definition replaces an earlier declaration of the same name.
        let functions = &mut self.module.functions;
        match functions.iter().position(|g| g.name == body.f.name) {
            Some(i) if !functions[i].defined => functions[i] = body.f,
            Some(_) if !body.f.defined => {}
            Some(_) => {
                return Err(PtxError { line, message: format!("function {} is defined twice", body.f.name) });
            }
            None => functions.push(body.f),
        }
        Ok(())
    }

    fn dims(&mut self) -> Result<[u32; 3]> {
        let mut dims = [1; 3];
        dims[0] = self.unsigned()?;
        for d in &mut dims[1..] {
            if self.accept(b',') {
                *d = self.unsigned()?;
            }
        }
        Ok(dims)
    }

    pub(super) fn new_regs(&mut self, body: &mut Body, ty: Type, count: u32) -> Result<u32> {
        let first = body.f.regs.len();
        if first + count as usize > MAX_REGS {
            return self.err("too many registers");
        }
        let class = RegType::of(ty);
        body.f.regs.resize(first + count as usize, class);
        Ok(first as u32)
    }

    fn loc(&mut self) -> Result<Loc> {
        let file = self.unsigned()?;
        let line = self.unsigned()?;
        self.unsigned()?;
        let mut at = (0, 0);
        while self.accept(b',') {
            match self.word()? {
                "function_name" => {
                    self.word()?;
                    if self.accept(b'+') {
                        self.int()?;
                    }
                }
                "inlined_at" => {
                    at = (self.unsigned()?, self.unsigned()?);
                    self.unsigned()?;
                }
                w => return self.err(format!("unexpected {w} in .loc")),
            }
        }
        Ok(Loc { file, line, at })
    }

    fn body(&mut self, b: &mut Body) -> Result<()> {
        loop {
            let line = self.line();
            match self.peek() {
                Token::End => return self.err(format!("function {} has no end", b.f.name)),
                Token::UsedBytes(mask) => {
                    self.next();
                    b.used = Some(mask);
                }
                Token::Punct(b';') => {
                    self.next();
                }
                Token::Punct(b'{') => {
                    self.next();
                    if b.scopes.len() > 64 {
                        return self.err("scopes nested too deeply");
                    }
                    b.scopes.push(HashMap::new());
                    b.scope_ids.push(b.next_scope);
                    b.next_scope += 1;
                }
                Token::Punct(b'}') => {
                    self.next();
                    b.scopes.pop();
                    b.scope_ids.pop();
                    if b.scopes.is_empty() {
                        return Ok(());
                    }
                }
                Token::Punct(b'@') => self.instruction(b, line)?,
                Token::Word(w) if w.starts_with('.') => self.body_directive(b, w, line)?,
                Token::Word(w) if self.peek2() == Token::Punct(b':') => {
                    self.next();
                    self.next();
                    self.label(b, w)?;
                }
                Token::Word(_) => self.instruction(b, line)?,
                t => return self.err(format!("unexpected {t:?}")),
            }
        }
    }

    fn label(&mut self, b: &mut Body, w: &str) -> Result<()> {
        match self.peek() {
            Token::Word(".branchtargets") => {
                self.next();
                let mut list = vec![self.word()?.to_string()];
                while self.accept(b',') {
                    list.push(self.word()?.to_string());
                }
                self.expect(b';')?;
                b.f.branch_targets.insert(w.to_string(), list);
            }
            Token::Word(".callprototype") => {
                self.next();
                let prototype = self.prototype(b)?;
                b.f.prototypes.insert(w.to_string(), prototype);
            }
            Token::Word(".calltargets") => self.skip_statement(),
            _ => {
                // Labels of inline assembly are local to their braces, so several copies may carry one name.
                let unique = b.unique_label(w, b.scope_ids.len() - 1);
                b.f.body.push(Stmt::Label(unique));
            }
        }
        Ok(())
    }

    fn prototype(&mut self, b: &mut Body) -> Result<Prototype> {
        let mut out = Prototype::default();
        if self.is(b'(') {
            out.returns = self.params(b)?.iter().map(|p| p.size).collect();
        }
        self.word()?;
        if self.is(b'(') {
            out.params = self.params(b)?.iter().map(|p| p.size).collect();
        }
        self.skip_statement();
        Ok(out)
    }

    fn body_directive(&mut self, b: &mut Body, w: &str, line: u32) -> Result<()> {
        self.next();
        match w {
            ".loc" => {
                let loc = self.loc()?;
                b.locate(loc);
            }
            ".pragma" => {
                if let Token::Str(s) = self.peek() {
                    b.used = used_bytes(s).or(b.used);
                }
                self.skip_statement();
            }
            ".reg" => {
                let ty = self.word()?;
                self.registers(b, ty)?;
            }
            // Inline assembly may leave out the blank: `.reg.b32 x;`.
            w if w.starts_with(".reg.") => self.registers(b, &w[".reg".len()..])?,
            ".local" | ".shared" | ".param" | ".global" | ".const" => {
                let Some(space) = var_space(w) else { return self.err("bad state space") };
                for var in self.variables(space, false, line)? {
                    let index = b.f.vars.len();
                    b.scopes.last_mut().expect("a scope is open").insert(var.name.clone(), Name::Var(index));
                    b.f.vars.push(var);
                }
            }
            _ => return self.err(format!("unknown directive {w}")),
        }
        Ok(())
    }

    fn instruction(&mut self, b: &mut Body, line: u32) -> Result<()> {
        let mut guard = None;
        if self.accept(b'@') {
            let negated = self.accept(b'!');
            let name = self.word()?;
            let Some(Operand::Reg(reg)) = b.resolve(name) else {
                return self.err(format!("unknown predicate {name}"));
            };
            guard = Some((reg, negated));
        }
        let op = self.word()?.to_string();
        let mut args = Vec::new();
        if !self.is(b';') {
            loop {
                args.push(self.operand(b, 0)?);
                if !self.accept(b',') {
                    break;
                }
            }
        }
        self.expect(b';')?;
        if op.starts_with("br") {
            for arg in &mut args {
                if let Operand::Sym(Symbol::Name(w), _) = arg {
                    *w = b.labels(w);
                }
            }
        }
        let used_bytes = b.used.take();
        b.f.body.push(Stmt::Inst(Inst { guard, op, args, line, loc: b.loc, used_bytes }));
        Ok(())
    }

    fn operands_until(&mut self, b: &mut Body, close: u8, depth: u32) -> Result<Vec<Operand>> {
        let mut out = Vec::new();
        while !self.accept(close) {
            out.push(self.operand(b, depth + 1)?);
            if !self.accept(b',') && !self.is(close) {
                return self.err("expected ',' or a closing bracket");
            }
        }
        Ok(out)
    }

    fn operand(&mut self, b: &mut Body, depth: u32) -> Result<Operand> {
        if depth > 4 {
            return self.err("operand nested too deeply");
        }
        let first = match self.peek() {
            Token::Punct(b'{') => {
                self.next();
                Operand::Vec(self.operands_until(b, b'}', depth)?)
            }
            Token::Punct(b'(') => {
                self.next();
                Operand::List(self.operands_until(b, b')', depth)?)
            }
            Token::Punct(b'[') => {
                self.next();
                self.address(b)?
            }
            Token::Punct(b'!') => {
                self.next();
                let name = self.word()?;
                match b.resolve(name) {
                    Some(Operand::Reg(r)) => Operand::NotReg(r),
                    _ => return self.err(format!("unknown predicate {name}")),
                }
            }
            Token::Punct(b'-') => {
                self.next();
                match self.next() {
                    Token::Int(v) => Operand::Int(v.wrapping_neg()),
                    Token::F64(v) => Operand::F64(v ^ (1 << 63)),
                    Token::F32(v) => Operand::F32(v ^ (1 << 31)),
                    t => return self.err(format!("unexpected {t:?} after '-'")),
                }
            }
            Token::Int(v) => {
                self.next();
                Operand::Int(v)
            }
            Token::F32(v) => {
                self.next();
                Operand::F32(v)
            }
            Token::F64(v) => {
                self.next();
                Operand::F64(v)
            }
            Token::Word(w) => {
                self.next();
                self.named(b, w)?
            }
            t => return self.err(format!("unexpected {t:?} as an operand")),
        };
        if self.accept(b'|') {
            let second = self.operand(b, depth + 1)?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn named(&mut self, b: &mut Body, w: &str) -> Result<Operand> {
        if w == "_" {
            return Ok(Operand::Sink);
        }
        match b.resolve(w) {
            Some(Operand::Sym(s, _)) if self.is(b'+') || self.is(b'-') => {
                self.accept(b'+');
                Ok(Operand::Sym(s, self.int()?))
            }
            Some(op) => Ok(op),
            None => self.err(format!("unknown name {w}")),
        }
    }

    fn address(&mut self, b: &mut Body) -> Result<Operand> {
        let base = match self.peek() {
            Token::Word(w) => {
                self.next();
                match b.resolve(w) {
                    Some(Operand::Reg(r)) => AddrBase::Reg(r),
                    Some(Operand::Sym(s, _)) => AddrBase::Sym(s),
                    _ => return self.err(format!("unknown name {w} in an address")),
                }
            }
            _ => AddrBase::None,
        };
        let signed = base != AddrBase::None && (self.accept(b'+') || self.is(b'-'));
        let offset = if signed || base == AddrBase::None { self.int()? } else { 0 };
        self.expect(b']')?;
        Ok(Operand::Addr(base, offset))
    }
}

impl Body {
    /// Notes where the next instructions come from. A function begins in its own file; what comes from another one was
    /// inlined near the last line of its own.
    fn locate(&mut self, mut loc: Loc) {
        if self.own.0 == 0 || self.own.0 == loc.file {
            self.own = (loc.file, loc.line);
        } else if loc.at == (0, 0) {
            loc.at = self.own;
        }
        self.loc = loc;
    }

    fn unique_label(&self, w: &str, depth: usize) -> String {
        if depth == 0 { w.to_string() } else { format!("{w}@{}", self.scope_ids[depth]) }
    }

    /// Finds what a name means here; names that nothing declares are labels or module symbols.
    fn resolve(&self, w: &str) -> Option<Operand> {
        for scope in self.scopes.iter().rev() {
            match scope.get(w) {
                Some(Name::Reg(r)) => return Some(Operand::Reg(*r)),
                Some(Name::Var(v)) => return Some(Operand::Sym(Symbol::Var(*v), 0)),
                _ => {}
            }
            let stem = w.trim_end_matches(|c: char| c.is_ascii_digit());
            if stem.len() < w.len()
                && let Some(Name::Range { first, count }) = scope.get(stem)
                && let Ok(n) = w[stem.len()..].parse::<u32>()
                && n < *count
            {
                return Some(Operand::Reg(first + n));
            }
        }
        if let Some(i) = self.f.params.iter().position(|p| p.name == w) {
            return Some(Operand::Sym(Symbol::Param(i), 0));
        }
        if let Some(i) = self.f.returns.iter().position(|p| p.name == w) {
            return Some(Operand::Sym(Symbol::Return(i), 0));
        }
        if w.starts_with('%') {
            return Some(Operand::Special(w.to_string()));
        }
        if w.starts_with('.') {
            return None;
        }
        Some(Operand::Sym(Symbol::Name(w.to_string()), 0))
    }

    /// The unique names that a branch to `w` from here may mean, innermost scope first, with `|` between.
    fn labels(&self, w: &str) -> String {
        let names: Vec<_> = (0..self.scope_ids.len()).rev().map(|d| self.unique_label(w, d)).collect();
        names.join("|")
    }
}

fn var_space(w: &str) -> Option<Space> {
    Some(match w {
        ".global" => Space::Global,
        ".const" => Space::Const,
        ".shared" => Space::Shared,
        ".local" => Space::Local,
        ".param" => Space::Param,
        _ => return None,
    })
}
