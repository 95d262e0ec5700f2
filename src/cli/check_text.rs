//! Findings as a table for people, as JSON Lines, and as a file to decide in.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use clap::builder::styling::Style;
use serde_json::{Map, Value, json};

use super::printer::{counted, visible};
use super::terminal::{ColorArg, Look};
use super::wrapped::Wrapped;
use crate::curation::finding::{Finding, FindingKind, Severity};
use crate::data::Article;

/// Articles named of one group.
const MAX_NAMED: usize = 3;
/// Languages named.
const MAX_LANGUAGES: usize = 6;
/// Characters of an example that are not broken.
const MAX_WHOLE: usize = 45;
/// Characters of a text that the review file shows; conflicts and slips of labels are judged by how it begins.
const EXCERPT_CHARS: usize = 300;

/// Articles and what was found about them.
pub struct Checked {
    pub articles: Vec<Article>,
    /// Training, then each test input.
    pub parts: Vec<Part>,
    pub findings: Vec<Finding>,
}

/// Articles that came together.
pub struct Part {
    pub name: String,
    pub rows: Range<usize>,
}

impl Checked {
    fn id(&self, row: usize) -> &str {
        &self.articles[row].id
    }

    fn part(&self, row: usize) -> &str {
        self.parts.iter().find(|part| part.rows.contains(&row)).map_or("", |part| &part.name)
    }
}

/// One finding as a JSON object. `parts` says which input each of the `ids` is from, where there are several.
pub fn json(checked: &Checked, finding: &Finding) -> Value {
    let ids: Vec<&str> = finding.rows.iter().map(|&row| checked.id(row)).collect();
    let mut line = Map::new();
    line.insert("kind".into(), finding.kind.name().into());
    line.insert("severity".into(), finding.severity.name().into());
    line.insert("ids".into(), json!(ids));
    if checked.parts.len() > 1 {
        let parts: Vec<&str> = finding.rows.iter().map(|&row| checked.part(row)).collect();
        line.insert("parts".into(), json!(parts));
    }
    line.insert("labels".into(), json!(finding.labels));
    line.insert("detail".into(), Value::Object(finding.detail.clone()));
    Value::Object(line)
}

/// The training articles that a person should decide about, one JSON object each: with a decision filled in, a file of
/// corrections.
pub fn review(checked: &Checked) -> Vec<Value> {
    let n_train = checked.parts[0].rows.end;
    let mut concerned: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
    for finding in &checked.findings {
        let is_decidable = matches!(
            finding.kind,
            FindingKind::ConflictingLabels
                | FindingKind::WrongLabel
                | FindingKind::NoLabels
                | FindingKind::ImpliedLabel
                | FindingKind::TwinLabels
                | FindingKind::ExactDuplicates
        );
        // The first of several copies stays.
        let n_skipped = usize::from(finding.kind == FindingKind::ExactDuplicates);
        for &row in finding.rows.iter().skip(n_skipped).filter(|&&row| is_decidable && row < n_train) {
            concerned.entry(row).or_default().push(finding);
        }
    }
    let mut seen = HashSet::new();
    let concerned = concerned.into_iter().filter(|(row, _)| seen.insert(checked.id(*row)));
    concerned.map(|(row, findings)| review_line(checked, row, &findings)).collect()
}

fn review_line(checked: &Checked, row: usize, findings: &[&Finding]) -> Value {
    let article = &checked.articles[row];
    let mut line = Map::new();
    line.insert("id".into(), article.id.as_str().into());
    line.insert("title".into(), json!(article.title));
    line.insert("text".into(), article.text.chars().take(EXCERPT_CHARS).collect::<String>().into());
    line.insert("labels".into(), json!(article.labels));
    if let Some(suggested) = findings.iter().find_map(|finding| suggestion(article, finding)) {
        line.insert("suggested".into(), suggested);
    }
    let reasons: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let others: Vec<Value> = finding
                .rows
                .iter()
                .filter(|&&other| other != row)
                .take(MAX_NAMED)
                .map(|&other| json!({"id": checked.id(other), "labels": checked.articles[other].labels}))
                .collect();
            match finding.kind {
                FindingKind::ConflictingLabels | FindingKind::ExactDuplicates => {
                    json!({"kind": finding.kind.name(), "like": others})
                }
                _ => json!({"kind": finding.kind.name(), "labels": finding.labels}),
            }
        })
        .collect();
    line.insert("findings".into(), reasons.into());
    line.insert("decision".into(), Value::Null);
    Value::Object(line)
}

/// The labels that a finding would give the article.
fn suggestion(article: &Article, finding: &Finding) -> Option<Value> {
    match finding.kind {
        FindingKind::ImpliedLabel | FindingKind::TwinLabels => {
            let mut labels = article.labels.clone()?;
            labels.extend(finding.labels.iter().filter(|name| !labels.contains(name)).cloned().collect::<Vec<_>>());
            Some(labels.into())
        }
        _ => finding.detail.get("suggested").cloned(),
    }
}

/// How often each kind was found, with examples, the worst first.
pub fn table(checked: &Checked, n_examples: usize) -> String {
    let look = Look::of_stdout(ColorArg::Never);
    let mut lines = Wrapped::new(look.width);
    let plain = Style::new();
    lines.push(&heading(checked), plain);
    if checked.findings.iter().all(|finding| finding.kind == FindingKind::Languages) {
        lines.blank(0);
        lines.push("nothing found", plain);
    }
    let n_name = FindingKind::ALL.iter().map(|kind| kind.name().len()).max().unwrap_or(0);
    let n_count = checked.findings.len().to_string().len().max(3);
    for severity in Severity::ALL {
        let of_severity: Vec<&Finding> = checked.findings.iter().filter(|f| f.severity == severity).collect();
        if of_severity.is_empty() {
            continue;
        }
        lines.blank(0);
        lines.push(&format!("{}s", severity.name()), plain);
        for kind in FindingKind::ALL {
            let found: Vec<&Finding> = of_severity.iter().copied().filter(|f| f.kind == *kind).collect();
            let Some(first) = found.first() else { continue };
            lines.line(2);
            // Findings of these kinds stand for all their articles together.
            let n = match kind {
                FindingKind::Unlabelled | FindingKind::NoLabels | FindingKind::TitleRepeated => first.rows.len(),
                FindingKind::Languages => first.detail["n"].as_object().map_or(0, Map::len),
                FindingKind::OtherLanguage => found.iter().map(|f| f.rows.len()).sum(),
                _ => found.len(),
            };
            lines.push_fixed(&format!("{:n_name$}  {n:>n_count$}  ", kind.name()), plain);
            lines.hang(2 + n_name + 2 + n_count + 2);
            lines.push(kind.meaning(), plain);
            let examples = examples(checked, &found, n_examples);
            if !examples.is_empty() {
                lines.line(2 + n_name + 2 + n_count + 2);
                lines.push(&examples, plain);
            }
        }
    }
    lines.finish()
}

fn heading(checked: &Checked) -> String {
    let n = |severity| checked.findings.iter().filter(|f| f.severity == severity).count() as u64;
    let articles = counted(checked.articles.len() as u64, "article");
    let parts: Vec<String> =
        checked.parts.iter().map(|part| format!("{} in {}", part.rows.len(), visible(&part.name))).collect();
    let parts = if parts.len() > 1 { format!(" ({})", parts.join(", ")) } else { String::new() };
    let [errors, warnings, notes] = Severity::ALL.map(|severity| counted(n(severity), severity.name()));
    format!("{articles}{parts}: {errors}, {warnings}, {notes}")
}

/// The first findings of a kind in a few words each.
fn examples(checked: &Checked, found: &[&Finding], n_examples: usize) -> String {
    let texts: Vec<String> = match found {
        // One finding of many articles.
        [one] if matches!(one.kind, FindingKind::Unlabelled | FindingKind::NoLabels | FindingKind::TitleRepeated) => {
            one.rows.iter().map(|&row| unbroken(checked.id(row))).collect()
        }
        _ => found.iter().take(n_examples).map(|finding| example(checked, finding)).collect(),
    };
    let n = found.len().max(texts.len());
    let shown = texts.iter().take(n_examples).map(|text| whole(text)).collect::<Vec<_>>().join(", ");
    let has_more = n_examples > 0 && n > n_examples;
    shown + if has_more { ", …" } else { "" }
}

fn example(checked: &Checked, finding: &Finding) -> String {
    let ids = |sign: &str| -> String {
        let named: Vec<String> = finding.rows.iter().take(MAX_NAMED).map(|&row| unbroken(checked.id(row))).collect();
        let n_more = finding.rows.len().saturating_sub(MAX_NAMED);
        let more = if n_more > 0 {
            format!("{}{n_more}\u{a0}more", if sign == " " { " and " } else { sign })
        } else {
            String::new()
        };
        named.join(sign) + &more
    };
    let detail = |name: &str| finding.detail.get(name).cloned().unwrap_or_default();
    let labels: Vec<String> = finding.labels.iter().map(|name| visible(name)).collect();
    let sign = if detail("exact") == true { "\u{a0}=\u{a0}" } else { "\u{a0}~\u{a0}" };
    match finding.kind {
        FindingKind::UnusableRow => {
            format!(
                "{}: {}",
                unbroken(detail("place").as_str().unwrap_or("")),
                visible(detail("reason").as_str().unwrap_or(""))
            )
        }
        FindingKind::Leakage => ids(sign),
        FindingKind::ConflictingLabels => format!("{} ({})", ids(sign), labels.join(" | ")),
        FindingKind::ExactDuplicates => ids("\u{a0}=\u{a0}"),
        FindingKind::NearDuplicates => ids("\u{a0}~\u{a0}"),
        FindingKind::WrongLabel => format!("{} ({})", ids(" "), labels.join(" | ")),
        FindingKind::RareLabel | FindingKind::LabelNotInTrain => format!("{} ({})", labels.join(""), detail("n")),
        FindingKind::LabelNotInTest => format!("{} ({})", labels.join(""), detail("n_train")),
        FindingKind::SimilarLabelNames => {
            let counts = detail("n");
            let with = |at: usize| format!("{} ({})", labels.get(at).map_or("", String::as_str), counts[at]);
            format!("{} / {}", with(0), with(1))
        }
        FindingKind::TwinLabels | FindingKind::ImpliedLabel => {
            let arrow = if finding.kind == FindingKind::TwinLabels { " = " } else { " → " };
            let exceptions = match finding.rows.len() {
                0 => String::new(),
                _ => format!(", but {}", ids(" ")),
            };
            format!("{} ({}{exceptions})", labels.join(arrow), detail("n_both"))
        }
        FindingKind::NeverTogether => {
            format!("{} ({:.0} expected)", labels.join(" + "), detail("expected").as_f64().unwrap_or(0.0))
        }
        FindingKind::Boilerplate => {
            format!("“{}” ({})", visible(detail("passage").as_str().unwrap_or("")), detail("n"))
        }
        FindingKind::OtherLanguage => format!("{}: {}", detail("language").as_str().unwrap_or(""), ids(" ")),
        FindingKind::Languages => {
            let counts = detail("n").as_object().cloned().unwrap_or_default();
            let named: Vec<String> =
                counts.iter().take(MAX_LANGUAGES).map(|(language, n)| format!("{language}\u{a0}{n}")).collect();
            format!("{}, not\u{a0}told\u{a0}{}", named.join(", "), detail("n_unknown"))
        }
        FindingKind::Mojibake | FindingKind::Markup | FindingKind::ControlCharacter => {
            let found: Vec<String> =
                detail("examples").as_array().into_iter().flatten().filter_map(Value::as_str).map(visible).collect();
            format!("{} ({})", ids(" "), found.join(" "))
        }
        _ => ids(" "),
    }
}

/// A short example stays on one line.
fn whole(text: &str) -> String {
    if text.chars().count() <= MAX_WHOLE { text.replace(' ', "\u{a0}") } else { text.to_owned() }
}

/// An id as it is shown, on one line.
fn unbroken(id: &str) -> String {
    visible(id).replace(' ', "\u{a0}")
}
