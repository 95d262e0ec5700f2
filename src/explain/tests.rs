//! Which labels are kept; and explanations for the tests of those who show them.

use super::{Explanation, LabelExplanation, Neighbour, Vote, WordPull};
use crate::pipeline::evidence::Evidence;
use crate::text::article_passages::Field;
use crate::views::ViewKind;

const TITLE: &str = "Élysée: grain ships leave under escort";
const FIRST: &str = "Two frigates escorted the grain ships out of Odesa.";
const SECOND: &str = "« Le blé part », the minister said.";
const THIRD: &str = "Exports doubled to 3 million tonnes.";

fn text() -> String {
    format!("{FIRST} {SECOND}\n\n{THIRD} It rained.")
}

fn evidence(passage: &str, score: f64) -> Evidence {
    let text = text();
    let at = text.find(passage).unwrap();
    let start = text[..at].chars().count();
    Evidence {
        field: Field::Text,
        start,
        end: start + passage.chars().count(),
        text: passage.to_owned(),
        score,
        range: at..at + passage.len(),
    }
}

fn vote(view: ViewKind, weight: f64, probability: f64) -> Vote {
    Vote { view, weight, logit: (probability / (1.0 - probability)).ln(), probability }
}

fn words(words: &[(&str, f64)]) -> Vec<WordPull> {
    words.iter().map(|&(word, pull)| WordPull { word: word.to_owned(), pull }).collect()
}

fn neighbour(id: &str, title: Option<&str>, labels: &[&str], similarity: f64) -> Neighbour {
    Neighbour {
        id: id.to_owned(),
        title: title.map(str::to_owned),
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
        similarity,
    }
}

/// Two labels with a passage in common, a third that is not assigned, and everything else there is.
pub fn sample() -> Explanation {
    let label = |label: &str, probability, evidence, words| LabelExplanation {
        label: label.to_owned(),
        probability,
        threshold: Some(0.4),
        assigned: probability >= 0.4,
        votes: vec![vote(ViewKind::Document, 0.61, 0.8), vote(ViewKind::Words, 0.27, 0.3)],
        evidence,
        words,
    };
    let both = format!("{FIRST} {SECOND}");
    Explanation {
        id: "n-7".to_owned(),
        title: Some(TITLE.to_owned()),
        text: text(),
        labels: vec![
            label(
                "trade",
                0.9312,
                vec![evidence(THIRD, 0.97), evidence(FIRST, 0.58)],
                words(&[("exports", 0.41), ("grain ships", 0.2), ("rained", -0.03), ("minister", -0.11)]),
            ),
            label("defense", 0.52, vec![evidence(&both, 0.66)], words(&[("frigates", 0.8)])),
            label("energy", 0.02, vec![evidence("It rained.", 0.03)], words(&[("tonnes", -0.2)])),
        ],
        neighbours: vec![
            neighbour("t-1", Some("Corridor open"), &["trade", "defense"], 0.8123),
            neighbour("t-22", None, &[], -0.02),
        ],
    }
}

/// As of a model that knows nothing but embeddings and gives one label an article.
pub fn sample_of_one_label() -> Explanation {
    let mut explanation = sample();
    explanation.labels.truncate(1);
    explanation.neighbours.clear();
    explanation.title = None;
    let label = &mut explanation.labels[0];
    label.threshold = None;
    label.votes.truncate(1);
    label.evidence.truncate(1);
    label.words.clear();
    explanation
}

/// Markup and control characters wherever text comes from outside.
pub fn hostile() -> Explanation {
    const HOSTILE: &str = "<b>\"'&\u{0}\u{1b}[31m\u{9b}2J\u{202e}</b>";
    let mut explanation = sample();
    explanation.id = HOSTILE.to_owned();
    explanation.title = Some(HOSTILE.to_owned());
    explanation.text = HOSTILE.repeat(9);
    for label in &mut explanation.labels {
        label.label = HOSTILE.to_owned();
        label.evidence.iter_mut().for_each(|evidence| evidence.text = HOSTILE.to_owned());
        label.words.iter_mut().for_each(|word| word.word = HOSTILE.to_owned());
    }
    for neighbour in &mut explanation.neighbours {
        neighbour.id = HOSTILE.to_owned();
        neighbour.title = neighbour.title.as_ref().map(|_| HOSTILE.to_owned());
        neighbour.labels = vec![HOSTILE.to_owned()];
    }
    explanation
}

#[test]
fn the_assigned_labels_are_kept_or_else_the_most_probable_one() {
    let names = |explanation: &Explanation| -> Vec<String> {
        explanation.labels.iter().map(|label| label.label.clone()).collect()
    };
    let mut explanation = sample();
    explanation.keep_assigned();
    assert_eq!(names(&explanation), ["trade", "defense"]);
    explanation.labels.iter_mut().for_each(|label| label.assigned = false);
    explanation.keep_assigned();
    assert_eq!(names(&explanation), ["trade"]);
    let mut explanation = sample();
    explanation.keep_labels(&["energy".to_owned(), "trade".to_owned()]);
    assert_eq!(names(&explanation), ["trade", "energy"], "the most probable one stays first");
}
