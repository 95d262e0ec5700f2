#!/usr/bin/env python3
"""Measures every contender in turn and prints the tables; scripts/compare_encoders.sh prepares what it needs and calls it.

A contender is one process that stays; a round asks each once for the same documents. Memory is the peak of a run, and work comes
in the order of its memory, so that what a process keeps from earlier work does not raise it. A run during which others used the
machine is repeated.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import report
from ceiling import ceiling_gflops
from contenders import Contender, ContenderError, Places, Worker, add_arguments, chosen, environment, places
from corpora import thin

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# Of one core; above it a run is repeated.
MAX_OTHERS = 0.12
MAX_STOLEN = 0.05
MAX_ATTEMPTS = 3
# Enough to fill every buffer once: a batch of the peers is 32 documents.
WARM_UP_DOCS = 32
COLD_TEXT = "Oil prices climbed on Tuesday after producers said that cuts of their output would go on into the next quarter."


@dataclass(frozen=True)
class Work:
    name: str
    corpus: str
    max_tokens: int
    # At two threads; as many more or fewer with others, so that runs last about as long.
    n_docs: int


WORK = [
    Work("short", "short.jsonl", 256, 640),
    Work("long256", "long.jsonl", 256, 144),
    Work("long512", "long.jsonl", 512, 80),
]


def machine_seconds() -> tuple[float, float]:
    """CPU time that was used, and that the hypervisor gave to others, since the machine started."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq) / CLOCK_TICKS, steal / CLOCK_TICKS


def process_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def measure(worker: Worker, file: Path, max_tokens: int, n_attempts: int) -> dict:
    """One run; of several attempts the last."""
    for attempt in range(n_attempts):
        start, (used, stolen), own = time.perf_counter(), machine_seconds(), process_seconds(worker.process.pid)
        run = worker.ask("run", file, max_tokens)
        wall = time.perf_counter() - start
        used, stolen = machine_seconds()[0] - used, machine_seconds()[1] - stolen
        own = process_seconds(worker.process.pid) - own
        run |= {"others": max(0.0, used - own) / wall, "stolen": stolen / wall, "attempt": attempt}
        if run["others"] <= MAX_OTHERS and run["stolen"] <= MAX_STOLEN:
            break
    return run


def start(contenders: list[Contender], where: Places, n_threads: int, cores: set[int], log: Path) -> list[Worker]:
    workers = []
    for contender in contenders:
        try:
            workers.append(Worker(contender, where, n_threads, cores, log))
        except ContenderError as error:
            print(f"left out: {error}", file=sys.stderr)
    return workers


def compare(args: argparse.Namespace, where: Places, n_threads: int, cores: set[int]) -> list[dict]:
    """Runs of all contenders on all work with so many threads."""
    results = []
    workers = start(chosen(args), where, n_threads, cores, args.out / "contenders.log")
    for work, n_docs in zip(WORK, args.docs):
        file = args.out / f"{work.name}-{n_threads}.jsonl"
        n_docs = thin(args.data / work.corpus, max(1, n_docs * n_threads // 2), file)
        warm_up = args.out / "warm-up.jsonl"
        thin(file, WARM_UP_DOCS, warm_up)
        runs: dict[str, list[dict]] = {worker.contender.name: [] for worker in workers}
        for worker in workers:
            worker.ask("run", warm_up, work.max_tokens)
        for round_idx in range(args.rounds):
            print(f"{n_threads} threads, {work.name}, {n_docs} documents: round {round_idx + 1}", file=sys.stderr)
            for worker in workers:
                runs[worker.contender.name].append(measure(worker, file, work.max_tokens, args.attempts))
        for worker in workers:
            result = {"work": work.name, "threads": n_threads, "contender": worker.contender.name}
            results.append(result | {"load_s": worker.load_s, "runs": runs[worker.contender.name]})
    for worker in workers:
        worker.stop()
    return results


def cold_starts(args: argparse.Namespace, where: Places, n_threads: int, cores: set[int]) -> list[dict]:
    """Whole processes that embed one short document, with files cached.

    This process must stay small, so it imports nothing large: the peak of a child begins with the size of its parent.
    """
    file = args.out / "cold.jsonl"
    file.write_text(json.dumps({"id": "1", "text": COLD_TEXT}) + "\n", encoding="utf-8")
    results = {contender.name: [] for contender in chosen(args)}
    for round_idx in range(args.cold_rounds + 1):
        for contender in chosen(args):
            command = where.cold_command(contender, n_threads, COLD_TEXT, file)
            begin = time.perf_counter()
            with open(args.out / "contenders.log", "a", encoding="utf-8") as log:
                process = subprocess.Popen(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=environment(n_threads),
                    preexec_fn=lambda: os.sched_setaffinity(0, cores),
                )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            # The first round fills the cache of files.
            if process.returncode == 0 and round_idx > 0:
                results[contender.name].append({"seconds": seconds, "peak_kb": usage.ru_maxrss})
    return [{"contender": name, "threads": n_threads, "runs": runs} for name, runs in results.items() if runs]


def machine() -> str:
    with open("/proc/cpuinfo") as info:
        names = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with short.jsonl and long.jsonl")
    parser.add_argument("out", type=Path, help="folder for results")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=5)
    parser.add_argument("--attempts", type=int, default=MAX_ATTEMPTS, help="runs at most until one was undisturbed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    defaults = [work.n_docs for work in WORK]
    names = " ".join(work.name for work in WORK)
    parser.add_argument("--docs", type=int, nargs=len(WORK), default=defaults, help=f"documents at two threads: {names}")
    add_arguments(parser)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    where = places(args)
    allowed = sorted(os.sched_getaffinity(0))
    if max(args.threads) > len(allowed):
        raise SystemExit(f"error: {max(args.threads)} threads were asked for, and there are {len(allowed)} cores")

    results = {
        "machine": machine(),
        "data": {work.name: {"corpus": work.corpus, "max_tokens": work.max_tokens} for work in WORK},
        "speed": [],
        "cold_start": [],
        "ceilings": [],
    }
    for n_threads in args.threads:
        # The first core serves most interrupts.
        cores = set(allowed[len(allowed) - n_threads :])
        results["speed"] += compare(args, where, n_threads, cores)
        results["ceilings"] += ceiling_gflops(where, args.data / "short.jsonl", chosen(args), n_threads, cores)
        results["cold_start"] += cold_starts(args, where, n_threads, cores)
        path = args.out / "encoders.json"
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = report.markdown(results)
    (args.out / "encoders.md").write_text(table, encoding="utf-8")
    print(table, end="")


main()
