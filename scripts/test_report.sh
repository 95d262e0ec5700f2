#!/usr/bin/env bash
# Makes reports of the sample data and uses them in headless Chromium: see scripts/test_report.mjs.
# Usage: scripts/test_report.sh [the program, else it is built]
# Needs Node 18 or later and Chromium (CHROMIUM names another binary); where one is missing it says so and ends with status 77.
set -euo pipefail
cd "$(dirname "$0")/.."
chromium=${CHROMIUM:-chromium}
for tool in node "$chromium"; do
  command -v "$tool" >/dev/null || { echo "not tested: there is no $tool (on Debian: apt-get install nodejs chromium)"; exit 77; }
done
if [ $# -gt 0 ]; then
  topicwire=$1
else
  cargo build --release --locked
  topicwire=target/release/topicwire
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
scripts/fetch-encoder.sh
"$topicwire" train data/diplomacy/train.jsonl -o "$place/model" --offline --quiet
"$topicwire" evaluate "$place/model" data/diplomacy/test.jsonl --resamples 200 --offline --quiet \
  --report "$place/report.html" --plots "$place/plots" >/dev/null
node scripts/test_report.mjs "$place/report.html" "$chromium"
