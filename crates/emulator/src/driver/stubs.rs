//! Entry points that programs may look up and that the emulator lacks: each says so by name.

use super::errors::code;
use super::state::say;

macro_rules! stubs {
    ($($name:ident)*) => { $(
        /// Not supported by the emulator.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> std::ffi::c_int {
            say(concat!(stringify!($name), " is not supported"));
            code::NOT_SUPPORTED
        }
    )* };
}

stubs! {
    cuCtxAttach cuCtxDetach cuCtxDisablePeerAccess
    cuDestroyExternalMemory cuExternalMemoryGetMappedBuffer cuImportExternalMemory
    cuDestroyExternalSemaphore cuImportExternalSemaphore
    cuGraphCreate cuGraphDestroy cuGraphExecDestroy cuGraphInstantiateWithFlags cuGraphLaunch cuGraphUpload
    cuStreamBeginCapture_v2 cuStreamEndCapture cuStreamGetCaptureInfo_v2
    cuOccupancyMaxActiveClusters cuOccupancyMaxPotentialClusterSize cuLaunchKernelEx
    cuLinkCreate_v2 cuLinkAddData_v2 cuLinkComplete cuLinkDestroy
    cuLibraryLoadData cuLibraryUnload cuLibraryGetKernel cuLibraryGetModule
    cuMemcpy2D_v2 cuMemcpy2DAsync_v2 cuMemcpy3D_v2 cuMemcpy3DAsync_v2
    cuMemAddressReserve cuMemAddressFree cuMemCreate cuMemRelease cuMemMap cuMemUnmap cuMemSetAccess
    cuMemPoolSetAccess cuMemPoolExportToShareableHandle
    cuTexObjectCreate cuTexObjectDestroy cuSurfObjectCreate cuSurfObjectDestroy
    cuStreamWriteValue32_v2 cuStreamWaitValue32_v2
}
