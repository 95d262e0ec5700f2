#!/usr/bin/env bash
# What each calibration is worth on test articles.
#
#   scripts/measure_calibration.sh BIN DATA OUT
#
# BIN is the program; DATA holds a folder for each set with train.jsonl and test.jsonl. Trains with each calibration, keeps model and report in OUT, and prints a row for
# each: log-loss, calibration error in bins of equal mass and what chance alone would make of it, Brier score and its reliability; in percent
# accuracy or micro-F1 with the thresholds of the model and, where articles have several labels, from 0.5.
# SETS names the folders (default: agnews trec banking77 sst5 reuters21578-90 nlupp-banking, and data/diplomacy of the repository), FLAGS those
# of `train` beside --calibration (default: --precision int8 --views document), METHODS the calibrations.
set -euo pipefail

if [[ $# -ne 3 ]]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
bin=$1 data=$2 out=$3
root=$(cd "$(dirname "$0")/.." && pwd)
read -r -a sets <<<"${SETS-agnews trec banking77 sst5 reuters21578-90 nlupp-banking diplomacy}"
read -r -a flags <<<"${FLAGS---precision int8 --views document}"
read -r -a methods <<<"${METHODS-none temperature platt isotonic beta auto}"
mkdir -p "$out"
echo "| set | calibration | log-loss | ECE | by chance | Brier | reliability | accuracy or micro-F1 | from 0.5 |"
echo "|---|---|---:|---:|---:|---:|---:|---:|---:|"
for set in "${sets[@]}"; do
    folder=$data/$set
    if [[ $set == diplomacy && ! -d $folder ]]; then folder=$root/data/diplomacy; fi
    for method in "${methods[@]}"; do
        name=$set-$method
        "$bin" train "$folder/train.jsonl" -o "$out/$name" --overwrite "${flags[@]}" --calibration "$method" --progress none >"$out/$name.txt" 2>&1
        "$bin" evaluate "$out/$name" "$folder/test.jsonl" --json --on-error skip --rejects "$out/$name.rejects.jsonl" --progress none \
            >"$out/$name.json" 2>>"$out/$name.txt" || [[ $? -eq 3 ]]
        python3 - "$set" "$method" "$out/$name" <<'PYTHON'
import json, sys
set_, method, name = sys.argv[1:]
report = json.load(open(name + ".json"))
search = json.load(open(name + "/manifest.json"))["training"]["cross_validation"]["calibration"]
if method == "auto":
    method = f"auto: {search['chosen']}"
right = report["accuracy"] if "accuracy" in report else report["f1_micro"]
half = f"{100 * report['at_half']['f1_micro']:.1f}" if "at_half" in report else ""
numbers = (report[key] for key in ("log_loss", "ece_equal_mass", "ece_equal_mass_floor", "brier", "brier_reliability"))
print(f"| {set_} | {method} | " + " | ".join(f"{number:.4f}" for number in numbers) + f" | {100 * right:.1f} | {half} |", flush=True)
PYTHON
    done
done
