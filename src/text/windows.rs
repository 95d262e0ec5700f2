//! How a long article is cut into windows of tokens.

use serde::{Deserialize, Serialize};

/// Overlap of neighbouring windows unless the user says otherwise: about two sentences' worth of context.
pub const DEFAULT_OVERLAP_TOKENS: usize = 32;

/// How articles become windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowSettings {
    /// Tokens of a window, special tokens included; the encoder's own limit where `None`.
    pub max_tokens: Option<usize>,
    /// What happens to an article that is longer than one window.
    pub long_text: LongText,
    /// Only that many windows of an article are used, from its start; all where `None`.
    pub max_windows: Option<usize>,
}

/// What happens to an article that is longer than one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LongText {
    /// Several windows; each repeats the prompt and the title, and the last `overlap_tokens` of the window before (less where that
    /// would be more than half of the room a window has for the text).
    Windows { overlap_tokens: usize },
    /// One window with the start of the article, exactly as sentence-transformers truncates.
    Truncate,
}

impl Default for LongText {
    fn default() -> Self {
        Self::Windows { overlap_tokens: DEFAULT_OVERLAP_TOKENS }
    }
}

/// Runs of the body that windows hold, and whether some of the body is in none.
///
/// As few runs as possible, of at most `room` tokens, each starting `overlap` before the end of the one before, and all of about
/// the same length: a short rest as a last window would count as much as a full one when windows are averaged.
///
/// `overlap` must be less than `room`.
pub(super) fn runs(
    n_tokens: usize,
    room: usize,
    overlap: usize,
    max_windows: Option<usize>,
) -> (Vec<std::ops::Range<usize>>, bool) {
    assert!(overlap < room, "windows must move on");
    let step = room - overlap;
    let covered_by = |n_windows: usize| n_windows.saturating_mul(step).saturating_add(overlap);
    let used = max_windows.map_or(n_tokens, |max| n_tokens.min(covered_by(max.max(1))));
    let n_windows = used.saturating_sub(overlap).div_ceil(step).max(1);
    // The runs share the overlaps, so together they hold this many tokens; the first few take one more where it does not
    // divide evenly.
    let total = used + (n_windows - 1) * overlap;
    let (length, n_longer) = (total / n_windows, total % n_windows);
    let mut start = 0;
    let runs = (0..n_windows)
        .map(|i| {
            let end = start + length + usize::from(i < n_longer);
            let run = start..end;
            start = end.saturating_sub(overlap);
            run
        })
        .collect();
    (runs, used < n_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::single_range_in_vec_init)] // one run is what is meant
    #[test]
    fn runs_are_even_and_overlap() {
        assert_eq!(runs(10, 10, 3, None), (vec![0..10], false));
        assert_eq!(runs(11, 10, 3, None), (vec![0..7, 4..11], false));
        assert_eq!(runs(18, 10, 3, None), (vec![0..8, 5..13, 10..18], false));
        assert_eq!(runs(0, 10, 3, None), (vec![0..0], false));
        assert_eq!(runs(100, 10, 0, Some(2)), (vec![0..10, 10..20], true));
        assert_eq!(runs(17, 10, 3, Some(2)), (vec![0..10, 7..17], false));
        assert_eq!(runs(18, 10, 3, Some(2)), (vec![0..10, 7..17], true));
    }

    #[test]
    fn settings_survive_json_and_unknown_ones_are_refused() {
        let settings = WindowSettings { max_tokens: Some(128), ..Default::default() };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(json, r#"{"max_tokens":128,"long_text":{"windows":{"overlap_tokens":32}},"max_windows":null}"#);
        assert_eq!(serde_json::from_str::<WindowSettings>(&json).unwrap(), settings);
        assert_eq!(
            serde_json::from_str::<WindowSettings>(r#"{"long_text": "truncate"}"#).unwrap().long_text,
            LongText::Truncate
        );
        assert!(serde_json::from_str::<WindowSettings>(r#"{"overlap": 3}"#).is_err());
    }

    proptest::proptest! {
        #[test]
        fn runs_cover_the_body(n_tokens in 0usize..500, room in 2usize..60, overlap in 0usize..59, max in proptest::option::of(0usize..6)) {
            let overlap = overlap.min(room / 2);
            let (runs, was_cut) = runs(n_tokens, room, overlap, max);
            proptest::prop_assert_eq!(runs[0].start, 0);
            proptest::prop_assert!(runs.iter().all(|run| run.len() <= room));
            for pair in runs.windows(2) {
                proptest::prop_assert_eq!(pair[0].end - pair[1].start, overlap);
                proptest::prop_assert!(pair[0].len() >= pair[1].len() && pair[0].len() <= pair[1].len() + 1);
                proptest::prop_assert!(pair[1].end > pair[0].end);
            }
            let end = runs.last().unwrap().end;
            proptest::prop_assert_eq!(was_cut, end < n_tokens);
            proptest::prop_assert!(end <= n_tokens);
            proptest::prop_assert!(max.is_some() || end == n_tokens);
            proptest::prop_assert!(max.is_none_or(|max| runs.len() <= max.max(1)));
            if max.is_none() && runs.len() > 1 {
                proptest::prop_assert!((runs.len() - 1) * (room - overlap) + overlap < n_tokens, "as few as possible");
            }
        }
    }
}
