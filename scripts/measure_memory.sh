#!/usr/bin/env bash
# Shows that the memory of `predict` does not grow with its input: labels ever more short rows and prints the peak of each run.
# Usage: scripts/measure_memory.sh MODEL [ROWS ...]   (default rows: 10000 100000 1000000)
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,3p' "$0" | cut -c3- >&2; exit 2; }
model=$1
shift
[ $# -ge 1 ] || set -- 10000 100000 1000000
[ -x /usr/bin/time ] || { echo "error: GNU time is needed (Debian: apt-get install time)" >&2; exit 2; }
rows() {
  awk -v n="$1" 'BEGIN { split("grain frigate pipeline envoy ceasefire tariff earthquake ballot", w, " ");
    for (i = 1; i <= n; i++) printf "{\"id\":\"%d\",\"text\":\"%s %s\"}\n", i, w[i % 8 + 1], w[int(i / 8) % 8 + 1] }'
}
for n in "$@"; do
  rows "$n" | /usr/bin/time -f "$n rows: %e s wall, peak %M KiB" target/release/topicwire predict "$model" - --progress none --quiet \
    | wc -l | awk -v n="$n" '{ if ($1 != n) { print "error: " $1 " rows out of " n; exit 1 } }'
done
