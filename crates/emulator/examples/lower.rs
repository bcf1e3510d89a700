//! Lowers every kernel of PTX files and says what the emulator lacks: `cargo run --example lower -- FILE.ptx ..`

use warpline_emulator::lower::{Symbols, lower};
use warpline_emulator::ptx::{Space, parse};

fn main() {
    for path in std::env::args().skip(1) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) => {
                println!("{path}: {e}");
                continue;
            }
        };
        let module = match parse(&text) {
            Ok(module) => module,
            Err(e) => {
                println!("{path}: {e}");
                continue;
            }
        };
        // Any address will do for a look at the instructions.
        let vars = module.vars.iter().filter(|v| matches!(v.space, Space::Global | Space::Const));
        let symbols = Symbols { memory: vars.map(|v| (v.name.clone(), 1 << 40)).collect() };
        for kernel in module.functions.iter().filter(|f| f.entry) {
            match lower(&module, kernel, &symbols) {
                Ok(p) => println!(
                    "{path}: {}: {} instructions, {} bytes of registers a warp, {} of local memory a thread",
                    kernel.name,
                    p.code.len(),
                    p.frame,
                    p.local
                ),
                Err(list) => list.iter().for_each(|e| println!("{path}: {}: {e}", kernel.name)),
            }
        }
    }
}
