//! A promise certified on articles that nothing was learned from.

use ndarray::Array2;

use super::TrainError;
use crate::calibration::contract::{Contract, ContractSettings};
use crate::data::{Article, DataError, collect_targets};
use crate::pipeline::Classifier;
use crate::progress::Progress;

impl Classifier {
    /// Makes the classifier keep a promise that articles certify which it did not learn from; then the guarantee of
    /// [`crate::calibration::contract`] is strict.
    ///
    /// # Errors
    /// The first error of the stream; articles without known labels, or with others than the classifier's; settings out of range.
    pub fn certify<I>(
        &mut self,
        articles: I,
        promised: &ContractSettings,
        progress: &dyn Progress,
    ) -> Result<(), TrainError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        promised.check()?;
        let mut known: Vec<(String, Option<Vec<String>>)> = Vec::new();
        let mut probabilities: Vec<f64> = Vec::new();
        self.predict_stream(articles, progress, |articles, predictions| {
            known.extend(articles.into_iter().map(|article| (article.id, article.labels)));
            predictions.iter().for_each(|prediction| probabilities.extend(&prediction.probabilities));
            Ok(())
        })?;
        let resolved = collect_targets(
            known.iter().map(|(id, labels)| (id.as_str(), labels.as_deref())),
            Some(&self.topics.labels),
            Some(self.topics.task()),
        )?;
        let shape = (known.len(), self.topics.labels.len());
        let probabilities = Array2::from_shape_vec(shape, probabilities).expect("one row an article");
        let ordinary = self.topics.thresholds.as_ref();
        self.topics.contract = Some(Contract::fit(probabilities.view(), &resolved.targets, ordinary, promised)?);
        Ok(())
    }
}
