//! What kernels print. Text is kept while a kernel runs and written when its launch ends, which is before any call that
//! waits for it returns.

use std::ffi::{CString, c_char, c_int};
use std::io::Write;

use parking_lot::Mutex;

static KEPT: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Keeps what kernels print from now on, for [`kept`], in place of writing it to standard output.
pub fn keep() {
    KEPT.lock().get_or_insert_default();
}

/// What kernels have printed since the last call.
pub fn kept() -> Vec<u8> {
    KEPT.lock().as_mut().map(std::mem::take).unwrap_or_default()
}

/// Writes what a launch printed.
pub(super) fn emit(text: &[u8]) {
    if text.is_empty() {
        return;
    }
    if let Some(kept) = &mut *KEPT.lock() {
        kept.extend_from_slice(text);
        return;
    }
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason for a kernel to fail.
    let _ = out.write_all(text).and_then(|()| out.flush());
}

/// An argument of `printf` as C's own takes it.
enum Argument {
    Int(c_int),
    Long(i64),
    Double(f64),
    Text(CString),
}

/// Formats one conversion by C's own `snprintf`.
fn convert(spec: &[u8], argument: Argument, out: &mut Vec<u8>) {
    let Ok(spec) = CString::new(spec) else { return };
    let run = |buffer: &mut [u8]| {
        let (at, len, f) = (buffer.as_mut_ptr() as *mut c_char, buffer.len(), spec.as_ptr());
        // SAFETY: the buffer has `len` bytes, and the caller matched the argument with the conversion.
        unsafe {
            match &argument {
                Argument::Int(v) => libc::snprintf(at, len, f, *v),
                Argument::Long(v) => libc::snprintf(at, len, f, *v),
                Argument::Double(v) => libc::snprintf(at, len, f, *v),
                Argument::Text(v) => libc::snprintf(at, len, f, v.as_ptr()),
            }
        }
    };
    let mut buffer = vec![0u8; 128];
    let wanted = run(&mut buffer);
    if wanted >= buffer.len() as c_int {
        buffer.resize(wanted as usize + 1, 0);
        run(&mut buffer);
    }
    out.extend_from_slice(&buffer[..wanted.max(0) as usize]);
}

/// Formats as CUDA's `printf`: arguments lie in `args` one behind the other, each on a multiple of its size; `text`
/// fetches a string of the device. Gives the number of arguments used.
pub(super) fn format(pattern: &[u8], args: &[u8], text: impl Fn(u64) -> Option<Vec<u8>>, out: &mut Vec<u8>) -> u32 {
    let (mut at, mut used, mut offset) = (0, 0, 0usize);
    let mut next = |size: usize| {
        let start = offset.next_multiple_of(size);
        offset = start + size;
        let mut bytes = [0u8; 8];
        bytes[..size].copy_from_slice(args.get(start..start + size)?);
        Some(u64::from_le_bytes(bytes))
    };
    while at < pattern.len() {
        if pattern[at] != b'%' {
            out.push(pattern[at]);
            at += 1;
            continue;
        }
        let mut spec = vec![b'%'];
        at += 1;
        let mut long = false;
        let conversion = loop {
            let Some(&c) = pattern.get(at) else { break b'%' };
            at += 1;
            match c {
                b'*' => {
                    let width = next(4).unwrap_or(0) as i32;
                    used += 1;
                    spec.extend_from_slice(width.to_string().as_bytes());
                }
                b'l' | b'z' | b'j' | b't' => {
                    // One `l` is as long as two on this platform.
                    long = true;
                }
                b'h' => spec.push(c),
                b'0'..=b'9' | b'.' | b'-' | b'+' | b' ' | b'#' => spec.push(c),
                c => break c,
            }
        };
        if conversion == b'%' {
            out.push(b'%');
            continue;
        }
        let wide = |spec: &mut Vec<u8>| spec.extend_from_slice(b"ll");
        let argument = match conversion {
            b'd' | b'i' | b'u' | b'o' | b'x' | b'X' if long => {
                wide(&mut spec);
                next(8).map(|v| Argument::Long(v as i64))
            }
            b'd' | b'i' | b'u' | b'o' | b'x' | b'X' | b'c' => next(4).map(|v| Argument::Int(v as c_int)),
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
                next(8).map(|v| Argument::Double(f64::from_bits(v)))
            }
            b's' => next(8).and_then(&text).and_then(|t| CString::new(t).ok()).map(Argument::Text),
            b'p' => {
                spec.extend_from_slice(b"#ll");
                next(8).map(|v| Argument::Long(v as i64))
            }
            _ => None,
        };
        used += 1;
        match argument {
            Some(a) => {
                spec.push(if conversion == b'p' { b'x' } else { conversion });
                convert(&spec, a, out);
            }
            // What cannot be converted is printed as it stands.
            None => {
                out.extend_from_slice(&spec);
                out.push(conversion);
            }
        }
    }
    used
}
