//! Splits PTX text into tokens with their lines.

use super::PtxError;

/// A token; words keep their dots, so an opcode with its modifiers is one word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// An identifier, opcode, register or directive.
    Word(&'a str),
    /// An integer literal in two's complement.
    Int(i64),
    /// Bits of an `0f` literal.
    F32(u32),
    /// Bits of an `0d` or decimal literal.
    F64(u64),
    /// A quoted string without its quotes.
    Str(&'a str),
    /// One of `{ } ( ) [ ] < > , ; : = + - ! | @ *`.
    Punct(u8),
    /// A comment that carries `used_bytes_mask`.
    UsedBytes(u32),
    /// The end of the text.
    End,
}

/// Reads a whole text.
pub fn lex(text: &str) -> Result<Vec<(Token<'_>, u32)>, PtxError> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, line: 1, out: Vec::with_capacity(text.len() / 4) };
    while lexer.step()? {}
    lexer.out.push((Token::End, lexer.line));
    Ok(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    out: Vec<(Token<'a>, u32)>,
}

fn word_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

impl<'a> Lexer<'a> {
    fn err<T>(&self, message: impl Into<String>) -> Result<T, PtxError> {
        Err(PtxError { line: self.line, message: message.into() })
    }

    fn push(&mut self, token: Token<'a>) {
        self.out.push((token, self.line));
    }

    /// Takes bytes while `f` holds and gives them as text.
    fn take(&mut self, f: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.at < self.bytes.len() && f(self.bytes[self.at]) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or("")
    }

    fn step(&mut self) -> Result<bool, PtxError> {
        let Some(&c) = self.bytes.get(self.at) else { return Ok(false) };
        let next = self.bytes.get(self.at + 1).copied().unwrap_or(0);
        match c {
            b'\n' => {
                self.line += 1;
                self.at += 1;
            }
            b' ' | b'\t' | b'\r' | 0 => self.at += 1,
            b'/' if next == b'/' => {
                let comment = self.take(|c| c != b'\n');
                self.comment(comment);
            }
            b'/' if next == b'*' => self.block_comment()?,
            b'"' => self.string()?,
            c if c.is_ascii_digit() => self.number()?,
            c if word_start(c) => self.word(),
            b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b':' | b'=' | b'+' | b'-' | b'!'
            | b'|' | b'@' | b'*' => {
                self.push(Token::Punct(c));
                self.at += 1;
            }
            c => return self.err(format!("unexpected character {:?}", c as char)),
        }
        Ok(true)
    }

    /// nvcc tells which bytes of a padded vector load matter; PTX 8.0 has no such pragma, so it travels in a comment.
    fn comment(&mut self, comment: &str) {
        if let Some(mask) = used_bytes(comment) {
            self.push(Token::UsedBytes(mask));
        }
    }

    fn block_comment(&mut self) -> Result<(), PtxError> {
        let Some(len) = self.text.as_bytes()[self.at..].windows(2).skip(2).position(|w| w == b"*/") else {
            return self.err("comment without an end");
        };
        let end = self.at + len + 4;
        self.line += self.bytes[self.at..end].iter().filter(|c| **c == b'\n').count() as u32;
        self.at = end;
        Ok(())
    }

    fn string(&mut self) -> Result<(), PtxError> {
        self.at += 1;
        let s = self.take(|c| c != b'"' && c != b'\n');
        if self.bytes.get(self.at) != Some(&b'"') {
            return self.err("string without an end");
        }
        self.at += 1;
        self.push(Token::Str(s));
        Ok(())
    }

    fn word(&mut self) {
        let start = self.at;
        while self.at < self.bytes.len() {
            let c = self.bytes[self.at];
            let double = c == b':' && self.bytes.get(self.at + 1) == Some(&b':');
            if double {
                self.at += 2;
            } else if word_start(c) || c.is_ascii_digit() {
                self.at += 1;
            } else {
                break;
            }
        }
        let word = &self.text[start..self.at];
        self.push(Token::Word(word));
    }

    fn number(&mut self) -> Result<(), PtxError> {
        let s = self.take(|c| c.is_ascii_alphanumeric() || c == b'.');
        let hex = |s: &str| u64::from_str_radix(s, 16);
        let two = s.get(..2).unwrap_or("");
        let token = match two {
            "0f" | "0F" if s.len() == 10 => hex(&s[2..]).ok().map(|v| Token::F32(v as u32)),
            "0d" | "0D" if s.len() == 18 => hex(&s[2..]).ok().map(Token::F64),
            _ => integer(s).map(|v| Token::Int(v as i64)),
        };
        let decimal = || s.parse::<f64>().ok().filter(|_| s.contains('.')).map(|v| Token::F64(v.to_bits()));
        match token.or_else(decimal) {
            Some(token) => {
                self.push(token);
                Ok(())
            }
            None => self.err(format!("bad number {s:?}")),
        }
    }
}

fn integer(s: &str) -> Option<u64> {
    let s = s.strip_suffix('U').unwrap_or(s);
    let lower = s.as_bytes().get(1).map(u8::to_ascii_lowercase);
    match (s.as_bytes()[0], lower) {
        (b'0', Some(b'x')) => u64::from_str_radix(&s[2..], 16).ok(),
        (b'0', Some(b'b')) => u64::from_str_radix(&s[2..], 2).ok(),
        (b'0', Some(_)) => u64::from_str_radix(&s[1..], 8).ok(),
        _ => s.parse().ok(),
    }
}

/// Finds `used_bytes_mask N` in a pragma or comment.
pub fn used_bytes(text: &str) -> Option<u32> {
    let rest = &text[text.find("used_bytes_mask")? + "used_bytes_mask".len()..];
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    integer(&digits[..end]).map(|v| v as u32)
}
