#!/bin/bash
# What an idle edge takes: a control plane and an edge as processes of their own, half a minute after they stand.
# usage: scripts/idle-memory.sh path/to/lyceum
set -eu -o pipefail
lyceum=$1
folder=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$folder"
}
trap finish EXIT
export LYCEUM_NODE_SECRET=idle-memory-only

# ready FILE: the URL behind the word `ready`, as soon as it is said.
ready() {
    for _ in $(seq 300); do
        url=$(sed -n 's/^ready //p' "$1")
        if [ -n "$url" ]; then echo "$url" && return; fi
        sleep 0.1
    done
    cat "$1" >&2
    exit 1
}

"$lyceum" control --listen 127.0.0.1:0 --open >"$folder/control" 2>&1 &
pids+=($!)
control=$(ready "$folder/control")
"$lyceum" edge --control "$control" --listen 127.0.0.1:0 --shards 1 >"$folder/edge" 2>&1 &
edge=$!
pids+=("$edge")
ready "$folder/edge" >/dev/null
sleep "${IDLE_SECONDS:-30}"
kib() { sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$edge/status"; }
rss=$(kib VmRSS)
echo "idle edge, one shard: $((rss / 1024)) MiB resident ($((rss)) KiB: $(kib RssAnon) KiB of its own, $(kib RssFile) KiB of files)"
[ "$rss" -le $((30 * 1024)) ] || { echo "more than 30 MiB" >&2; exit 1; }
