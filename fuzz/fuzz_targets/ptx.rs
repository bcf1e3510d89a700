//! Any text through the emulator's PTX parser and lowering: no panic, no hang, no runaway memory; errors name a line.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run ptx CORPUS_FOLDER -- -timeout=20`
#![no_main]

use libfuzzer_sys::fuzz_target;
use warpline_emulator::lower::{Symbols, lower};
use warpline_emulator::ptx::parse;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.lines().count() as u32 + 1;
    let module = match parse(text) {
        Ok(module) => module,
        Err(e) => {
            assert!(e.line <= lines, "{e} of {lines} lines");
            return;
        }
    };
    let symbols = Symbols { memory: module.vars.iter().map(|v| (v.name.clone(), 0)).collect() };
    for kernel in module.functions.iter().filter(|f| f.entry && f.defined) {
        match lower(&module, kernel, &symbols) {
            Ok(program) => assert_eq!(program.code.len(), program.lines.len()),
            Err(errors) => assert!(errors.iter().all(|e| e.line <= lines), "{errors:?} of {lines} lines"),
        }
    }
});
