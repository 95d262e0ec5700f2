//! Articles that are the same, or nearly so, in time that grows with their number and not with its square.

use std::collections::{BTreeSet, HashMap, HashSet};

use ndarray::ArrayView2;
use rayon::prelude::*;
use twox_hash::XxHash3_64;

use super::CurationError;
use super::minhash::{SIGNATURE_LEN, Signature, agreement, signature};
use super::shingles::{jaccard, normalized, shingles};
use crate::progress::{Event, Progress};

/// Places of a signature that must agree for two articles to be compared; each such run of places is a band.
const BAND_LEN: usize = 4;
const N_BANDS: usize = SIGNATURE_LEN / BAND_LEN;

/// Estimates this far below the least similarity are still looked into: three standard deviations at a similarity of one half.
const ESTIMATE_SLACK: f64 = 0.13;

/// Articles of the same band that an article is compared with: this many just before it, and this many of the first.
/// More share a band only where many texts are alike, and are then found through one another.
const MAX_COMPARED: usize = 8;

/// Clusters of up to this many articles have all their pairs listed, larger ones enough to hold them together.
pub(super) const MAX_LISTED_CLUSTER: usize = 16;

/// Articles between two looks at whether to stop.
const CHUNK: usize = 8192;

/// What counts as nearly the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DuplicateSettings {
    /// Characters of a shingle, at least 1.
    pub shingle_chars: usize,
    /// Least Jaccard similarity of the shingles of two near-duplicates where embeddings confirm it, in (0, 1].
    pub min_jaccard: f64,
    /// The same where there are no embeddings.
    pub min_jaccard_alone: f64,
    /// From this Jaccard similarity on embeddings are not asked.
    pub sure_jaccard: f64,
    /// Least cosine of embeddings that confirms.
    pub min_cosine: f64,
}

/// Measured on news with changed bylines, cut or added ends, other words and slips of the pen: `docs/results.md`.
impl Default for DuplicateSettings {
    fn default() -> Self {
        Self { shingle_chars: 5, min_jaccard: 0.6, min_jaccard_alone: 0.7, sure_jaccard: 0.8, min_cosine: 0.75 }
    }
}

/// Two articles that are the same or nearly so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DuplicatePair {
    /// The earlier article.
    pub a: usize,
    /// The later one.
    pub b: usize,
    /// Jaccard similarity of their shingles.
    pub jaccard: f64,
    /// Cosine of their embeddings, where there are embeddings.
    pub cosine: Option<f64>,
    /// Whether they have the same words in the same order; case, punctuation and white space may differ.
    pub is_exact: bool,
}

/// Which articles are the same or nearly so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Duplicates {
    /// The cluster of each article, counted from 0 in the order of their first articles. Most clusters hold one article.
    pub cluster_of: Vec<usize>,
    /// The first article with the same words.
    pub first_same: Vec<usize>,
    /// Pairs that hold the clusters together, ascending. Of articles with the same words each is paired with the first only, and
    /// only the first with others; clusters of more than 16 different texts lack some pairs beside.
    pub pairs: Vec<DuplicatePair>,
}

impl Duplicates {
    /// Number of clusters.
    pub fn n_clusters(&self) -> usize {
        self.cluster_of.iter().max().map_or(0, |last| last + 1)
    }

    /// The articles of each cluster that has several, ascending.
    pub fn clusters(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.n_clusters()];
        self.cluster_of.iter().enumerate().for_each(|(row, &cluster)| members[cluster].push(row));
        members.retain(|rows| rows.len() > 1);
        members
    }

    /// The listed pair of two articles, the earlier first.
    pub fn pair(&self, a: usize, b: usize) -> Option<&DuplicatePair> {
        self.pairs.binary_search_by_key(&(a, b), |pair| (pair.a, pair.b)).ok().map(|at| &self.pairs[at])
    }

    /// The listed pairs of different texts among some articles, ascending.
    pub(super) fn pairs_among(&self, rows: &BTreeSet<usize>) -> Vec<&DuplicatePair> {
        let of = |&a: &usize| {
            let start = self.pairs.partition_point(|pair| pair.a < a);
            self.pairs[start..].iter().take_while(move |pair| pair.a == a)
        };
        rows.iter().flat_map(of).filter(|pair| !pair.is_exact && rows.contains(&pair.b)).collect()
    }
}

/// Finds articles with the same words, and those whose texts are nearly the same.
///
/// Texts are compared by their shingles, runs of a few characters of the [`normalized`] text. Articles whose MinHash signatures agree in
/// one of 32 bands of 4 places are candidates, with a probability of `1 − (1 − J⁴)³²` at a Jaccard similarity `J`: 0.988 at
/// 0.6, 0.9998 at 0.7. What is reported was confirmed by the Jaccard similarity itself, and by the
/// cosine of the embeddings where they are given and the similarity leaves a doubt. Clusters are connected components.
///
/// Work and memory grow in proportion to the text, even where all texts are the same: each article is compared with at most 16
/// others of a band. 512 bytes an article are held beside what is returned. The result does not depend on the number of
/// threads.
///
/// # Shapes
/// `embeddings` `[n_texts, hidden_size]`, of any length each.
///
/// # Errors
/// [`CurationError::Setting`], [`CurationError::EmbeddingRows`], [`CurationError::Interrupted`].
///
/// # Source
/// Broder 1997, "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman & Ullman 2020, "Mining of massive
/// datasets", section 3.4.
///
/// # Example
/// ```
/// use topicwire::curation::duplicates::{DuplicateSettings, find_duplicates};
/// use topicwire::progress::Silent;
/// let wire = "Ships carrying grain left the harbour of Odesa on Monday, the port authority said in a statement.";
/// let copy = format!("KYIV (Agency) - {wire}");
/// let texts = [wire, "Tariffs on steel will rise again, the minister said.", &copy];
/// let found = find_duplicates(&texts, None, &DuplicateSettings::default(), &Silent)?;
/// assert_eq!(found.cluster_of, [0, 1, 0]);
/// assert!(found.pairs[0].jaccard > 0.8 && !found.pairs[0].is_exact);
/// # Ok::<(), topicwire::curation::CurationError>(())
/// ```
pub fn find_duplicates<S: AsRef<str> + Sync>(
    texts: &[S],
    embeddings: Option<ArrayView2<'_, f32>>,
    settings: &DuplicateSettings,
    progress: &dyn Progress,
) -> Result<Duplicates, CurationError> {
    settings.check()?;
    if let Some(embeddings) = embeddings
        && embeddings.nrows() != texts.len()
    {
        return Err(CurationError::EmbeddingRows { expected: texts.len(), found: embeddings.nrows() });
    }
    progress.event(Event::Started { stage: "comparing texts", total: Some(texts.len() as u64) });
    let finder = Finder { texts, embeddings, settings };
    let found = finder.run(progress);
    progress.event(Event::Finished);
    found
}

impl DuplicateSettings {
    fn check(&self) -> Result<(), CurationError> {
        let is_share = |value: f64| value > 0.0 && value <= 1.0;
        let wrong = |name, found: f64, expected| Err(CurationError::Setting { name, found, expected });
        if self.shingle_chars == 0 {
            return wrong("shingle_chars", 0.0, "at least 1");
        }
        for (name, value) in [
            ("min_jaccard", self.min_jaccard),
            ("min_jaccard_alone", self.min_jaccard_alone),
            ("sure_jaccard", self.sure_jaccard),
        ] {
            if !is_share(value) {
                return wrong(name, value, "above 0, at most 1");
            }
        }
        if !(-1.0..=1.0).contains(&self.min_cosine) {
            return wrong("min_cosine", self.min_cosine, "-1 to 1");
        }
        Ok(())
    }
}

struct Finder<'a, S> {
    texts: &'a [S],
    embeddings: Option<ArrayView2<'a, f32>>,
    settings: &'a DuplicateSettings,
}

impl<S: AsRef<str> + Sync> Finder<'_, S> {
    fn run(&self, progress: &dyn Progress) -> Result<Duplicates, CurationError> {
        let first_same = self.first_same();
        let mut pairs: Vec<DuplicatePair> = Vec::new();
        let mut clusters = Clusters::new(self.texts.len());
        for (row, &first) in first_same.iter().enumerate().filter(|(row, first)| row != *first) {
            clusters.join(first, row);
            pairs.push(DuplicatePair {
                a: first,
                b: row,
                jaccard: 1.0,
                cosine: self.cosine(first, row),
                is_exact: true,
            });
        }
        let rows: Vec<usize> = (0..first_same.len()).filter(|&row| first_same[row] == row).collect();
        // Different texts only count as one here.
        let mut different = Clusters::new(self.texts.len());
        let mut signatures: Vec<Signature> = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(CHUNK) {
            if progress.is_cancelled() {
                return Err(CurationError::Interrupted);
            }
            signatures.par_extend(chunk.par_iter().map(|&row| signature(&self.shingles(row))));
            progress.event(Event::Advanced { n_items: chunk.len() as u64, n_tokens: 0 });
        }
        let mut tried: HashSet<(usize, usize)> = HashSet::new();
        for band in 0..N_BANDS {
            if progress.is_cancelled() {
                return Err(CurationError::Interrupted);
            }
            let mut candidates = candidates(&rows, &signatures, band, self.least_jaccard() - ESTIMATE_SLACK);
            candidates.retain(|&(a, b)| !different.is_settled(a, b) && tried.insert((a, b)));
            for pair in self.confirmed(&candidates) {
                different.join(pair.a, pair.b);
                clusters.join(pair.a, pair.b);
                pairs.push(pair);
            }
        }
        pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
        Ok(Duplicates { cluster_of: clusters.numbered(), first_same, pairs })
    }

    /// For each article the first with the same normalised text.
    fn first_same(&self) -> Vec<usize> {
        let hash = |text: &S| XxHash3_64::oneshot(normalized(text.as_ref()).as_bytes());
        let hashes: Vec<u64> = self.texts.par_iter().map(hash).collect();
        let mut first: HashMap<u64, usize> = HashMap::with_capacity(hashes.len());
        let first: Vec<usize> =
            hashes.iter().enumerate().map(|(row, hash)| *first.entry(*hash).or_insert(row)).collect();
        // Two texts with the same hash are as good as never different, but this costs nothing.
        let is_same = |row: usize, first: usize| {
            row == first || normalized(self.texts[row].as_ref()) == normalized(self.texts[first].as_ref())
        };
        first.par_iter().enumerate().map(|(row, &first)| if is_same(row, first) { first } else { row }).collect()
    }

    /// The least Jaccard similarity that anything is reported at.
    fn least_jaccard(&self) -> f64 {
        let settings = self.settings;
        match self.embeddings {
            None => settings.min_jaccard_alone,
            Some(_) => settings.min_jaccard.min(settings.sure_jaccard),
        }
    }

    fn shingles(&self, row: usize) -> Vec<u64> {
        shingles(&normalized(self.texts[row].as_ref()), self.settings.shingle_chars)
    }

    /// Those candidates, sorted by their first article, that are near-duplicates.
    fn confirmed(&self, candidates: &[(usize, usize)]) -> Vec<DuplicatePair> {
        let groups: Vec<&[(usize, usize)]> = candidates.chunk_by(|x, y| x.0 == y.0).collect();
        let confirm = |group: &&[(usize, usize)]| -> Vec<DuplicatePair> {
            let own = self.shingles(group[0].0);
            group.iter().filter_map(|&(a, b)| self.confirm(a, b, &own)).collect()
        };
        groups.par_iter().flat_map_iter(confirm).collect()
    }

    fn confirm(&self, a: usize, b: usize, shingles_of_a: &[u64]) -> Option<DuplicatePair> {
        let jaccard = jaccard(shingles_of_a, &self.shingles(b));
        let cosine = self.cosine(a, b);
        let settings = self.settings;
        let is_confirmed = match cosine {
            None => jaccard >= settings.min_jaccard_alone,
            Some(cosine) => {
                jaccard >= settings.sure_jaccard || (jaccard >= settings.min_jaccard && cosine >= settings.min_cosine)
            }
        };
        is_confirmed.then_some(DuplicatePair { a, b, jaccard, cosine, is_exact: false })
    }

    /// 0 where either embedding has no length.
    fn cosine(&self, a: usize, b: usize) -> Option<f64> {
        let embeddings = self.embeddings?;
        let (a, b) = (embeddings.row(a), embeddings.row(b));
        let dot = |x: ndarray::ArrayView1<f32>, y: ndarray::ArrayView1<f32>| -> f64 {
            x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
        };
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        Some(if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 })
    }
}

/// Pairs of articles that agree in a band and not much less than wanted in all, ascending. `rows` are the articles of the
/// signatures.
fn candidates(rows: &[usize], signatures: &[Signature], band: usize, min_agreement: f64) -> Vec<(usize, usize)> {
    let places = band * BAND_LEN..(band + 1) * BAND_LEN;
    let mut keyed: Vec<([u32; BAND_LEN], u32)> = signatures
        .par_iter()
        .enumerate()
        .map(|(i, signature)| {
            let key = signature[places.clone()].try_into().expect("a band has BAND_LEN places");
            (key, u32::try_from(i).expect("texts in memory are fewer than 2^32"))
        })
        .collect();
    keyed.par_sort_unstable();
    let buckets: Vec<&[([u32; BAND_LEN], u32)]> = keyed.chunk_by(|x, y| x.0 == y.0).filter(|b| b.len() > 1).collect();
    let alike = |bucket: &&[([u32; BAND_LEN], u32)]| {
        let bucket: Vec<usize> = bucket.iter().map(|&(_, i)| i as usize).collect();
        let mut pairs = Vec::new();
        for at in 1..bucket.len() {
            let near = at.saturating_sub(MAX_COMPARED)..at;
            for earlier in (0..MAX_COMPARED.min(near.start)).chain(near) {
                let (a, b) = (bucket[earlier], bucket[at]);
                if agreement(&signatures[a], &signatures[b]) >= min_agreement {
                    pairs.push((rows[a], rows[b]));
                }
            }
        }
        pairs
    };
    let mut pairs: Vec<(usize, usize)> = buckets.par_iter().flat_map_iter(alike).collect();
    pairs.par_sort_unstable();
    pairs
}

/// Connected components, grown pair by pair.
struct Clusters {
    parents: Vec<usize>,
    sizes: Vec<usize>,
}

impl Clusters {
    fn new(n: usize) -> Self {
        Self { parents: (0..n).collect(), sizes: vec![1; n] }
    }

    fn root(&mut self, mut row: usize) -> usize {
        while self.parents[row] != row {
            self.parents[row] = self.parents[self.parents[row]];
            row = self.parents[row];
        }
        row
    }

    /// The smaller joins the larger, so that paths stay short.
    fn join(&mut self, a: usize, b: usize) {
        let (mut a, mut b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        if self.sizes[a] < self.sizes[b] {
            (a, b) = (b, a);
        }
        self.parents[b] = a;
        self.sizes[a] += self.sizes[b];
    }

    /// Whether both are in one cluster that is too large to list all pairs.
    fn is_settled(&mut self, a: usize, b: usize) -> bool {
        let root = self.root(a);
        self.sizes[root] > MAX_LISTED_CLUSTER && root == self.root(b)
    }

    /// Clusters counted in the order of their first members.
    fn numbered(mut self) -> Vec<usize> {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let roots: Vec<usize> = (0..self.parents.len()).map(|row| self.root(row)).collect();
        roots
            .into_iter()
            .map(|root| {
                let next = numbers.len();
                *numbers.entry(root).or_insert(next)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::progress::Silent;
    use crate::rng::generator;

    fn found(texts: &[String]) -> Duplicates {
        find_duplicates(texts, None, &DuplicateSettings::default(), &Silent).unwrap()
    }

    /// Texts of made-up words, a third of them earlier ones with some words changed.
    fn texts(n: usize) -> Vec<String> {
        let mut rng = generator(3, "texts");
        let mut texts: Vec<Vec<String>> = Vec::new();
        for i in 0..n {
            let mut words: Vec<String> = match i % 3 == 2 {
                true => texts[rng.random_range(0..i)].clone(),
                false => (0..rng.random_range(8..60)).map(|_| format!("w{:03}", rng.random_range(0..900))).collect(),
            };
            for _ in 0..rng.random_range(0..6) {
                let at = rng.random_range(0..words.len());
                words[at] = format!("w{:03}", rng.random_range(0..900));
            }
            texts.push(words);
        }
        texts.into_iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn every_pair_is_found_that_comparing_all_with_all_finds() {
        let texts = texts(600);
        let settings = DuplicateSettings::default();
        let sets: Vec<Vec<u64>> =
            texts.iter().map(|text| shingles(&normalized(text), settings.shingle_chars)).collect();
        let mut clusters = Clusters::new(texts.len());
        let mut n_pairs = 0;
        for b in 0..texts.len() {
            for a in (0..b).filter(|&a| jaccard(&sets[a], &sets[b]) >= settings.min_jaccard_alone) {
                clusters.join(a, b);
                n_pairs += 1;
            }
        }
        assert!(n_pairs > 50, "only {n_pairs} pairs prove nothing");
        let found = found(&texts);
        assert_eq!(found.cluster_of, clusters.numbered());
        for pair in &found.pairs {
            assert_eq!(pair.jaccard, jaccard(&sets[pair.a], &sets[pair.b]));
            assert!(pair.a < pair.b && pair.jaccard >= settings.min_jaccard_alone);
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let texts = texts(300);
        let with = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| found(&texts))
        };
        assert_eq!(with(1), with(4));
    }

    #[test]
    fn texts_that_are_all_alike_are_not_compared_all_with_all() {
        let n = 3000;
        let same = vec!["The same words in each and every one of these texts.".to_owned(); n];
        let pairs = found(&same).pairs;
        assert_eq!(pairs.len(), n - 1);
        assert!(pairs.iter().all(|pair| pair.a == 0 && pair.is_exact));

        let like = |i: usize| {
            format!("Weather report {i}: sunny in the south, cloudy with some rain in the north, storms later at sea.")
        };
        let alike: Vec<String> = (0..n).map(like).collect();
        let found = found(&alike);
        assert_eq!(found.n_clusters(), 1);
        assert!(found.pairs.len() < (2 * MAX_COMPARED + 1) * n, "{} pairs", found.pairs.len());
    }

    #[test]
    fn embeddings_confirm_what_shingles_leave_in_doubt() {
        let a = "what is the least amount that a transfer abroad may have at your bank";
        let b = "what is the least amount that a deposit in cash may have at your bank";
        let texts = [a, b];
        let settings = DuplicateSettings { min_jaccard: 0.5, ..DuplicateSettings::default() };
        let similarity = jaccard(&shingles(&normalized(a), 5), &shingles(&normalized(b), 5));
        assert!(similarity > 0.5 && similarity < settings.min_jaccard_alone, "{similarity}");
        let clusters = |embeddings: Option<ArrayView2<f32>>| {
            find_duplicates(&texts, embeddings, &settings, &Silent).unwrap().n_clusters()
        };
        assert_eq!(clusters(None), 2);
        assert_eq!(clusters(Some(array![[1.0, 0.0], [0.0, 1.0]].view())), 2);
        assert_eq!(clusters(Some(array![[1.0, 0.2], [2.0, 0.5]].view())), 1);
        let sure = DuplicateSettings { sure_jaccard: 0.5, ..settings };
        let opposite = array![[1.0, 0.0], [-1.0, 0.0]];
        let found = find_duplicates(&texts, Some(opposite.view()), &sure, &Silent).unwrap();
        assert_eq!(found.pairs[0].cosine, Some(-1.0));
    }

    #[test]
    fn words_alone_make_texts_the_same_and_signs_where_there_are_none() {
        let texts = ["Grain, ships: Odesa!", "grain ships odesa", "👍", " 👍 ", "👎", ""].map(str::to_owned);
        let found = found(&texts);
        assert_eq!(found.first_same, [0, 0, 2, 2, 4, 5]);
        assert_eq!(found.clusters(), [vec![0, 1], vec![2, 3]]);
        assert_eq!(
            find_duplicates::<String>(&[], None, &DuplicateSettings::default(), &Silent).unwrap().n_clusters(),
            0
        );
    }

    #[test]
    fn settings_and_shapes_are_checked_and_work_can_be_stopped() {
        struct Stop;
        impl Progress for Stop {
            fn event(&self, _: Event<'_>) {}
            fn is_cancelled(&self) -> bool {
                true
            }
        }
        let defaults = DuplicateSettings::default();
        let error =
            |settings: DuplicateSettings| find_duplicates(&["a"], None, &settings, &Silent).unwrap_err().to_string();
        let settings = DuplicateSettings { min_jaccard: 0.0, ..defaults };
        assert_eq!(error(settings), "setting `min_jaccard` is 0, expected above 0, at most 1");
        assert!(
            error(DuplicateSettings { sure_jaccard: f64::NAN, ..defaults })
                .starts_with("setting `sure_jaccard` is NaN")
        );
        assert!(error(DuplicateSettings { shingle_chars: 0, ..defaults }).starts_with("setting `shingle_chars`"));
        assert!(error(DuplicateSettings { min_cosine: 2.0, ..defaults }).starts_with("setting `min_cosine`"));
        let rows = array![[1.0, 0.0], [0.0, 1.0]];
        let error = find_duplicates(&["a"], Some(rows.view()), &defaults, &Silent).unwrap_err();
        assert_eq!(error, CurationError::EmbeddingRows { expected: 1, found: 2 });
        assert_eq!(find_duplicates(&["a"], None, &defaults, &Stop).unwrap_err(), CurationError::Interrupted);
    }
}
