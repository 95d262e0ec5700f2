"""What `topicwire check` finds of copies that were changed, and what time and memory it takes for more and more articles.

    python scripts/measure_check.py DATA BIN [--encoder ENCODER] [--sizes 20000,50000,100000,200000]

DATA is a folder with agnews/{train,test}.jsonl and reuters21578-90/train.jsonl as `id`, `text`, `labels`; BIN is the program. Needs
nothing but Python. Recall: agnews with 4,000 copies, each changed in one of seven ways, by `--fast` and, where an encoder is named, with it.
Time: two corpora, `--fast`, two threads. `copies` is agnews and changed copies of it, so that at 200,000 articles each has 26;
`mixed` is made-up articles of sentences from both sets, every tenth a changed copy of an earlier one. Time and memory are those of the whole
program, reading included.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

PREFIXES = ["(Reuters) - ", "AP - ", "NEW YORK (Reuters) - ", "By John Smith, Staff Writer, LONDON -- ", "KYIV, Ukraine (AFP) "]
N_COPIES = 4000


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


class Changes:
    """Seven ways in which a copy differs from its original."""

    def __init__(self, rng: random.Random, texts: list[str]):
        self.rng = rng
        self.words = [word for text in texts[:500] for word in text.split()]
        self.kinds = {
            "byline": self.byline,
            "cut": self.cut,
            "byline and cut": lambda text: self.cut(self.byline(text)),
            "appended": self.appended,
            "words": self.other_words,
            "typos": self.typos,
            "form": self.form,
        }

    def byline(self, text: str) -> str:
        return self.rng.choice(PREFIXES) + " ".join(text.split()[self.rng.randint(2, 6) :])

    def cut(self, text: str) -> str:
        words = text.split()
        return " ".join(words[: max(3, int(len(words) * self.rng.uniform(0.6, 0.95)))])

    def appended(self, text: str) -> str:
        return text + " " + " ".join(self.rng.choices(self.words, k=int(len(text.split()) * 0.3)))

    def other_words(self, text: str) -> str:
        words = text.split()
        for _ in range(max(1, int(len(words) * self.rng.uniform(0.03, 0.12)))):
            words[self.rng.randrange(len(words))] = self.rng.choice(self.words)
        return " ".join(words)

    def typos(self, text: str) -> str:
        letters = list(text)
        for _ in range(max(1, int(len(letters) * self.rng.uniform(0.005, 0.02)))):
            at, kind = self.rng.randrange(len(letters) - 1), self.rng.random()
            if kind < 0.4:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            elif kind < 0.7:
                letters[at] = self.rng.choice("abcdefghijklmnopqrstuvwxyz")
            else:
                del letters[at]
        return "".join(letters)

    def form(self, text: str) -> str:
        if self.rng.random() < 0.3:
            return text.upper().replace(",", " ").replace("'", "’")
        return text.replace(" ", "  ").replace("-", "–")


def write(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({"id": str(i), "text": text}) + "\n")


def run(binary: str, data: Path, found: Path, more: list[str]) -> tuple[float, float]:
    """Seconds and MB."""
    start = time.monotonic()
    command = [binary, "check", str(data), "--jsonl", str(found), "-q", *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} ended with {status}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def recall(folder: Path, binary: str, originals: list[str], encoder: str | None) -> None:
    changes = Changes(random.Random(1), originals)
    of, kinds, texts = list(range(len(originals))), [""] * len(originals), list(originals)
    for _ in range(N_COPIES):
        of.append(changes.rng.randrange(len(originals)))
        kinds.append(changes.rng.choice(list(changes.kinds)))
        texts.append(changes.kinds[kinds[-1]](originals[of[-1]]))
    write(folder / "copies.jsonl", texts)
    ways = {"texts alone": ["--fast"]}
    if encoder:
        ways["with the encoder"] = ["--encoder", encoder, "--precision", "int8"]
    for name, more in ways.items():
        run(binary, folder / "copies.jsonl", folder / "found.jsonl", more)
        group = list(range(len(texts)))
        n_mixed = 0
        for line in read(folder / "found.jsonl"):
            if line["kind"] in ("near_duplicates", "exact_duplicates"):
                rows = [int(row) for row in line["ids"]]
                n_mixed += len({of[row] for row in rows}) > 1
                for row in rows:
                    group[row] = rows[0]
        hits = defaultdict(list)
        for row in range(len(originals), len(texts)):
            hits[kinds[row]].append(group[row] == group[of[row]])
        shares = ", ".join(f"{kind} {sum(own) / len(own):.3f}" for kind, own in sorted(hits.items()))
        print(f"recall, {name}: {shares}; {n_mixed} groups hold several originals", flush=True)


def timing(folder: Path, binary: str, agnews: list[str], reuters: list[str], sizes: list[int]) -> None:
    changes = Changes(random.Random(2), agnews)
    rng = changes.rng
    copies = list(agnews)
    while len(copies) < max(sizes):
        copies.append(changes.kinds[rng.choice(list(changes.kinds))](rng.choice(agnews)))
    rng.shuffle(copies)
    sentences = [s for text in agnews + reuters for s in text.replace("\n", ". ").split(". ") if len(s.split()) > 4]
    mixed: list[str] = []
    for i in range(max(sizes)):
        if i % 10 == 9:
            mixed.append(changes.kinds["byline and cut"](mixed[rng.randrange(len(mixed))]))
        else:
            words = ". ".join(rng.sample(sentences, 4)).split()
            for _ in range(len(words) // 6):
                words[rng.randrange(len(words))] = f"w{rng.randrange(99999)}"
            mixed.append(" ".join(words))
    for name, texts in {"copies": copies, "mixed": mixed}.items():
        for size in sizes:
            write(folder / "timed.jsonl", texts[:size])
            n_mb = (folder / "timed.jsonl").stat().st_size / 1e6
            seconds, memory = run(binary, folder / "timed.jsonl", folder / "found.jsonl", ["--fast", "--threads", "2"])
            print(f"{name} {size:>7} articles, {n_mb:6.1f} MB: {seconds:6.2f} s, {memory:6.0f} MB of memory", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("binary")
    parser.add_argument("--encoder")
    parser.add_argument("--sizes", default="20000,50000,100000,200000")
    args = parser.parse_args()
    agnews = [row["text"] for part in ("train", "test") for row in read(args.data / "agnews" / f"{part}.jsonl")]
    reuters = [row["text"] for row in read(args.data / "reuters21578-90" / "train.jsonl")]
    with tempfile.TemporaryDirectory() as folder:
        recall(Path(folder), args.binary, agnews, args.encoder)
        timing(Path(folder), args.binary, agnews, reuters, [int(size) for size in args.sizes.split(",")])


if __name__ == "__main__":
    main()
