//! What every bench group shares: device time as criterion's measurement.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use warpline::ExecCtx;
use warpline::device::Event;

/// Device 0 when it is a real GPU. The emulator's time says nothing about a GPU's, so it is refused.
pub fn gpu() -> Option<ExecCtx> {
    let ctx = ExecCtx::auto().expect("a context");
    let real = ctx.as_cuda().is_some();
    let required = std::env::var_os("REQUIRE_GPU").is_some_and(|value| value != "0");
    assert!(real || !required, "a GPU is required, and there is none");
    real.then_some(ctx)
}

/// Device time between two events on a context's stream, in nanoseconds.
pub struct CudaTime {
    ctx: ExecCtx,
    wall: WallTime,
}

impl CudaTime {
    /// Times work on the stream of `ctx`, which must be a device context.
    pub fn new(ctx: &ExecCtx) -> Self {
        assert!(ctx.as_cuda().is_some(), "device time needs a device");
        CudaTime { ctx: ctx.clone(), wall: WallTime }
    }

    fn mark(&self) -> Event {
        self.ctx.as_cuda().expect("checked by new").stream().record_timed().expect("an event")
    }
}

impl Measurement for CudaTime {
    type Intermediate = Event;
    type Value = Duration;

    fn start(&self) -> Event {
        self.mark()
    }

    fn end(&self, start: Event) -> Duration {
        let end = self.mark();
        end.synchronize().expect("the benched work succeeds");
        let milliseconds = start.elapsed_ms(&end).expect("both events are done");
        Duration::from_secs_f64(f64::from(milliseconds) / 1e3)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.wall.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.wall.formatter()
    }
}
