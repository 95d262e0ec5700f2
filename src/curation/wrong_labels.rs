//! Labels of training articles that are likely wrong, as findings: a head that has not seen an article is asked what it thinks of its labels.

use ndarray::{ArrayView2, Axis};
use serde_json::json;
use thiserror::Error;

use super::finding::{Finding, FindingKind, Severity};
use super::{CurationError, LabelIssueSettings, label_issues};
use crate::data::{Article, TargetError, collect_targets};
use crate::labels::{LabelId, Task};
use crate::progress::{Progress, Quiet};
use crate::train::fit_head::CalibrationChoice;
use crate::train::{HeadSettings, TrainError, fit_head};
use crate::views::ViewKind;

/// Significant decimals of a quality, which is worth no more.
const QUALITY_DIGITS: f64 = 1e4;

/// Strength of the judging head: no search for the best, on which the order of articles hardly depends, and which takes most of the time.
const STRENGTH: f64 = 10.0;

/// Why wrong labels could not be looked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WrongLabelsError {
    #[error("cannot fit a head to judge labels by")]
    Fit(#[from] TrainError),
    #[error("cannot judge labels")]
    Judge(#[from] CurationError),
    #[error("cannot use the labels of the articles")]
    Targets(#[from] TargetError),
}

/// Likely wrong labels of articles, worst first, by cross-validation on their embeddings `[n_articles, hidden_size]`. Articles whose labels are not
/// known are left out; nothing is found where too few are known for cross-validation.
///
/// # Errors
/// Labels that make no task; [`TrainError::Interrupted`].
pub fn wrong_labels(
    articles: &[Article],
    embeddings: ArrayView2<f32>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Finding>, WrongLabelsError> {
    let known: Vec<usize> = (0..articles.len()).filter(|&row| articles[row].labels.is_some()).collect();
    let rows = known.iter().map(|&row| (articles[row].id.as_str(), articles[row].labels.as_deref()));
    let resolved = match collect_targets(rows, None, None) {
        Ok(resolved) if resolved.labels.len() > 1 => resolved,
        Ok(_) | Err(TargetError::NoArticles | TargetError::NoLabels) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let settings = HeadSettings {
        strengths: vec![STRENGTH],
        calibration: match resolved.targets.task() {
            Task::Single => CalibrationChoice::Temperature,
            Task::Multi => CalibrationChoice::Platt,
        },
        views: vec![ViewKind::Document],
        seed,
        ..HeadSettings::default()
    };
    let settings = settings.check()?;
    let embeddings = embeddings.select(Axis(0), &known);
    // Its warnings are about training.
    let fitted = fit_head(embeddings.view(), &resolved.targets, &resolved.labels, &settings, &Quiet(progress))?;
    let Some(cv) = fitted.cv else { return Ok(Vec::new()) };
    let found = label_issues(&resolved.targets, cv.oof_probabilities.view(), &LabelIssueSettings::default())?;
    let names = |ids: &[LabelId]| ids.iter().map(|&id| resolved.labels.name(id).to_owned()).collect::<Vec<_>>();
    let finding = |issue: super::LabelIssue| Finding {
        labels: [names(&issue.wrong), names(&issue.missing)].concat(),
        ..Finding::new(FindingKind::WrongLabel, Severity::Warning, vec![known[issue.row_idx]])
            .with("given", json!(names(&issue.given)))
            .with("suggested", json!(names(&issue.suggested)))
            .with("quality", (issue.quality * QUALITY_DIGITS).round() / QUALITY_DIGITS)
    };
    Ok(found.issues.into_iter().map(finding).collect())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::progress::Silent;

    fn labelled(labels: &[Option<&str>]) -> Vec<Article> {
        let article = |(i, label): (usize, &Option<&str>)| Article {
            labels: label.map(|label| vec![label.to_owned()]),
            ..Article::new(format!("a{i}"), "text")
        };
        labels.iter().enumerate().map(article).collect()
    }

    #[test]
    fn a_label_that_does_not_go_with_its_neighbours_is_found() {
        let mut labels: Vec<Option<&str>> = (0..60).map(|i| Some(["trade", "war"][i % 2])).collect();
        let embeddings =
            Array2::from_shape_fn((60, 2), |(i, j)| if i % 2 == j { 1.0 + (i as f32).sin() / 9.0 } else { 0.0 });
        labels[8] = Some("war");
        labels[9] = None;
        let found = wrong_labels(&labelled(&labels), embeddings.view(), 0, &Silent).unwrap();
        assert_eq!(found[0].rows, [8]);
        assert_eq!(found[0].detail["suggested"], json!(["trade"]));
        assert!(found.iter().all(|finding| finding.rows != [9]), "nothing is known of it");
    }

    #[test]
    fn where_nothing_can_be_held_out_nothing_is_found() {
        for labels in [&[Some("trade"), Some("war")][..], &[None, None], &[Some("trade"), Some("trade")]] {
            assert_eq!(wrong_labels(&labelled(labels), Array2::zeros((2, 2)).view(), 0, &Silent).unwrap(), []);
        }
    }
}
