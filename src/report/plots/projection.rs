//! Embeddings in two dimensions.

use bhtsne::{Neighbor, tSNE};
use ndarray::{Array2, ArrayView2, Axis};

use crate::heads::symmetric_eigen;

/// Neighbours that count for a point, about; van der Maaten & Hinton 2008 find that 5 to 50 make little difference.
const PERPLEXITY: f32 = 20.0;

/// Fewer points have no neighbourhoods to speak of.
const MIN_POINTS: usize = 10;

/// Half of the usual 1000: on 1000 embeddings the picture is settled by then.
const N_EPOCHS: usize = 500;

/// How coarsely far points are put together; the customary value (van der Maaten 2014).
const THETA: f32 = 0.5;

/// Spread of the start, as of the random one that it stands for.
const START_SPREAD: f64 = 1e-4;

/// The two directions in which embeddings differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[n, 2]`
    pub points: Array2<f64>,
    /// Share of the variance along either, 0 to 1.
    pub explained: [f64; 2],
}

/// Principal components of embeddings `[n, hidden_size]`; of each, the coefficient that is furthest from 0 is positive.
///
/// As scikit-learn's `PCA(n_components=2)`. `None` where all embeddings are the same, or one is not finite.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::report::plots::projection::pca;
/// let found = pca(array![[0.0f32, 0.0], [2.0, 2.0], [4.0, 4.0]].view()).unwrap();
/// assert!((found.points[[2, 0]] - 8f64.sqrt()).abs() < 1e-12 && found.explained[0] > 0.999);
/// assert!(pca(array![[1.0f32, 2.0], [1.0, 2.0]].view()).is_none());
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn pca(embeddings: ArrayView2<f32>) -> Option<Pca> {
    let (n, hidden_size) = embeddings.dim();
    if n < 2 || hidden_size == 0 || embeddings.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut centered = embeddings.mapv(f64::from);
    centered -= &centered.mean_axis(Axis(0))?;
    let scatter = centered.t().dot(&centered);
    let total = scatter.diag().sum();
    if total <= f64::EPSILON {
        return None;
    }
    let eigen = symmetric_eigen(scatter);
    let mut order: Vec<usize> = (0..hidden_size).collect();
    order.sort_by(|&a, &b| eigen.values[b].total_cmp(&eigen.values[a]));
    let mut points = Array2::zeros((n, 2));
    let mut explained = [0.0; 2];
    for (axis, &component) in order.iter().take(2).enumerate() {
        let direction = eigen.vectors.row(component);
        let furthest = direction.iter().fold(0.0f64, |best, &x| if x.abs() > best.abs() { x } else { best });
        points.column_mut(axis).assign(&(centered.dot(&direction) * furthest.signum()));
        explained[axis] = eigen.values[component].max(0.0) / total;
    }
    Some(Pca { points, explained })
}

/// Barnes-Hut t-SNE of embeddings `[n, hidden_size]`, `[n, 2]`: points that are neighbours stay neighbours, distances between groups
/// mean little.
///
/// It starts from `start`, the principal components, and nothing in it is random. `None` for fewer than 10 points. Source: van der Maaten
/// 2014, "Accelerating t-SNE using Tree-Based Algorithms"; the crate bhtsne. That crate's sums follow the order in which threads are
/// done, so it is given one thread, which makes the result the same on any number of them.
pub fn tsne(embeddings: ArrayView2<f32>, start: &Pca) -> Option<Array2<f64>> {
    let n = embeddings.nrows();
    if n < MIN_POINTS {
        return None;
    }
    let perplexity = PERPLEXITY.min((n - 1) as f32 / 3.0);
    let neighbours = neighbours(embeddings, (3.0 * perplexity) as usize);
    let spread = (start.points.column(0).mapv(|x| x * x).mean()?).sqrt();
    let start: Vec<f32> = start.points.iter().map(|x| (START_SPREAD * x / spread) as f32).collect();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    let placed = alone.install(|| {
        let rows: Vec<u32> = (0..n as u32).collect();
        let mut fit: tSNE<'_, f32, u32> = tSNE::new(&rows);
        fit.perplexity(perplexity).epochs(N_EPOCHS).initial_embedding(start);
        fit.barnes_hut_with_neighbors(THETA, &neighbours);
        fit.embedding()
    });
    let is_sound = placed.iter().all(|x| x.is_finite());
    let placed = Array2::from_shape_vec((n, 2), placed).ok()?;
    is_sound.then(|| placed.mapv(f64::from))
}

/// The nearest points of each, by Euclidean distance, nearest first.
fn neighbours(embeddings: ArrayView2<f32>, n_nearest: usize) -> Vec<Vec<Neighbor<f32>>> {
    let products = embeddings.dot(&embeddings.t());
    let squares = products.diag().to_owned();
    let nearest = |i: usize| {
        let row = products.row(i);
        let mut all: Vec<(f32, usize)> = (0..row.len())
            .filter(|&j| j != i)
            .map(|j| ((squares[i] + squares[j] - 2.0 * row[j]).max(0.0).sqrt(), j))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(n_nearest).map(|(distance, index)| Neighbor { index, distance }).collect()
    };
    (0..products.nrows()).map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, s};
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    /// Three groups of 20 around axes of their own.
    fn groups() -> Array2<f32> {
        let mut rng = generator(0, "projection test");
        Array2::from_shape_fn((60, 6), |(i, j)| {
            f32::from(u8::from(i / 20 == j)) + 0.05 * rng.random_range(-1.0f32..1.0)
        })
    }

    #[test]
    fn groups_stay_together() {
        let points = groups();
        let start = pca(points.view()).unwrap();
        let placed = tsne(points.view(), &start).unwrap();
        for found in [&start.points, &placed] {
            for i in 0..60 {
                let distance = |j: usize| (&found.row(i) - &found.row(j)).mapv(|x| x * x).sum();
                let nearest = (0..60).filter(|&j| j != i).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap();
                assert_eq!(i / 20, nearest / 20);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let points = groups();
        let start = pca(points.view()).unwrap();
        let with = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| tsne(points.view(), &start).unwrap())
        };
        assert_eq!(with(1), with(4));
    }

    #[test]
    fn what_has_no_picture_has_none() {
        assert!(pca(array![[1.0f32, 2.0]].view()).is_none());
        assert!(pca(array![[f32::NAN, 2.0], [1.0, 0.0]].view()).is_none());
        let few = groups().slice(s![..9, ..]).to_owned();
        assert!(tsne(few.view(), &pca(few.view()).unwrap()).is_none());
        let line = pca(array![[0.0f32], [1.0], [3.0]].view()).unwrap();
        assert!(line.points.column(1).iter().all(|&x| x == 0.0) && (line.explained[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn equal_embeddings_do_not_break_it() {
        let points = Array2::from_shape_fn((40, 3), |(i, j)| if i < 39 { j as f32 } else { 1.0 });
        let start = pca(points.view()).unwrap();
        assert!(tsne(points.view(), &start).is_none_or(|placed| placed.iter().all(|x| x.is_finite())));
    }
}
