//! The watchdog: a launch that runs for too long fails and says where its warps are, so that an endless loop in a kernel
//! does not hang the tests. `WARPLINE_EMULATOR_TIMEOUT` is the limit in seconds, 0 for none; 600 by default.

use std::sync::OnceLock;
use std::time::Duration;

const DEFAULT: u64 = 600;

/// The limit of this process.
pub fn limit() -> Option<Duration> {
    static LIMIT: OnceLock<Option<Duration>> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let text = std::env::var("WARPLINE_EMULATOR_TIMEOUT").unwrap_or_default();
        let seconds = match text.parse::<f64>() {
            Ok(s) if s.is_finite() && s >= 0.0 => Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX),
            _ if text.is_empty() => Duration::from_secs(DEFAULT),
            _ => {
                crate::checks::warn(&format!("WARPLINE_EMULATOR_TIMEOUT={text}: not a number of seconds"));
                Duration::from_secs(DEFAULT)
            }
        };
        (!seconds.is_zero()).then_some(seconds)
    })
}
