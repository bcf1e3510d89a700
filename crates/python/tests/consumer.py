"""A consumer of DLPack capsules as a C library is one: through the structures of dlpack.h and the CUDA driver's API."""

import ctypes
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("device", c_int32 * 2),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    ]


class Legacy(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [("tensor", DLTensor), ("manager", c_void_p), ("deleter", ctypes.CFUNCTYPE(None, c_void_p))]


class Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [
        ("version", c_uint32 * 2),
        ("manager", c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, c_void_p)),
        ("flags", c_uint64),
        ("tensor", DLTensor),
    ]


READ_ONLY, IS_COPIED = 1, 2

_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = [ctypes.py_object, c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = [ctypes.py_object, c_char_p], c_void_p
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = [ctypes.py_object, c_char_p]
# A capsule keeps the pointer to its name.
_NAMES = {b"dltensor": (b"used_dltensor", Legacy), b"dltensor_versioned": (b"used_dltensor_versioned", Versioned)}


class Taken:
    """What a capsule held; `end` calls its deleter, from any thread and without the interpreter's lock."""

    def __init__(self, capsule):
        name = next(name for name in _NAMES if _is_valid(capsule, name))
        used, kind = _NAMES[name]
        self.address = _pointer(capsule, name)
        _rename(capsule, used)
        self.managed = kind.from_address(self.address)
        self.versioned = kind is Versioned
        tensor = self.managed.tensor
        self.data, self.device, self.byte_offset = tensor.data, tuple(tensor.device), tensor.byte_offset
        self.dtype = (tensor.code, tensor.bits, tensor.lanes)
        self.shape, self.strides = tensor.shape[: tensor.ndim], tensor.strides[: tensor.ndim]
        self.flags = self.managed.flags if self.versioned else 0
        self.nbytes = self.dtype[1] // 8
        for length in self.shape:
            self.nbytes *= length

    def end(self):
        self.managed.deleter(self.address)


class Driver:
    """The CUDA driver, as another library in the process calls it."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")
        self.context = c_void_p()
        self("cuInit", c_uint32(0))
        self("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), c_int32(0))
        self("cuCtxSetCurrent", self.context)

    def __call__(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        assert code == 0, f"{name}: CUDA error {code}"

    def current(self):
        context = c_void_p()
        self("cuCtxGetCurrent", ctypes.byref(context))
        return context.value

    def stream(self):
        """One of our own, which waits for no other."""
        handle, non_blocking = c_void_p(), 1
        self("cuStreamCreate", ctypes.byref(handle), c_uint32(non_blocking))
        return handle.value

    def read(self, taken, stream=None):
        """The bytes of a tensor, by a copy on this stream."""
        host = ctypes.create_string_buffer(max(taken.nbytes, 1))
        if taken.nbytes:
            data, stream = c_uint64(taken.data + taken.byte_offset), c_void_p(stream)
            self("cuMemcpyDtoHAsync_v2", host, data, c_size_t(taken.nbytes), stream)
            self("cuStreamSynchronize", stream)
        return host.raw[: taken.nbytes]
