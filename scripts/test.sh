#!/usr/bin/env bash
# Every check there is: format, lints, documentation, all tests including those that use the real encoder.
# Usage: scripts/test.sh [a filter for test names]
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

say "encoder for the tests"
scripts/fetch-encoder.sh

say "format"
cargo fmt --check
say "lints"
cargo clippy --locked --all-targets -- -D warnings
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
say "documentation examples"
cargo test --locked --doc
say "tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --no-fail-fast "$@"
else
  cargo test --locked --lib --bins --tests --no-fail-fast "$@"
fi
say "without the optional features"
cargo check --locked --no-default-features
