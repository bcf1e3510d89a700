//! Says whether the emulator can run the kernels of PTX files, and lists what it lacks.
//!
//! `cargo run -p warpline-emulator --example ptx_check -- FILE.ptx...`

use std::collections::HashMap;

use warpline_emulator::lower::{Symbols, lower};
use warpline_emulator::ptx::parse;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lacking = 0;
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        let module = parse(&text).map_err(|e| format!("{path}: {e}"))?;
        let memory: HashMap<_, _> = module.vars.iter().map(|v| (v.name.clone(), 0)).collect();
        let symbols = Symbols { memory };
        for f in module.functions.iter().filter(|f| f.entry && f.defined) {
            match lower(&module, f, &symbols) {
                Ok(p) => println!("{path}: {}: {} instructions, {} bytes of registers", p.name, p.code.len(), p.frame),
                Err(list) => {
                    lacking += list.len();
                    list.iter().for_each(|e| println!("{path}: {}: {e}", f.name));
                }
            }
        }
    }
    if lacking > 0 { Err(format!("{lacking} instructions are not supported").into()) } else { Ok(()) }
}
