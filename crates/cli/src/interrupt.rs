//! Ctrl-C and SIGTERM: the run is cancelled and cleans up; the second time the process ends at once.

use warpline::pipeline::Cancel;

/// From here on an interrupt cancels this run.
#[cfg(unix)]
pub fn cancels(cancel: Cancel) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use crate::exit::Exit;

    // Without a handler an interrupt ends the process at once, which is as safe: the output has no final name yet.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            match count {
                0 => cancel.cancel(),
                _ => std::process::exit(Exit::Interrupted as i32),
            }
        }
    });
}

/// Elsewhere an interrupt ends the process at once; the output has no final name yet.
#[cfg(not(unix))]
pub fn cancels(_: Cancel) {}
