#!/usr/bin/env bash
# Our encoder beside sentence-transformers, ONNX Runtime, OpenVINO and fastembed, all with the same weights: documents and tokens
# per second, memory, cold start, and our ratio to the best of them at each precision. They run in turn, round after round.
#
#   scripts/compare_encoders.sh DATA [OUT] [--rounds N] [--docs SHORT LONG256 LONG512] [--threads N ...] [--only NAME,...]
#   scripts/compare_encoders.sh --setup
#
# DATA holds short.jsonl and long.jsonl: an article a line with `id` and `text`, the short ones a headline and a sentence or two, the
# long ones 150 to 600 words. Tables go to standard output and, with every single run, to OUT (default: compare-encoders). All
# options: scripts/compare_encoders/compare.py --help. About half an hour on two cores, which should have nothing else to do.
#
# --setup only prepares: it builds our side, and makes the others' environment in TOPICWIRE_PEERS_ENV (default:
# ~/.cache/topicwire-peers; some gigabytes, downloaded once). scripts/compare_fidelity.py needs the same.
set -euo pipefail
usage() { sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; }
case ${1:-} in
  "") usage; exit 2 ;;
  -h | --help) usage; exit 0 ;;
esac
# Before the folder changes.
data=$1
shift
if [ "$data" != --setup ]; then
  for corpus in short long; do
    [ -f "$data/$corpus.jsonl" ] || { echo "error: $data/$corpus.jsonl is missing" >&2; exit 2; }
  done
  data=$(realpath "$data")
  out=compare-encoders
  if [ $# -ge 1 ] && [ "${1#-}" = "$1" ]; then
    out=$1
    shift
  fi
  out=$(realpath -m "$out")
fi
cd "$(dirname "$0")/.."

env=${TOPICWIRE_PEERS_ENV:-$HOME/.cache/topicwire-peers}
programs=${CARGO_TARGET_DIR:-target}/release
encoder=models/all-MiniLM-L6-v2
requirements=scripts/compare_encoders/requirements.txt
exports=$env/exports

scripts/fetch-encoder.sh minilm "$encoder" >&2
cargo build --release --locked --bin topicwire --example encode_worker >&2
if ! cmp --silent "$requirements" "$env/requirements.txt"; then
  echo "installing what is compared with in $env" >&2
  python3 -m venv "$env"
  "$env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2
  rm -rf "$exports"
  cp "$requirements" "$env/requirements.txt"
fi
if [ ! -d "$exports" ]; then
  echo "exporting the encoder to $exports" >&2
  rm -rf "$exports.part"
  "$env/bin/python" scripts/compare_encoders/export.py "$encoder" "$exports.part" >"$env/export.log" 2>&1 ||
    { tail -n 20 "$env/export.log" >&2; exit 1; }
  mv "$exports.part" "$exports"
fi
[ "$data" != --setup ] || exit 0
folders=(--encoder "$encoder" --exports "$exports" --programs "$programs")
"$env/bin/python" scripts/compare_encoders/compare.py "$data" "$out" "${folders[@]}" "$@"
