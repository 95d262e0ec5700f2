//! Embedded articles to labels.

use ndarray::{Array2, ArrayView2};

use super::PipelineError;
use super::evidence::Evidence;
use super::review::{Doubt, Review};
use crate::calibration::Calibration;
use crate::calibration::contract::Contract;
use crate::calibration::restandardise::Restandardise;
use crate::calibration::thresholds::{Thresholds, decide};
use crate::heads::LinearHead;
use crate::labels::{LabelId, LabelSet, Task};
use crate::views::descriptions::DescriptionsHead;
use crate::views::metadata::MetadataHead;
use crate::views::passages::PassagesHead;
use crate::views::rules::Rules;
use crate::views::stack::Stack;
use crate::views::words::WordsHead;
use crate::views::{Features, View};

/// What a classifier says about one article.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The assigned labels, most probable first; one for `single`, any number for `multi`.
    pub labels: Vec<LabelId>,
    /// A calibrated probability for every label, in the order of the label set; for `single` they add up to 1.
    pub probabilities: Vec<f64>,
    /// For each assigned label the passages that carry it; empty unless asked for.
    pub evidence: Vec<Vec<Evidence>>,
    /// What is left to a person, where the classifier keeps a promise or tells what it was not made for; `labels` are then those
    /// that need none.
    pub review: Option<Review>,
}

/// What turns an embedded article into labels: everything learned, nothing of the encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicHead {
    pub labels: LabelSet,
    /// At least one; that of the document comes first.
    pub views: Vec<View>,
    /// The views' logits put together.
    pub stack: Stack,
    pub calibration: Calibration,
    /// Where training logits of each view lay, in the order of the views, out of fold and calibrated; empty where they are not remembered.
    pub moments: Vec<Restandardise>,
    /// Per label; `None` for `single`, where the most probable label is taken.
    pub thresholds: Option<Thresholds>,
    /// A promise that labels are assigned by, where one was asked for.
    pub contract: Option<Contract>,
}

impl TopicHead {
    /// Which kind of task it was fitted for.
    pub fn task(&self) -> Task {
        self.calibration.task()
    }

    /// The view of the document.
    ///
    /// # Panics
    /// When there is none.
    pub fn document(&self) -> &LinearHead {
        let document = self.views.iter().find_map(|view| match view {
            View::Document(head) => Some(head),
            _ => None,
        });
        document.expect("every classifier has this view")
    }

    /// The view of passages, where there is one.
    pub fn passages(&self) -> Option<&PassagesHead> {
        self.views.iter().find_map(|view| match view {
            View::Passages(passages) => Some(passages),
            _ => None,
        })
    }

    /// The view of the words, where there is one.
    pub fn words(&self) -> Option<&WordsHead> {
        self.views.iter().find_map(|view| match view {
            View::Words(words) => Some(&**words),
            _ => None,
        })
    }

    /// The view of what labels mean, where there is one.
    pub fn descriptions(&self) -> Option<&DescriptionsHead> {
        self.views.iter().find_map(|view| match view {
            View::Descriptions(descriptions) => Some(descriptions),
            _ => None,
        })
    }

    /// The hints, where they are a view.
    pub fn rules(&self) -> Option<&Rules> {
        self.views.iter().find_map(|view| match view {
            View::Rules(rules) => Some(rules),
            _ => None,
        })
    }

    /// The view of columns, where there is one.
    pub fn metadata(&self) -> Option<&MetadataHead> {
        self.views.iter().find_map(|view| match view {
            View::Metadata(metadata) => Some(metadata),
            _ => None,
        })
    }

    /// What each view says on its own, calibrated, in the order of the views: each `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`](crate::heads::HeadError::HiddenSize).
    pub fn calibrated_logits(&self, features: Features<'_>) -> Result<Vec<Array2<f64>>, PipelineError> {
        let calibrated = self.views.iter().zip(self.stack.calibrations()).map(|(view, calibration)| {
            let logits = view.logits(features)?;
            let own = if self.views.len() == 1 { &self.calibration } else { calibration };
            Ok(own.logits(logits.view())?)
        });
        calibrated.collect()
    }

    /// Probabilities `[n_articles, n_labels]` of what each view says, calibrated, in the order of the views.
    ///
    /// # Errors
    /// [`PipelineError::Calibration`]: logits for another number of labels.
    pub(super) fn probabilities_of(&self, calibrated: &[Array2<f64>]) -> Result<Array2<f64>, PipelineError> {
        let plain = Calibration::identity(self.task(), self.labels.len());
        if let [only] = calibrated {
            return Ok(plain.probabilities(only.view())?);
        }
        let mut sums = Array2::zeros((calibrated[0].nrows(), self.labels.len()));
        for (logits, &weight) in calibrated.iter().zip(self.stack.weights()) {
            sums.scaled_add(weight, logits);
        }
        Ok(self.calibration.probabilities(sums.view())?)
    }

    /// Calibrated probabilities, `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`](crate::heads::HeadError::HiddenSize).
    pub fn predict_proba(&self, features: Features<'_>) -> Result<Array2<f64>, PipelineError> {
        self.probabilities_of(&self.calibrated_logits(features)?)
    }

    /// Labels and probabilities of each article.
    ///
    /// # Errors
    /// As [`TopicHead::predict_proba`].
    pub fn predict(&self, features: Features<'_>) -> Result<Vec<Prediction>, PipelineError> {
        self.decide(self.predict_proba(features)?.view())
    }

    /// Labels by probabilities `[n_articles, n_labels]`: those of the contract where there is one.
    pub(super) fn decide(&self, probabilities: ArrayView2<f64>) -> Result<Vec<Prediction>, PipelineError> {
        let decisions = decide(probabilities, self.thresholds.as_ref())?;
        let rows = probabilities.rows().into_iter().zip(decisions.rows());
        rows.map(|(probabilities, decisions)| {
            let probabilities = probabilities.to_vec();
            let most_probable_first = |mut labels: Vec<LabelId>| {
                labels.sort_by(|a, b| probabilities[b.0].total_cmp(&probabilities[a.0]));
                labels
            };
            let (labels, review) = match &self.contract {
                None => ((0..decisions.len()).filter(|&k| decisions[k]).map(LabelId).collect(), None),
                Some(contract) => {
                    let decision = contract.decide(&probabilities, self.thresholds.as_ref())?;
                    let candidates = most_probable_first(decision.review);
                    let doubts = decision.reasons.into_iter().map(Doubt::Label).collect();
                    (decision.labels, Some(Review { candidates, doubts }))
                }
            };
            let labels = most_probable_first(labels);
            Ok(Prediction { labels, probabilities, evidence: Vec::new(), review })
        })
        .collect()
    }
}
