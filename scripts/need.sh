#!/usr/bin/env bash
# Installs what is missing on this machine, and nothing that is there: `need.sh build` for `make run`,
# `need.sh test` for `make test`, `need.sh measure` for `make measure-peers`. Debian and Ubuntu by apt; elsewhere it says what to install by hand.
set -euo pipefail

declare -A package=(
    [protoc]=protobuf-compiler
    [chromium]=chromium
    [etcd]=etcd-server
    [turnutils_uclient]=coturn
    [ffmpeg]=ffmpeg
    [clang]=clang
    [ip]=iproute2
    [janus]=janus
    [taskset]=util-linux
    [tc]=iproute2
    [nft]=nftables
)

case "${1:-}" in
    build) wanted=(protoc) ;;
    test) wanted=(protoc chromium etcd turnutils_uclient ffmpeg clang ip tc nft) ;;
    measure) wanted=(ip janus taskset) ;;
    *) echo "usage: need.sh build | test | measure" >&2; exit 2 ;;
esac

for tool in cargo npm cc; do
    command -v "$tool" >/dev/null || { echo "need.sh: '$tool' is missing: install Rust (rustup), Node.js 20 or newer and gcc first" >&2; exit 1; }
done

# Debian keeps the network's tools where only root looks.
PATH="$PATH:/usr/sbin:/sbin"
missing=()
for tool in "${wanted[@]}"; do
    command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
# protoc's own .proto files come in a second package; etcd-client's build wants them.
if [[ " ${wanted[*]} " == *" protoc "* && ! -e /usr/include/google/protobuf/any.proto && ! -e /usr/local/include/google/protobuf/any.proto ]]; then
    missing+=(libprotobuf-dev)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "need.sh: install these with your package manager (Debian's names): ${missing[*]}" >&2
    exit 1
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "need.sh: run as root once: apt-get install ${missing[*]}" >&2; exit 1; }
    root=(sudo)
fi
echo "installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
install || { "${root[@]}" apt-get update >/dev/null && install; } || { tail -20 "$log" >&2; exit 1; }
