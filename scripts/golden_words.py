"""Reference TF-IDF rows and linear heads on them from scikit-learn, for tests/words_parity.rs.

    python -m venv env && env/bin/pip install scikit-learn==1.9.1
    env/bin/python scripts/golden_words.py

Writes tests/golden/words.json: texts; their rows as [term, value] for words alone and for words beside characters; labels; and
for each loss and strength the logits of all texts, computed on the rows in f32.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

ROOT = Path(__file__).resolve().parent.parent

# Without scripts whose vowel signs Python's \w leaves out: there the two disagree on purpose.
TEXTS = [
    "The ministers met in Geneva. The ministers agreed on grain; grain, grain and more grain!",
    "Grain exports fell 3.5% in May_2024, to 1,200 tonnes (a 10-year low).",
    "",
    " \t\n a I , . ! ",
    "Die Außenministerin sprach in STRASSBURG über Öl, Öl und Gas.",
    "Ο Οδυσσεύς ΟΔΥΣΣΕΥΣ στη Θάλασσα: ΤΟΣ'Α ΤΟΣ",
    "İstanbul'da IŞIK ve ışık; Kıbrıs.",
    "国連 安全保障理事会は停戦を求めた。停戦は 2024年 に",
    "Совет Безопасности ООН призвал к миру. Совет согласился.",
    "naïve café — naïve CAFÉ… ﬁnal ①② x² ½ 👍🏽 __init__ _",
    "\u00a0non\u00a0breaking\u2003spaces\u200bzero width\u00adsoft hyphen",
    "The grain ministers met; exports of oil and gas fell in Geneva.",
    "supercalifragilisticexpialidocious " * 3 + "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen0123456789",
    "oil oil oil oil OIL gas",
]
LABELS = [[0, 1], [0], [], [], [1], [2], [2], [0, 2], [1], [], [2], [0, 1], [2], [1]]
STRENGTHS = {"squared_hinge": [0.3, 10.0], "logistic": [1.0, 30.0]}


def rows(vectoriser: TfidfVectorizer) -> tuple[list, np.ndarray]:
    matrix = vectoriser.fit_transform(TEXTS).tocsr()
    names = vectoriser.get_feature_names_out()
    return [[[names[k], float(row[0, k])] for k in sorted(row.indices)] for row in matrix], matrix.astype(np.float32)


def main() -> None:
    words, matrix = rows(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=1))
    common, _ = rows(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2))
    chars, _ = rows(TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5), min_df=2))
    heads = []
    for loss, strengths in STRENGTHS.items():
        for strength in strengths:
            logits = []
            for label in range(3):
                targets = [label in labels for labels in LABELS]
                if loss == "logistic":
                    model = LogisticRegression(solver="liblinear", C=strength, tol=1e-12, max_iter=100_000)
                else:
                    model = LinearSVC(C=strength, dual=True, tol=1e-12, max_iter=1_000_000)
                logits.append(model.fit(matrix, targets).decision_function(matrix))
            heads.append({"loss": loss, "strength": strength, "logits": np.transpose(logits).tolist()})
    golden = {"texts": TEXTS, "words": words, "common_words": common, "common_chars": chars, "labels": LABELS, "heads": heads}
    lines = ",\n".join(f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in golden.items())
    (ROOT / "tests/golden/words.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
