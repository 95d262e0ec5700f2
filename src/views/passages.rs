//! The passages of an article judged one by one: the article's logit of a label is that of the passage that says it most clearly.

use ndarray::{Array2, ArrayView2};

use crate::heads::multi_instance::{Bags, max_pooled};
use crate::heads::{Head, HeadError, LinearHead};

/// A fitted view of an article's passages: a linear head on their embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct PassagesHead {
    head: LinearHead,
}

impl PassagesHead {
    /// A view by this head.
    pub fn new(head: LinearHead) -> Self {
        Self { head }
    }

    /// The head on passages.
    pub fn head(&self) -> &LinearHead {
        &self.head
    }

    /// Logits of every passage, `[n_passages, n_labels]`.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`].
    pub fn passage_logits(&self, passages: ArrayView2<f32>) -> Result<Array2<f64>, HeadError> {
        self.head.logits(passages)
    }

    /// Logits of articles, `[n_articles, n_labels]`: of each label the largest of its passages, of an article without passages the intercepts.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`].
    pub fn logits(&self, bags: Bags<'_>) -> Result<Array2<f64>, HeadError> {
        max_pooled(self.passage_logits(bags.passages)?.view(), bags.offsets, self.head.intercepts())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;
    use crate::labels::Task;

    #[test]
    fn the_clearest_passage_counts() {
        let head = LinearHead::new(Task::Multi, array![[1.0, 0.0], [0.0, 2.0]], Array1::from(vec![-1.0, 0.5])).unwrap();
        let view = PassagesHead::new(head);
        let passages = array![[3.0, 0.0], [0.0, 1.0], [-1.0, -1.0]];
        let logits = view.logits(Bags { passages: passages.view(), offsets: &[0, 2, 2, 3] }).unwrap();
        assert_eq!(logits, array![[2.0, 2.5], [-1.0, 0.5], [-2.0, -1.5]]);
    }
}
