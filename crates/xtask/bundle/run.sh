#!/usr/bin/env bash
# Runs what is in this folder on a machine with an NVIDIA driver; nothing else is needed, Python with peers is welcome.
#   ./run.sh [--emulated] [--out FOLDER] [--quick]
# Writes FOLDER/result.json (default: results), which `cargo xtask report` turns into a page. --emulated goes through all
# of it on the emulator, without timing; --quick measures for a shorter time.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
emulated= quick= out=results
while (($#)); do
    case $1 in
        --emulated) emulated=1 ;;
        --quick) quick=1 ;;
        --out) out=$2; shift ;;
        *) echo "unknown: $1" >&2; exit 2 ;;
    esac
    shift
done
[[ -d $here/bin ]] || tar -C "$here" -xzf "$here/bin.tar.gz" || exit 1
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out"/tests.jsonl "$out"/peers.jsonl
failed=0

# Tests and calibration read golden files and PTX from here.
export CARGO_MANIFEST_DIR=$here/root
export CRITERION_HOME=$out/criterion
if [[ $emulated ]]; then
    export LD_LIBRARY_PATH=$here/emulator${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} REQUIRE_DEVICE=1
else
    export REQUIRE_GPU=1 CUDA_CACHE_DISABLE=1
fi

# suite NAME BINARY ARGUMENT...: a line in tests.jsonl with libtest's own totals.
suite() {
    local name=$1 binary=$2 log=$out/$1.log
    shift 2
    "$binary" "$@" >"$log" 2>&1
    local status=$?
    ((status == 0)) || failed=1
    grep -E '^test .*FAILED' "$log" || true
    local line
    line=$(grep -E '^test result:' "$log" | tail -1)
    local numbers
    numbers=$(sed -E 's/.* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/' <<<"$line")
    read -r passed wrong ignored <<<"${numbers:-0 0 0}"
    printf '{"suite":"%s","status":%d,"passed":%d,"failed":%d,"ignored":%d}\n' \
        "$name" "$status" "${passed:-0}" "${wrong:-0}" "${ignored:-0}" | tee -a "$out/tests.jsonl"
}

printf '{"date":"%s","host":"%s","kernel":"%s","emulated":%s}\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(uname -m)" "$(uname -r)" "$([[ $emulated ]] && echo true || echo false)" >"$out/run.json"
cp "$here/bundle.json" "$out/bundle.json"

echo "== calibration"
"$here/bin/benches" --calibrate "$out/calibration.json" || failed=1
unset CUDA_CACHE_DISABLE

echo "== tests"
# Python judges the host's results, in CI and with the versions that CI installs; what lies here is for the peers. A test
# that finds no judge says so and goes on.
judges=$(mktemp -d)
printf '#!/bin/sh\nexit 1\n' >"$judges/python3"
chmod +x "$judges/python3"
with_peers=$PATH
export PATH=$judges:$PATH
suite unit "$here/bin/unit"
suite integration "$here/bin/integration"

export PATH=$with_peers
rm -rf "$judges"

echo "== compute-sanitizer"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | tail -1)
if [[ -n $sanitizer && -z $emulated ]]; then
    for tool in memcheck racecheck synccheck initcheck; do
        suite "sanitizer-$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 \
            "$here/bin/integration" --test-threads 1 \
            ops::filter::borders ops::gather::borders image::preprocess::equals_torchvision_golden
    done
else
    echo '{"suite":"sanitizer","skipped":"not installed, or no GPU"}' | tee -a "$out/tests.jsonl"
fi

echo "== benches"
if [[ $emulated ]]; then
    # Each benchmark once, without figures.
    "$here/bin/benches" --test >"$out/benches.log" 2>&1 || failed=1
else
    times=(--warm-up-time 1 --measurement-time 3 --sample-size 30)
    [[ $quick ]] && times=(--warm-up-time 0.5 --measurement-time 1 --sample-size 10)
    "$here/bin/benches" --bench --noplot "${times[@]}" warpline-cuda >"$out/benches.log" 2>&1 || failed=1
fi

echo "== peers"
rm -rf "$out/data"
"$here/bin/benches" --data "$out/data" || failed=1
for script in "$here"/peers/peer_*.py; do
    if command -v python3 >/dev/null; then
        python3 "$script" "$out/data" >>"$out/peers.jsonl" 2>"$out/$(basename "$script").log" ||
            printf '{"peer":"%s","skipped":"failed, see its log"}\n' "$(basename "$script" .py)" >>"$out/peers.jsonl"
    else
        printf '{"peer":"%s","skipped":"no python3"}\n' "$(basename "$script" .py)" >>"$out/peers.jsonl"
    fi
done
cat "$out/peers.jsonl"
rm -rf "$out/data"

"$here/bin/benches" --collect "$out" "$out/result.json" || failed=1
echo "$out/result.json"
exit $failed
