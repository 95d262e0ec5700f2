#!/usr/bin/env bash
# Compiles the library for AArch64 and runs the tests of its kernels, and of what is built on them, under emulation.
#
#   scripts/test_aarch64.sh [FILTER...]
#
# On Debian 12 it needs the packages rustc-web, libstd-rust-web-dev:arm64, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static
# (dpkg --add-architecture arm64 first); elsewhere any rustc of at least the version in Cargo.toml with the target's standard library,
# named by RUSTC. The emulated CPU has every extension, so all instruction sets are tested.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
export RUSTC="${RUSTC:-/usr/bin/rustc}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/aarch64}"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# Linked statically: with shared libraries the emulator of Debian 12 hangs when a thread is made.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -cpu max,pauth-impdef=on"
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc

for tool in "$RUSTC" aarch64-linux-gnu-gcc qemu-aarch64-static; do
    command -v "$tool" >/dev/null || { echo "error: $tool is missing; see the head of $0" >&2; exit 2; }
done
cargo test --lib --no-default-features --target "$target" -- "${@:-kernels::}"
