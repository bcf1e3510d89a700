//! What the machine's GPUs are doing now: clocks, memory, utilisation, by NVML where it is installed.

use serde::Serialize;

use crate::device::context::CudaCtx;
use crate::device::driver;
use crate::device::info::DeviceInfo;
use crate::error::Result;

/// The state of the driver and of every device.
#[derive(Clone, Debug, Serialize)]
pub struct SystemInfo {
    /// Version of this library.
    pub warpline: &'static str,
    /// Whether a CUDA driver library was found.
    pub driver_present: bool,
    /// Highest CUDA version that the driver supports, as `major.minor`.
    pub cuda: Option<String>,
    /// The driver's own version, from NVML.
    pub driver: Option<String>,
    /// Threads that a host context takes by default.
    pub host_threads: usize,
    /// The devices in the driver's order.
    pub devices: Vec<DeviceState>,
}

/// A device and what it is doing.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceState {
    /// Fixed properties.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// Free device memory in bytes.
    pub free_memory: u64,
    /// Readings of the moment; `None` where NVML is not installed or does not know the device.
    pub sensors: Option<Sensors>,
}

/// NVML's readings of a moment; each is `None` where the device does not report it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sensors {
    /// Core clock in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Memory clock in MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Share of time with a kernel running, in percent.
    pub gpu_utilization: Option<u32>,
    /// Share of time with device memory being read or written, in percent.
    pub memory_utilization: Option<u32>,
    /// Core temperature in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Power draw in milliwatts.
    pub power_mw: Option<u32>,
}

impl SystemInfo {
    /// Reads the state of this machine. Works without a driver; fails only when a device that is there cannot be
    /// opened.
    pub fn query() -> Result<Self> {
        let nvml = Nvml::open();
        let mut devices = Vec::new();
        for ordinal in 0..driver::device_count() {
            let ctx = CudaCtx::open(ordinal)?;
            devices.push(DeviceState {
                info: ctx.info().clone(),
                free_memory: ctx.free_memory()?,
                sensors: nvml.sensors(&ctx)?,
            });
        }
        Ok(SystemInfo {
            warpline: env!("CARGO_PKG_VERSION"),
            driver_present: driver::is_present(),
            cuda: driver::cuda_version().map(|(major, minor)| format!("{major}.{minor}")),
            driver: nvml.driver_version(),
            host_threads: std::thread::available_parallelism().map_or(1, usize::from),
            devices,
        })
    }
}

#[cfg(feature = "nvml")]
struct Nvml(Option<nvml_wrapper::Nvml>);

#[cfg(feature = "nvml")]
impl Nvml {
    fn open() -> Self {
        Nvml(nvml_wrapper::Nvml::init().ok())
    }

    fn driver_version(&self) -> Option<String> {
        self.0.as_ref()?.sys_driver_version().ok()
    }

    /// Readings of the device that CUDA shows as `ctx`. CUDA may number devices otherwise, so the UUID decides.
    fn sensors(&self, ctx: &CudaCtx) -> Result<Option<Sensors>> {
        use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
        let Some(nvml) = self.0.as_ref().filter(|_| !ctx.info().emulated) else {
            return Ok(None);
        };
        let Ok(device) = nvml.device_by_uuid(ctx.uuid()?) else {
            return Ok(None);
        };
        let utilization = device.utilization_rates().ok();
        Ok(Some(Sensors {
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
            gpu_utilization: utilization.as_ref().map(|u| u.gpu),
            memory_utilization: utilization.as_ref().map(|u| u.memory),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            power_mw: device.power_usage().ok(),
        }))
    }
}

#[cfg(not(feature = "nvml"))]
struct Nvml;

#[cfg(not(feature = "nvml"))]
impl Nvml {
    fn open() -> Self {
        Nvml
    }

    fn driver_version(&self) -> Option<String> {
        None
    }

    fn sensors(&self, _: &CudaCtx) -> Result<Option<Sensors>> {
        Ok(None)
    }
}
