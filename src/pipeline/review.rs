//! Whether an article needs a person: labels that fall short of what was promised, and articles unlike those trained on.

use std::fmt;

use crate::calibration::contract::{Reason, Status};
use crate::labels::{LabelId, LabelSet};

/// Why an article needs a person.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Doubt {
    /// A label is not as sure as was promised.
    Label(Reason),
    /// The article is unlike those trained on.
    OutOfScope {
        /// Share of training articles that are at least as unlike the others.
        share: f64,
        /// Share from which an article counts as like them: of articles like them, so many are taken for unlike.
        limit: f64,
    },
}

/// What is left to a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Review {
    /// Labels to judge, most probable first; none of those that are assigned.
    pub candidates: Vec<LabelId>,
    /// Nothing where no person is needed.
    pub doubts: Vec<Doubt>,
}

impl Review {
    /// Whether a person is needed.
    pub fn status(&self) -> Status {
        if self.doubts.is_empty() { Status::Auto } else { Status::Review }
    }

    /// All reasons as text, with `; ` between them; `labels` are those of the classifier.
    pub fn reason(&self, labels: &LabelSet) -> String {
        let reasons: Vec<String> = self.doubts.iter().map(|doubt| DoubtText { doubt, labels }.to_string()).collect();
        reasons.join("; ")
    }
}

struct DoubtText<'a> {
    doubt: &'a Doubt,
    labels: &'a LabelSet,
}

impl fmt::Display for DoubtText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.doubt {
            Doubt::Label(reason) => reason.text(self.labels).fmt(f),
            Doubt::OutOfScope { share, limit } => write!(
                f,
                "unlike the training articles: {:.1} % of them are as unlike, fewer than {:.1} %",
                100.0 * share,
                100.0 * limit
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_together() {
        let labels = LabelSet::from_names(["trade"]).unwrap();
        let label = Reason::BelowContract { label: LabelId(0), probability: 0.7, threshold: 0.9 };
        let doubts = vec![Doubt::OutOfScope { share: 0.004, limit: 0.05 }, Doubt::Label(label)];
        let review = Review { candidates: vec![LabelId(0)], doubts };
        assert_eq!(review.status(), Status::Review);
        assert_eq!(
            review.reason(&labels),
            "unlike the training articles: 0.4 % of them are as unlike, fewer than 5.0 %; trade 0.70 is below 0.90, from where it is automatic"
        );
        assert_eq!((Review::default().status(), Review::default().reason(&labels)), (Status::Auto, String::new()));
    }
}
