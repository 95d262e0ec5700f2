#!/usr/bin/env bash
# What views and profiles bring and cost.
#
#   scripts/measure_views.sh DATA LABELS|- OUT [SET...]
#
# DATA holds train.jsonl and test.jsonl. A SET is a name and the flags of `train` after a colon, e.g. 'words:--views document,words'. Trains and
# evaluates each in OUT and prints a row: name, F1 (accuracy where articles have one label), macro-F1, mean average precision, log-loss, bytes of the model.
# PROGRAM names the program (default: target/release/topicwire); BEFORE holds flags for all (default: --precision int8).
set -euo pipefail

data=$1 labels=$2 out=$3
shift 3
program=${PROGRAM:-target/release/topicwire}
read -r -a before <<<"${BEFORE---precision int8}"
if [[ $labels != - ]]; then before+=(--labels "$labels"); fi
mkdir -p "$out"
echo "| | F1 | macro-F1 | mAP | log-loss | model |"
echo "|---|---:|---:|---:|---:|---:|"
for set in "$@"; do
    name=${set%%:*}
    read -r -a flags <<<"${set#*:}"
    rm -rf "$out/model"
    "$program" train "$data/train.jsonl" -o "$out/model" "${before[@]}" "${flags[@]}" --progress none >"$out/$name.txt" 2>&1
    "$program" evaluate "$out/model" "$data/test.jsonl" --json --progress none >"$out/$name.json" 2>>"$out/$name.txt"
    python3 - "$name" "$out/$name.json" "$(du -sb "$out/model" | cut -f1)" <<'PYTHON'
import json, sys
name, path, size = sys.argv[1:]
report = json.load(open(path))
f1 = "accuracy" if "accuracy" in report else "f1_micro"
low, high = (100 * bound for bound in report[f1 + "_ci"])
print(f"| {name} | {100 * report[f1]:.1f} ({low:.1f} to {high:.1f}) | {100 * report['f1_macro']:.1f} | "
      f"{100 * report['map_macro']:.1f} | {report['log_loss']:.4f} | {int(size) / 1e6:.1f} MB |", flush=True)
PYTHON
done
