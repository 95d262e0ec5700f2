"""Reference near-duplicates and odds of labels' company, for tests/curation_golden.rs.

    python -m venv env && env/bin/pip install datasketch==2.0.0 numpy==2.4.6 scipy==1.17.1
    env/bin/python scripts/golden_curation.py

Writes tests/golden/curation.json: made-up texts with copies that differ a little, the exact Jaccard similarity of every pair that
shares anything much, the clusters; and one-sided p-values of two-by-two tables. Clusters are those of datasketch's MinHash LSH on the same
shingles; the script fails where these differ from those of the exact similarities.
"""

import json
import random
from itertools import combinations
from pathlib import Path

from datasketch import MinHash, MinHashLSH
from scipy.stats import fisher_exact, hypergeom

ROOT = Path(__file__).resolve().parent.parent
SHINGLE_CHARS = 5
MIN_JACCARD = 0.7
# Pairs near the threshold would be told apart by the luck of hashing; texts that make such pairs are left out.
CLEARANCE = 0.05
# Pairs that are more alike than this are listed.
LISTED = 0.3


def normalized(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text).lower().split())


def shingles(text: str) -> set[str]:
    words = normalized(text)
    return {words[i : i + SHINGLE_CHARS] for i in range(max(1, len(words) - SHINGLE_CHARS + 1))}


def jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def texts(rng: random.Random) -> list[str]:
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiouäéø"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(400)]
    sentence = lambda n: " ".join(rng.choices(vocabulary, k=n)).capitalize() + "."
    article = lambda: " ".join(sentence(rng.randint(5, 12)) for _ in range(rng.randint(2, 7)))

    def changed(text: str) -> str:
        words = text.split()
        kind = rng.randrange(6)
        if kind == 0:
            return f"{sentence(2)} – {text}"
        if kind == 1:
            return " ".join(words[: int(len(words) * rng.uniform(0.5, 0.95))])
        if kind == 2:
            return text.upper().replace(" ", "  ").replace(".", "!")
        if kind == 3:
            for _ in range(max(1, len(words) // 12)):
                words[rng.randrange(len(words))] = rng.choice(vocabulary)
            return " ".join(words)
        if kind == 4:
            letters = list(text)
            for _ in range(len(letters) // 60 + 1):
                i = rng.randrange(len(letters) - 1)
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
            return "".join(letters)
        return text + " " + article()

    found = []
    for _ in range(30):
        found.append(article())
        found += [changed(found[-1]) for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]
    rng.shuffle(found)
    return found


def clusters(n: int, pairs: list[tuple[int, int]]) -> list[int]:
    of = list(range(n))
    for a, b in pairs:
        old, new = max(of[a], of[b]), min(of[a], of[b])
        of = [new if c == old else c for c in of]
    number = {c: i for i, c in enumerate(dict.fromkeys(of))}
    return [number[c] for c in of]


def main() -> None:
    rng = random.Random(7)
    kept: list[str] = []
    for text in texts(rng):
        if all(abs(jaccard(shingles(text), shingles(other)) - MIN_JACCARD) > CLEARANCE for other in kept):
            kept.append(text)
    sets = [shingles(text) for text in kept]
    similarities = {(a, b): jaccard(sets[a], sets[b]) for a, b in combinations(range(len(kept)), 2)}
    exact = clusters(len(kept), [pair for pair, j in similarities.items() if j >= MIN_JACCARD])

    hashed = []
    for members in sets:
        minhash = MinHash(num_perm=1024, seed=1)
        minhash.update_batch([shingle.encode() for shingle in members])
        hashed.append(minhash)
    index = MinHashLSH(threshold=MIN_JACCARD - CLEARANCE, num_perm=1024)
    for i, minhash in enumerate(hashed):
        index.insert(i, minhash)
    found = [(i, j) for i, m in enumerate(hashed) for j in index.query(m) if i < j and m.jaccard(hashed[j]) >= MIN_JACCARD]
    assert clusters(len(kept), found) == exact, "datasketch finds other clusters"

    tables = []
    for n, n_a, n_b in [(10, 3, 3), (100, 30, 40), (7667, 2845, 536), (7667, 24, 179), (100000, 5000, 20000), (50, 40, 30)]:
        least, most = max(0, n_a + n_b - n), min(n_a, n_b)
        expected = n_a * n_b / n
        for both in sorted({least, most, round(expected), round(0.7 * expected), min(most, round(1.4 * expected) + 1)} & set(range(least, most + 1))):
            at_least = hypergeom.sf(both - 1, n, n_a, n_b)
            at_most = hypergeom.cdf(both, n, n_a, n_b)
            if n < 1000:
                table = [[both, n_a - both], [n_b - both, n - n_a - n_b + both]]
                assert abs(fisher_exact(table, alternative="greater").pvalue - at_least) < 1e-9
            tables.append({"n": n, "n_a": n_a, "n_b": n_b, "n_both": both, "at_least": float(at_least), "at_most": float(at_most)})

    golden = {
        "shingle_chars": SHINGLE_CHARS,
        "min_jaccard": MIN_JACCARD,
        "texts": kept,
        "pairs": [[a, b, j] for (a, b), j in similarities.items() if j >= LISTED],
        "cluster_of": exact,
        "tables": tables,
    }
    (ROOT / "tests" / "golden" / "curation.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")
    print(f"{len(kept)} texts, {max(exact) + 1} clusters, {len(golden['pairs'])} pairs, {len(tables)} tables")


if __name__ == "__main__":
    main()
