//! The files of a bundle that hold matrices: heads on embeddings, what labels mean, training articles.

use std::path::Path;

use half::f16;
use ndarray::{Array1, Array2};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::store::BundleError;
use crate::heads::LinearHead;
use crate::labels::Task;
use crate::pipeline::neighbours::{KnownArticle, Neighbours};
use crate::scope::{Reference, Scope, ScopeParts};
use crate::views::descriptions::DescriptionsHead;

const WEIGHTS: &str = "weights";
const INTERCEPTS: &str = "intercepts";
const ANCHORS: &str = "anchors";
const LABELS: &str = "labels";
const EMBEDDINGS: &str = "embeddings";
const ARTICLES: &str = "articles";
const MEAN: &str = "mean";
const WHITENING: &str = "whitening";
const CENTERS: &str = "centers";
const STANDARDS: &str = "standards";
const SCORES: &str = "scores";
const RANKS: &str = "ranks";

fn bytes<'a, const N: usize, T: 'a>(numbers: impl IntoIterator<Item = &'a T>, of: fn(&T) -> [u8; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(of).collect()
}

fn f32_bytes(x: &f32) -> [u8; 4] {
    x.to_le_bytes()
}

/// The bytes of a head: `weights` `[n_labels, hidden_size]` and `intercepts` `[n_labels]`, F32.
pub(super) fn head_bytes(head: &LinearHead) -> Result<Vec<u8>, SafeTensorError> {
    let weights = bytes(head.weights(), f32_bytes);
    let intercepts = bytes(head.intercepts(), f32_bytes);
    let shape = head.weights().shape().to_vec();
    safetensors::serialize(
        [
            (INTERCEPTS, TensorView::new(Dtype::F32, vec![shape[0]], &intercepts)?),
            (WEIGHTS, TensorView::new(Dtype::F32, shape, &weights)?),
        ],
        None,
    )
}

/// The bytes of what labels mean: `anchors` `[n_anchors, hidden_size]` F32 and `labels` `[n_anchors]` U32.
pub(super) fn descriptions_bytes(descriptions: &DescriptionsHead) -> Result<Vec<u8>, SafeTensorError> {
    let anchors = bytes(descriptions.anchors(), f32_bytes);
    let labels = bytes(descriptions.anchor_labels(), |label| (*label as u32).to_le_bytes());
    let shape = descriptions.anchors().shape().to_vec();
    safetensors::serialize(
        [
            (LABELS, TensorView::new(Dtype::U32, vec![shape[0]], &labels)?),
            (ANCHORS, TensorView::new(Dtype::F32, shape, &anchors)?),
        ],
        None,
    )
}

/// The bytes of training articles: `embeddings` `[n_articles, hidden_size]` F16, and `articles`, a JSON list in U8.
pub(super) fn neighbours_bytes(neighbours: &Neighbours) -> Result<Vec<u8>, SafeTensorError> {
    let embeddings = bytes(neighbours.embeddings(), |x: &f16| x.to_le_bytes());
    let articles = serde_json::to_vec(neighbours.articles()).expect("strings are JSON");
    let shape = neighbours.embeddings().shape().to_vec();
    safetensors::serialize(
        [
            (EMBEDDINGS, TensorView::new(Dtype::F16, shape, &embeddings)?),
            (ARTICLES, TensorView::new(Dtype::U8, vec![articles.len()], &articles)?),
        ],
        None,
    )
}

/// The bytes of a scope: `mean` `[hidden_size]`, `whitening` `[hidden_size · (hidden_size + 1) / 2]` and `centers` `[n_classes, hidden_size]` F32; `standards`
/// `[4]` and `scores` `[n_scores]` F64; `ranks` `[n_scores + 1]` U64, the last of which is the number of articles.
pub(super) fn scope_bytes(scope: &Scope) -> Result<Vec<u8>, SafeTensorError> {
    let parts = scope.parts();
    let f64_bytes = |x: &f64| x.to_le_bytes();
    let (mean, whitening) = (bytes(&parts.mean, f32_bytes), bytes(&parts.whitening, f32_bytes));
    let centers = bytes(&parts.centers, f32_bytes);
    let standards = bytes(parts.distance.iter().chain(&parts.angle), f64_bytes);
    let scores = bytes(parts.reference.scores(), f64_bytes);
    let ranks = [parts.reference.ranks(), &[parts.reference.n_articles()]].concat();
    let n_ranks = ranks.len();
    let ranks = bytes(&ranks, |rank: &usize| (*rank as u64).to_le_bytes());
    safetensors::serialize(
        [
            (MEAN, TensorView::new(Dtype::F32, vec![parts.mean.len()], &mean)?),
            (WHITENING, TensorView::new(Dtype::F32, vec![parts.whitening.len()], &whitening)?),
            (CENTERS, TensorView::new(Dtype::F32, parts.centers.shape().to_vec(), &centers)?),
            (STANDARDS, TensorView::new(Dtype::F64, vec![4], &standards)?),
            (SCORES, TensorView::new(Dtype::F64, vec![n_ranks - 1], &scores)?),
            (RANKS, TensorView::new(Dtype::U64, vec![n_ranks], &ranks)?),
        ],
        None,
    )
}

/// A file's tensors, and where it lies, for messages.
pub(super) struct Tensors<'a> {
    tensors: SafeTensors<'a>,
    path: &'a Path,
}

impl<'a> Tensors<'a> {
    pub(super) fn read(bytes: &'a [u8], path: &'a Path) -> Result<Self, BundleError> {
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|source| BundleError::Tensors { path: path.to_owned(), source })?;
        Ok(Self { tensors, path })
    }

    /// The bytes of a tensor of this type and shape; `None` in a shape stands for any size.
    fn tensor(
        &self,
        tensor: &'static str,
        dtype: Dtype,
        expected: &[Option<usize>],
    ) -> Result<TensorView<'_>, BundleError> {
        let view = self
            .tensors
            .tensor(tensor)
            .map_err(|source| BundleError::Tensors { path: self.path.to_owned(), source })?;
        let fits = view.shape().len() == expected.len()
            && view.shape().iter().zip(expected).all(|(found, expected)| expected.is_none_or(|n| n == *found));
        if view.dtype() != dtype || !fits {
            let sizes: Vec<String> = expected.iter().map(|n| n.map_or("any".to_owned(), |n| n.to_string())).collect();
            return Err(BundleError::TensorShape {
                path: self.path.to_owned(),
                tensor,
                expected: format!("{dtype:?} [{}]", sizes.join(", ")),
                found: format!("{:?} {:?}", view.dtype(), view.shape()),
            });
        }
        Ok(view)
    }

    fn f32(&self, tensor: &'static str, expected: &[Option<usize>]) -> Result<Vec<f32>, BundleError> {
        let view = self.tensor(tensor, Dtype::F32, expected)?;
        Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn head(&self, task: Task, n_labels: usize, hidden_size: usize) -> Result<LinearHead, BundleError> {
        let weights = self.f32(WEIGHTS, &[Some(n_labels), Some(hidden_size)])?;
        let intercepts = self.f32(INTERCEPTS, &[Some(n_labels)])?;
        let weights = Array2::from_shape_vec((n_labels, hidden_size), weights).expect("the shape was checked");
        LinearHead::new(task, weights, Array1::from(intercepts))
            .map_err(|source| BundleError::Head { path: self.path.to_owned(), source })
    }

    pub(super) fn descriptions(&self, n_labels: usize, hidden_size: usize) -> Result<DescriptionsHead, BundleError> {
        let view = self.tensor(LABELS, Dtype::U32, &[None])?;
        let labels: Vec<usize> =
            view.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize).collect();
        let anchors = self.f32(ANCHORS, &[Some(labels.len()), Some(hidden_size)])?;
        let anchors = Array2::from_shape_vec((labels.len(), hidden_size), anchors).expect("the shape was checked");
        DescriptionsHead::new(anchors, labels, n_labels)
            .map_err(|source| BundleError::Head { path: self.path.to_owned(), source })
    }

    pub(super) fn scope(&self, hidden_size: usize) -> Result<Scope, BundleError> {
        let broken = |source| BundleError::Scope { path: self.path.to_owned(), source };
        let f64s = |view: TensorView<'_>| -> Vec<f64> {
            view.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
        };
        let mean = Array1::from(self.f32(MEAN, &[Some(hidden_size)])?);
        let n_centers = self.tensor(CENTERS, Dtype::F32, &[None, Some(hidden_size)])?.shape()[0];
        let centers = self.f32(CENTERS, &[None, Some(hidden_size)])?;
        let centers = Array2::from_shape_vec((n_centers, hidden_size), centers).expect("the shape was checked");
        let standards = f64s(self.tensor(STANDARDS, Dtype::F64, &[Some(4)])?);
        let scores = f64s(self.tensor(SCORES, Dtype::F64, &[None])?);
        let view = self.tensor(RANKS, Dtype::U64, &[Some(scores.len() + 1)])?;
        let mut ranks: Vec<usize> =
            view.data().as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize).collect();
        let n_articles = ranks.pop().expect("one more than there are scores");
        Scope::new(ScopeParts {
            mean,
            whitening: self.f32(WHITENING, &[None])?,
            centers,
            distance: [standards[0], standards[1]],
            angle: [standards[2], standards[3]],
            reference: Reference::new(scores, ranks, n_articles).map_err(broken)?,
        })
        .map_err(broken)
    }

    pub(super) fn neighbours(&self, hidden_size: usize) -> Result<Neighbours, BundleError> {
        let view = self.tensor(ARTICLES, Dtype::U8, &[None])?;
        let articles: Vec<KnownArticle> = serde_json::from_slice(view.data())
            .map_err(|source| BundleError::Articles { path: self.path.to_owned(), source })?;
        let view = self.tensor(EMBEDDINGS, Dtype::F16, &[Some(articles.len()), Some(hidden_size)])?;
        let numbers = view.data().as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
        let embeddings = Array2::from_shape_vec((articles.len(), hidden_size), numbers).expect("the shape was checked");
        Ok(Neighbours::new(articles, embeddings).expect("as many as were checked"))
    }
}
