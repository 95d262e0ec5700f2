#!/usr/bin/env bash
# What `tune` gains over the defaults on articles that were no part of the search.
#
#   scripts/measure_tune.sh OUT DATA... [-- FLAG...]
#
# Each DATA is a folder with train.jsonl, test.jsonl and, where labels mean something, labels.json. FLAGs go to `tune`, e.g. `-- --budget 20m --metric
# map_macro`. Prints for each folder the changes tried, what came of them, and both settings on the test articles; keeps the settings in OUT.
# PROGRAM names the program (default: target/release/topicwire); BEFORE holds flags for all (default: --precision int8).
set -euo pipefail

out=$1
shift
folders=() flags=()
while (($#)); do
    if [[ $1 == -- ]]; then
        shift
        flags=("$@")
        break
    fi
    folders+=("$1")
    shift
done
program=${PROGRAM:-target/release/topicwire}
read -r -a before <<<"${BEFORE---precision int8}"
mkdir -p "$out"
for data in "${folders[@]}"; do
    name=$(basename "$data")
    labels=()
    if [[ -e $data/labels.json ]]; then labels=(--labels "$data/labels.json"); fi
    echo "## $name"
    "$program" tune "$data/train.jsonl" --test "$data/test.jsonl" -o "$out/$name.toml" --overwrite "--cache=$out/cache" --progress none \
        "${before[@]}" "${labels[@]}" "${flags[@]}"
    echo
done
