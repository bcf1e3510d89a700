#!/usr/bin/env bash
# Compiles the test kernels to PTX with the pinned nvcc and takes machine paths and debug strings out.
# Usage: NVCC=path/to/nvcc tests/data/build.sh
set -eu
cd "$(dirname "$0")"
for cu in *.cu; do
    # A file may name the device that it is for in its first line.
    arch=$(sed -nE '1s#^// (compute_[0-9]+): .*#\1#p' "$cu")
    "${NVCC:-nvcc}" -std=c++17 -O3 -lineinfo --fmad=false "-arch=${arch:-compute_75}" --ptx "$cu" -o - |
        sed -E -e 's#^(\s*\.file\s+[0-9]+ ").*/#\1#' \
            -e 's#, function_name .*$##' \
            -e 's#^\.version .*#.version 8.0#' \
            -e 's#_INTERNAL_[0-9a-f]+_#_INTERNAL_0_#g' \
            -e 's#^(\s*)\.pragma "(used_bytes_mask [^"]*)";#\1// \2#' \
            -e '/^\s*\.section\s+\.debug_str/,$d' >"${cu%.cu}.ptx"
done
