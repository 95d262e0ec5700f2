#!/usr/bin/env python3
"""TF-IDF and a linear support vector machine by scikit-learn: the baseline of docs/results.md.

    scripts/compare_tfidf.py DATA...

Each DATA holds train.jsonl and test.jsonl. Sublinear TF-IDF of words and pairs; the strength by 5-fold cross-validation on the training
articles (accuracy, or micro-F1 where articles have several labels, each assigned at its plain margin).
"""

import json
import sys
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC

STRENGTHS = [0.1, 0.3, 1, 3, 10]


def main():
    for data in map(Path, sys.argv[1:]):
        train, test = ([json.loads(line) for line in (data / f"{part}.jsonl").open()] for part in ("train", "test"))
        texts = [[(row.get("title") or "") + "\n" + row["text"] for row in rows] for rows in (train, test)]
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        x, x_test = vectorizer.fit_transform(texts[0]), vectorizer.transform(texts[1])
        labels = [[row["labels"] for row in rows] for rows in (train, test)]
        if all(len(own) == 1 for rows in labels for own in rows):
            y, y_test = ([own[0] for own in rows] for rows in labels)
            make, score, name = lambda c: LinearSVC(C=c), accuracy_score, "accuracy"
        else:
            binarizer = MultiLabelBinarizer().fit(labels[0] + labels[1])
            y, y_test = (binarizer.transform(rows) for rows in labels)
            make, name = lambda c: OneVsRestClassifier(LinearSVC(C=c)), "micro-F1"
            score = lambda truth, guess: f1_score(truth, guess, average="micro")
        best = max(STRENGTHS, key=lambda c: score(y, cross_val_predict(make(c), x, y, cv=5)))
        guess = make(best).fit(x, y).predict(x_test)
        macro = f1_score(y_test, guess, average="macro")
        print(f"{data.name}: {name} {100 * score(y_test, guess):.1f}, macro-F1 {100 * macro:.1f}, C {best}", flush=True)


if __name__ == "__main__":
    main()
