#!/usr/bin/env bash
# Trains and evaluates on data sets of one's own, and prints wall time, peak memory and the encoder's share of each.
# A data set is a folder with train.jsonl and test.jsonl.
# Usage: scripts/measure_train.sh DATA_FOLDER [SET ...]   (default sets: agnews reuters21578-90)
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,4p' "$0" | cut -c3- >&2; exit 2; }
data=$1
shift
[ $# -ge 1 ] || set -- agnews reuters21578-90
[ -x /usr/bin/time ] || { echo "error: GNU time is needed (Debian: apt-get install time)" >&2; exit 2; }
topicwire=target/release/topicwire
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for set in "$@"; do
  echo "== $set"
  /usr/bin/time -f 'train: %e s wall, %U s user, peak %M KiB' "$topicwire" train "$data/$set/train.jsonl" -o "$out/$set" \
    --progress none 2>"$out/log" >"$out/train.txt"
  grep -E '^(encoded|train:|[0-9]+ of)' "$out/log"
  sed -n '1,10p' "$out/train.txt"
  /usr/bin/time -f 'evaluate: %e s wall, %U s user, peak %M KiB' "$topicwire" evaluate "$out/$set" "$data/$set/test.jsonl" \
    --progress none 2>"$out/log" >"$out/test.txt"
  grep -E '^evaluate:' "$out/log"
  sed -n '1,12p' "$out/test.txt"
done
