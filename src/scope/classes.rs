//! Where the articles of each label lie, and how widely: a mean per label, one covariance for all.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1};

use super::shrinkage::{ledoit_wolf, squares};
use super::triangular::{dot, inverse_cholesky, packed_len, row};
use crate::labels::{LabelId, Targets};

/// Articles lie on their labels' means, but for rounding, where the variance around these is this share of that around the mean
/// of all: then the latter is the measure.
const MIN_WITHIN_SHARE: f64 = 1e-12;

/// Below this variance per column there is no spread at all, and plain distances serve. Its root is far enough from the limits of f32
/// for what is divided by it.
const MIN_VARIANCE: f64 = 1e-40;

/// Whitened points nearer to the mean of all than this have no direction, only rounding. Articles are at about the root of
/// `hidden_size`.
const MIN_LENGTH: f64 = 1e-6;

/// What two measures say of one article; both grow with unlikeness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measures {
    /// Squared Mahalanobis distance to the nearest class mean, at least 0.
    pub(super) distance: f64,
    /// Minus the cosine to the class mean that is nearest in direction, seen whitened from the mean of all; -1 to 1.
    pub(super) angle: f64,
}

/// Class means in whitened coordinates `z = L⁻¹ · (x − mean)`, where the covariance `L · Lᵀ` within classes is the identity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Classes {
    /// `[hidden_size]`
    pub(super) mean: Array1<f32>,
    /// `L⁻¹`, packed by rows.
    pub(super) whitening: Vec<f32>,
    /// `[n_classes, hidden_size]`
    pub(super) centers: Array2<f32>,
    lengths: Vec<f64>,
}

impl Classes {
    /// From numbers that fit each other and are finite.
    pub(super) fn new(mean: Array1<f32>, whitening: Vec<f32>, centers: Array2<f32>) -> Self {
        let centers = centers.as_standard_layout().into_owned();
        let lengths = centers.rows().into_iter().map(|center| squares(center.mapv(f64::from).view()).sqrt()).collect();
        Self { mean, whitening, centers, lengths }
    }

    /// Fits them on some rows, at least one.
    ///
    /// A class is a label, or having none; an article of several labels counts in equal parts for each. Its residual is what separates
    /// it from the mean of its labels' means.
    pub(super) fn fit(embeddings: ArrayView2<f32>, targets: &Targets, rows: &[usize]) -> Self {
        let hidden_size = embeddings.ncols();
        let n_labels = rows.iter().flat_map(|&i| targets.row(i)).map(|label| label.0 + 1).max().unwrap_or(0);
        let none = [LabelId(n_labels)];
        let classes_of = |i: usize| match targets.row(i) {
            [] => &none[..],
            labels => labels,
        };
        let mut mean = Array1::<f64>::zeros(hidden_size);
        let (mut sums, mut weights) = (Array2::<f64>::zeros((n_labels + 1, hidden_size)), vec![0.0; n_labels + 1]);
        for &i in rows {
            let (x, classes) = (embeddings.row(i), classes_of(i));
            let share = 1.0 / classes.len() as f64;
            mean.zip_mut_with(&x, |sum, &value| *sum += f64::from(value));
            for class in classes {
                weights[class.0] += share;
                sums.row_mut(class.0).zip_mut_with(&x, |sum, &value| *sum += share * f64::from(value));
            }
        }
        mean /= rows.len() as f64;
        for (mut sum, &weight) in sums.rows_mut().into_iter().zip(&weights) {
            if weight > 0.0 {
                sum /= weight;
            }
        }

        let around_mean = |i: usize, mut out: ArrayViewMut1<f64>| {
            out.assign(&embeddings.row(rows[i]).mapv(f64::from));
            out -= &mean;
        };
        let around_classes = |i: usize, mut out: ArrayViewMut1<f64>| {
            out.assign(&embeddings.row(rows[i]).mapv(f64::from));
            let classes = classes_of(rows[i]);
            for class in classes {
                out.scaled_add(-1.0 / classes.len() as f64, &sums.row(class.0));
            }
        };
        let mut total = 0.0;
        let mut centred = Array1::zeros(hidden_size);
        for i in 0..rows.len() {
            around_mean(i, centred.view_mut());
            total += squares(centred.view());
        }
        let mean_variance = total / (rows.len() * hidden_size.max(1)) as f64;
        let within = ledoit_wolf(rows.len(), hidden_size, around_classes);
        let covariance = if within.mean_variance > MIN_WITHIN_SHARE * mean_variance {
            within
        } else {
            ledoit_wolf(rows.len(), hidden_size, around_mean)
        };
        let whitening = if covariance.mean_variance > MIN_VARIANCE {
            inverse_cholesky(covariance.matrix.view(), covariance.shrinkage * covariance.mean_variance)
        } else {
            inverse_cholesky(Array2::eye(hidden_size).view(), 1.0)
        };

        let present: Vec<usize> = (0..=n_labels).filter(|&class| weights[class] > 0.0).collect();
        let mut centers = Array2::zeros((present.len(), hidden_size));
        for (mut center, &class) in centers.rows_mut().into_iter().zip(&present) {
            let offset = (&sums.row(class) - &mean).to_vec();
            center.iter_mut().enumerate().for_each(|(i, value)| *value = dot(row(&whitening, i), &offset) as f32);
        }
        let rounded = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        Self::new(mean.mapv(|value| value as f32), rounded(&whitening), centers)
    }

    pub(super) fn hidden_size(&self) -> usize {
        self.mean.len()
    }

    /// The measures of one embedding `[hidden_size]`.
    pub(super) fn measures(&self, embedding: ArrayView1<f32>) -> Measures {
        debug_assert_eq!(self.whitening.len(), packed_len(embedding.len()));
        let offset: Vec<f64> =
            embedding.iter().zip(&self.mean).map(|(&x, &mean)| f64::from(x) - f64::from(mean)).collect();
        let z: Vec<f64> = (0..offset.len()).map(|i| dot(row(&self.whitening, i), &offset)).collect();
        let square = dot(&z, &z);
        let length = square.sqrt();
        let (mut distance, mut cosine) = (f64::INFINITY, f64::NEG_INFINITY);
        for (center, &center_length) in self.centers.rows().into_iter().zip(&self.lengths) {
            let product = dot(center.to_slice().expect("centers are stored row by row"), &z);
            distance = distance.min(square - 2.0 * product + center_length.powi(2));
            let has_direction = length > MIN_LENGTH && center_length > MIN_LENGTH;
            cosine = cosine.max(if has_direction { product / (length * center_length) } else { 0.0 });
        }
        Measures { distance: distance.max(0.0), angle: -cosine }
    }
}
