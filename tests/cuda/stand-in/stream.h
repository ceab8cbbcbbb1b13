// What another library of the stand-in puts on streams: found by name in libcuda.so.
#pragma once
#include <stddef.h>

#include <functional>

namespace cpu {

/// Work of a stream that ends when `poll` gives a status, 0 where all is well; it is asked again as long as it gives -1.
using Poll = std::function<int()>;

/// Puts it on a stream. Not while the stream's device is another than `device`: then 1.
using Enqueue = int (*)(void* stream, int device, const Poll* poll);
/// The device of the current context, -1 where there is none.
using CurrentDevice = int (*)();
/// Whether `bytes` bytes at an address lie in an array on a device.
using OnDevice = bool (*)(const void* p, size_t bytes, int device);
/// A small number for a stream, an event or anything else, by what it is called, for the record.
using NumberOf = int (*)(const char* kind, const void* what);
/// Writes a line into GYRE_CUDA_RECORD, where that is set: what was called, in order.
using Record = void (*)(const char* format, ...);
/// GYRE_CUDA_FAULT for a call: 0 where there is none.
using Injected = int (*)(const char* name);

}  // namespace cpu
