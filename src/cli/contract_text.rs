//! A promise as text: what was certified, what it costs, and how it was kept.

use super::printer::Table;
use crate::calibration::contract::{Certificate, Contract, Expected, Kept, KeptShare, Promise, Scope};
use crate::labels::LabelSet;

/// After training: thresholds with their evidence, and how much is left to a person.
pub fn fitted<'a>(contract: &Contract, labels: impl Iterator<Item = &'a str>) -> String {
    let mut table = Table::new(&["", "from", "articles", counted_word(contract.promise), "at least", "p-value"]);
    let names: Vec<&str> = match contract.scope {
        Scope::PerLabel => labels.collect(),
        Scope::AllLabels => vec!["all labels"],
    };
    for (name, certificate) in names.into_iter().zip(&contract.certificates) {
        table.row(certificate_row(name, certificate));
    }
    let n_never = contract.certificates.iter().filter(|certificate| certificate.threshold.is_none()).count();
    let never = match (n_never, contract.promise) {
        (0, _) => String::new(),
        (n, Promise::Precision(_)) => format!(
            "{n} without a threshold: too few articles, or too many mistakes, to be sure; never assigned without a person\n"
        ),
        (n, Promise::Recall(_)) => {
            format!("{n} without a threshold: too few articles to be sure; nothing is promised of them\n")
        }
    };
    format!(
        "\n{}:\n\n{}{never}\nexpected of articles like these:\n{}",
        promised(contract.promise, contract.scope, contract.delta),
        table.render(),
        load(&contract.expected)
    )
}

/// After evaluation.
pub fn kept(kept: &Kept, labels: &LabelSet) -> String {
    let mut table = Table::new(&["", "n", counted_word(kept.promise), "share", "95 % interval"]);
    let row = |name: &str, share: &KeptShare| {
        let interval = share.interval.map_or("–".to_owned(), |[low, high]| format!("{low:.3} to {high:.3}"));
        let value = share.share.map_or("–".to_owned(), |share| format!("{share:.3}"));
        vec![name.to_owned(), share.n.to_string(), share.n_right.to_string(), value, interval]
    };
    table.row(row("all labels", &kept.all));
    for (name, share) in labels.names().zip(&kept.per_label) {
        table.row(row(name, share));
    }
    let mean = match kept.mean_of_articles {
        Some(mean) => format!("mean over articles of the share of their labels: {mean:.3}\n"),
        None => String::new(),
    };
    format!(
        "\n{}; here:\n\n{}{mean}\n{}(expected: {:.1} % without a person)\n",
        promised(kept.promise, kept.scope, kept.delta),
        table.render(),
        load(&kept.came),
        100.0 * kept.expected.coverage
    )
}

fn promised(promise: Promise, scope: Scope, delta: f64) -> String {
    let over = match scope {
        Scope::PerLabel => "for each label",
        Scope::AllLabels => "over all labels",
    };
    format!("promised {over}: {promise}, with a risk of {delta} that it fails")
}

fn counted_word(promise: Promise) -> &'static str {
    match promise {
        Promise::Precision(_) => "right",
        Promise::Recall(_) => "found",
    }
}

fn certificate_row(name: &str, certificate: &Certificate) -> Vec<String> {
    vec![
        name.to_owned(),
        certificate.threshold.map_or("–".to_owned(), |threshold| format!("{threshold:.3}")),
        certificate.n_articles.to_string(),
        certificate.n_right.to_string(),
        format!("{:.3}", certificate.lower_bound),
        format!("{:.4}", certificate.p_value),
    ]
}

fn load(expected: &Expected) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    format!(
        "  {} of the articles need no person ({} with a label), {} are for review, with {:.2} labels an article to judge\n  {} of all labels are assigned without a person\n",
        percent(expected.coverage),
        percent(expected.labelled),
        percent(expected.review_load),
        if expected.review_load > 0.0 { expected.review_labels / expected.review_load } else { 0.0 },
        percent(expected.automatic_labels),
    )
}
