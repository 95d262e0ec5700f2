"""Tables of what compare.py measured, as Markdown.

    python scripts/compare_encoders/report.py OUT/encoders.json
"""

import json
import sys
from statistics import median

from contenders import CONTENDERS

BY_NAME = {contender.name: contender for contender in CONTENDERS}
# What most people run.
USUAL = "st-f32"
NONE = "–"


def speeds(entry: dict, count: str) -> list[float]:
    return [run[count] / run["seconds"] for run in entry["runs"]]


def docs_per_s(entry: dict) -> float:
    return median(speeds(entry, "n_docs"))


def best_peer(entries: list[dict], precision: str) -> dict | None:
    peers = [entry for entry in entries if not BY_NAME[entry["contender"]].ours]
    return max((peer for peer in peers if BY_NAME[peer["contender"]].precision == precision), key=docs_per_s, default=None)


def ratio(a: float | None, b: float | None) -> str:
    return f"{a / b:.2f}" if a and b else NONE


def grouped(n: float) -> str:
    return f"{n:,.0f}"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def header(names: list[str], n_left: int) -> list[str]:
    return [row(names), "|" + "---|" * n_left + "---:|" * (len(names) - n_left)]


def speed_table(results: dict, work: str, n_threads: int) -> list[str]:
    """Contenders on one kind of work; ratios are over 1 where the contender of the row is faster."""
    entries = [entry for entry in results["speed"] if entry["work"] == work and entry["threads"] == n_threads]
    one_thread = {
        entry["contender"]: docs_per_s(entry)
        for entry in results["speed"]
        if entry["work"] == work and entry["threads"] == 1
    }
    ceilings = {
        ceiling["contender"]: ceiling["ceiling_gflops"]
        for ceiling in results["ceilings"]
        if ceiling["threads"] == n_threads
    }
    usual = next((docs_per_s(entry) for entry in entries if entry["contender"] == USUAL), None)
    names = ["precision", "contender", "docs/s", "tokens/s", "from – to", "peak MiB", "to the best peer", f"to {USUAL}"]
    names += ["to one thread", "of the ceiling"]
    lines = header(names, n_left=2)
    for entry in entries:
        contender = BY_NAME[entry["contender"]]
        docs, tokens = docs_per_s(entry), speeds(entry, "n_tokens")
        peer = best_peer(entries, contender.precision)
        share = NONE
        if contender.name in ceilings:
            share = f"{100 * median(speeds(entry, 'gflop')) / ceilings[contender.name]:.0f} %"
        cells = [
            contender.precision,
            f"**{contender.label}**" if contender.ours else contender.label,
            f"{docs:.1f}",
            grouped(median(tokens)),
            f"{grouped(min(tokens))} – {grouped(max(tokens))}",
            grouped(max(run["peak_kb"] for run in entry["runs"]) / 1024),
            ratio(docs, docs_per_s(peer) if peer else None),
            ratio(docs, usual),
            ratio(docs, one_thread.get(contender.name)) if n_threads > 1 else NONE,
            share,
        ]
        lines.append(row(cells))
    return lines


def noise(results: dict) -> str:
    """How much others disturbed the runs that count."""
    runs = [run for entry in results["speed"] for run in entry["runs"]]
    others = [run["others"] for run in runs]
    again = sum(run["attempt"] > 0 for run in runs)
    text = f"CPU time of others during a run, in cores: median {median(others):.2f}, most {max(others):.2f}"
    return f"{text}; {again} of {len(runs)} runs were repeated."


def cold_table(results: dict) -> list[str]:
    loads = {(entry["contender"], entry["threads"]): entry["load_s"] for entry in results["speed"]}
    lines = header(["precision", "contender", "threads", "seconds", "from – to", "peak MiB", "seconds to load"], n_left=2)
    for entry in results["cold_start"]:
        contender = BY_NAME[entry["contender"]]
        seconds = [run["seconds"] for run in entry["runs"]]
        load = loads.get((contender.name, entry["threads"]))
        cells = [
            contender.precision,
            f"**{contender.label}**" if contender.ours else contender.label,
            str(entry["threads"]),
            f"{median(seconds):.2f}",
            f"{min(seconds):.2f} – {max(seconds):.2f}",
            grouped(median(run["peak_kb"] for run in entry["runs"]) / 1024),
            NONE if load is None else f"{load:.2f}",
        ]
        lines.append(row(cells))
    return lines


def markdown(results: dict) -> str:
    lines = ["# Encoders side by side", "", f"{results['machine']}. {noise(results)}"]
    for work, settings in results["data"].items():
        for n_threads in sorted({entry["threads"] for entry in results["speed"]}):
            entries = [entry for entry in results["speed"] if entry["work"] == work and entry["threads"] == n_threads]
            first = entries[0]["runs"]
            title = f"## {settings['corpus']}, at most {settings['max_tokens']} tokens, {n_threads} thread{'s' * (n_threads > 1)}"
            size = f"{first[0]['n_docs']} documents, {grouped(first[0]['n_tokens'])} tokens; median of {len(first)} rounds."
            lines += ["", title, "", size, "", *speed_table(results, work, n_threads)]
    for ceiling in results["ceilings"]:
        contender = BY_NAME[ceiling["contender"]]
        line = f"Ceiling of {contender.precision}, {ceiling['threads']} threads: {ceiling['ceiling_gflops']:.0f} GFLOP/s."
        lines += ["", line]
    if results["cold_start"]:
        lines += ["", "## One short document, whole process", "", *cold_table(results)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(markdown(json.load(file)), end="")
