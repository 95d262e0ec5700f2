#!/usr/bin/env bash
# What the precision of the encoder costs in accuracy: trains and evaluates on several data sets at f32, bf16 and int8, each model
# used at the precision it was trained with, and prints accuracy, F1 and their differences to f32 in points.
#
#   scripts/compare_downstream.sh DATASETS OUT [--precisions LIST] [SET ...]
#
# DATASETS/SET holds train.jsonl and test.jsonl, and labels.json where the order of labels matters. SETs are agnews banking77
# reuters21578-90 unless given; data/diplomacy comes in any case. Models and reports go to OUT. Half an hour on two cores.
set -euo pipefail
usage() { sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }
[ $# -ge 2 ] || usage
datasets=$(realpath "$1")
out=$(realpath -m "$2")
shift 2
precisions=f32,bf16,int8
if [ "${1:-}" = --precisions ]; then
  [ $# -ge 2 ] || usage
  precisions=$2
  shift 2
fi
[ $# -ge 1 ] || set -- agnews banking77 reuters21578-90
cd "$(dirname "$0")/.."
folders=(data/diplomacy)
for set in "$@"; do
  folders+=("$datasets/$set")
done
for folder in "${folders[@]}"; do
  for part in train test; do
    [ -f "$folder/$part.jsonl" ] || { echo "error: $folder/$part.jsonl is missing" >&2; exit 2; }
  done
done

scripts/fetch-encoder.sh
cargo build --release --locked
topicwire=${CARGO_TARGET_DIR:-target}/release/topicwire
mkdir -p "$out"
reports=()
for folder in "${folders[@]}"; do
  for precision in ${precisions//,/ }; do
    name=$(basename "$folder")-$precision
    labels=()
    [ ! -f "$folder/labels.json" ] || labels=(--labels "$folder/labels.json")
    echo "== $name" >&2
    run=(--precision "$precision" --quiet --progress none)
    "$topicwire" train "$folder/train.jsonl" "${labels[@]}" -o "$out/$name" --overwrite --views document "${run[@]}" >"$out/$name.train.txt"
    "$topicwire" evaluate "$out/$name" "$folder/test.jsonl" --json "${run[@]}" >"$out/$name.json"
    reports+=("$out/$name.json")
  done
done
python3 - "${reports[@]}" <<'PYTHON'
import json
import pathlib
import sys

METRICS = {"single": ["accuracy", "f1_macro"], "multi": ["f1_micro", "f1_macro", "map_macro"]}
reports = {}
for path in map(pathlib.Path, sys.argv[1:]):
    name, precision = path.stem.rsplit("-", 1)
    reports.setdefault(name, {})[precision] = json.loads(path.read_text(encoding="utf-8"))
precisions = list(next(iter(reports.values())))
others = [precision for precision in precisions if precision != "f32" and "f32" in precisions]
columns = ["data, test articles", "metric", *precisions, *[f"{precision} − f32" for precision in others]]
print(f"| {' | '.join(columns)} |")
print("|---|---" + "|---:" * (len(columns) - 2) + "|")
for name, by_precision in reports.items():
    first = by_precision[precisions[0]]
    for metric in METRICS[first["task"]]:
        points = {precision: 100 * by_precision[precision][metric] for precision in precisions}
        cells = [f"{points[precision]:.2f}" for precision in precisions]
        cells += [f"{points[precision] - points['f32']:+.2f}" for precision in others]
        print(f"| {name}, {first['n']:,} | {metric} | {' | '.join(cells)} |")
PYTHON
