//! Texts as sets of short runs of characters, which small changes leave mostly alone.

use twox_hash::XxHash3_64;

/// Words of letters and digits in lower case with one space between them; where there is none, the text without white
/// space around it.
///
/// ```
/// # use topicwire::curation::shingles::normalized;
/// assert_eq!(normalized("  “Grain”, he said:\n\tGRAIN! "), "grain he said grain");
/// assert_eq!(normalized(" ?! "), "?!");
/// ```
pub fn normalized(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        match word.is_ascii() {
            true => words.extend(word.chars().map(|c| c.to_ascii_lowercase())),
            false => words.push_str(&word.to_lowercase()),
        }
    }
    if words.is_empty() { text.trim().to_owned() } else { words }
}

/// Hashes of all runs of `n_chars` characters, ascending, each once; of a shorter text, of the whole.
pub fn shingles(normalized: &str, n_chars: usize) -> Vec<u64> {
    let starts: Vec<usize> = normalized.char_indices().map(|(at, _)| at).chain([normalized.len()]).collect();
    let mut hashes: Vec<u64> = if starts.len() <= n_chars {
        vec![XxHash3_64::oneshot(normalized.as_bytes())]
    } else {
        let runs = starts.iter().zip(&starts[n_chars..]);
        runs.map(|(&from, &to)| XxHash3_64::oneshot(&normalized.as_bytes()[from..to])).collect()
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Jaccard similarity `|A ∩ B| / |A ∪ B|` of two ascending lists without repeats; 1 where both are empty.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut n_shared) = (0, 0, 0usize);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, n_shared) = (i + 1, j + 1, n_shared + 1),
        }
    }
    match a.len() + b.len() - n_shared {
        0 => 1.0,
        n_union => n_shared as f64 / n_union as f64,
    }
}
