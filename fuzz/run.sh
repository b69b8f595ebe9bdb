#!/bin/sh
# Builds every fuzz target and runs each for SECONDS (default 10). Fails on the first finding and leaves it in fuzz/artifacts.
# Needs a stable Rust and a C++ compiler, nothing else: instrumentation is the compiler's own, no sanitizer runtime.
#   fuzz/run.sh [SECONDS] [TARGET…]
set -eu
cd "$(dirname "$0")"
seconds=${1:-10}
[ $# -gt 0 ] && shift
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz would pass. An explicit target keeps it away from build scripts and macros.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares"
target_dir=${FUZZ_TARGET_DIR:-$PWD/target}
RUSTFLAGS="$flags" cargo build --release --bins --target "$host" --target-dir "$target_dir"

[ $# -gt 0 ] || set -- $(ls targets | sed 's/\.rs$//')
for name in "$@"; do
    mkdir -p "corpus/$name" "artifacts/$name"
    seeds=""
    [ -d "seeds/$name" ] && seeds="seeds/$name"
    [ "$name" = sdp ] && seeds="../session/tests/golden"
    dictionary=""
    [ -f "seeds/$name.dict" ] && dictionary="-dict=seeds/$name.dict"
    printf '%s: %s s\n' "$name" "$seconds"
    # shellcheck disable=SC2086
    if ! "$target_dir/$host/release/$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=4096 \
        -artifact_prefix="artifacts/$name/" $dictionary "corpus/$name" $seeds >"artifacts/$name/log" 2>&1; then
        tail -40 "artifacts/$name/log"
        printf 'fuzz: %s found something, see fuzz/artifacts/%s\n' "$name" "$name"
        exit 1
    fi
    grep -E 'DONE|stat::number_of_executed|Done' "artifacts/$name/log" | tail -1
done
