#!/usr/bin/env python3
"""Accuracy from few labelled articles, label names and unlabelled articles.

    scripts/measure_few.py PROGRAM DATA OUT [--draws N] [--shots 8] [--unlabelled 2000] [--precision int8] [--settings a,b]

DATA holds train.jsonl, test.jsonl and splits/SHOTSshot-N.json, files with the ids of a draw ({"ids": [...]}). Trains and
evaluates one model for each draw and setting in OUT, and prints means and standard deviations over draws. Unlabelled articles are
the first others of the training file, shuffled with seed 0. `skewed` keeps 60, 25, 10, 5 % of them by label.
"""

import argparse
import json
import random
import statistics
import subprocess
from pathlib import Path


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--unlabelled", type=int, default=2000)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--settings", default="plain,labels,names,all,zero,skewed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    train = [json.loads(line) for line in (arguments.data / "train.jsonl").open()]
    by_id = {row["id"]: row for row in train}
    names = sorted({label for row in train for label in row["labels"]})
    labels = arguments.out / "labels.json"
    labels.write_text(json.dumps(names))
    common = ["--precision", arguments.precision, "--progress", "none", "--neighbours", 0, "--overwrite"]
    scores = {}
    for draw in range(arguments.draws):
        ids = json.loads((arguments.data / f"splits/{arguments.shots}shot-{draw}.json").read_text())["ids"]
        shots = write(arguments.out / "shots.jsonl", [by_id[i] for i in ids])
        others = [row for row in train if row["id"] not in set(ids)]
        random.Random(0).shuffle(others)
        unlabelled = [{key: row[key] for key in ("id", "title", "text") if row.get(key)} for row in others]
        pool = write(arguments.out / "pool.jsonl", unlabelled[: arguments.unlabelled])
        shares = dict(zip(names, (0.60, 0.25, 0.10, 0.05)))
        kept = {name: 0 for name in names}
        skewed = []
        for row, plain in zip(others, unlabelled):
            name = row["labels"][0]
            if kept[name] < shares.get(name, 0) * 1400:
                kept[name] += 1
                skewed.append(plain)
        settings = {
            "plain": [shots, "--few", "never", "--views", "document"],
            "views": [shots, "--few", "never", "--labels", labels],
            "labels": [shots, "--few", "always", "--views", "document"],
            "names": [shots, "--few", "always", "--labels", labels],
            "all": [shots, "--few", "always", "--labels", labels, "--unlabelled", pool],
            "zero": ["--labels", labels, "--unlabelled", pool],
            "names0": ["--labels", labels],
        }
        if len(names) == 4:
            skewed = write(arguments.out / "skewed.jsonl", skewed)
            settings["skewed"] = [shots, "--few", "always", "--labels", labels, "--unlabelled", skewed]
        for name in arguments.settings.split(","):
            if name not in settings:
                continue
            model = arguments.out / "model"
            run(arguments.program, "train", *settings[name], "-o", model, *common)
            report = json.loads(
                run(arguments.program, "evaluate", model, arguments.data / "test.jsonl", "--json", "--resamples", 0,
                    "--progress", "none")
            )
            scores.setdefault(name, []).append((100 * report["accuracy"], 100 * report["ece"]))
            print(draw, name, round(scores[name][-1][0], 2), flush=True)
    for name, values in scores.items():
        accuracies = [accuracy for accuracy, _ in values]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        ece = statistics.mean(ece for _, ece in values)
        print(f"| {name} | {statistics.mean(accuracies):.1f} ± {spread:.1f} | calibration error {ece:.1f} |")


if __name__ == "__main__":
    main()
