"""Parts of the corpora that are compared on."""

from pathlib import Path


def thin(source: Path, n_docs: int, target: Path) -> int:
    """Writes `n_docs` lines spread evenly over the file, or all where it has fewer; returns how many."""
    with open(source, encoding="utf-8") as file:
        lines = list(file)
    n_docs = min(n_docs, len(lines))
    target.write_text("".join(lines[i * len(lines) // n_docs] for i in range(n_docs)), encoding="utf-8")
    return n_docs
