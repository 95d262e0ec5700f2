//! UTF-8 that was read as Windows-1252, and what it was.

/// Characters of bytes 0x80 to 0x9f in Windows-1252; bytes without one stand for the control character of their number.
const C1: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Occurrences from which sequences count that also stand in healthy text, such as `Î»` or `Ð°`.
const MIN_DOUBTFUL: usize = 3;

/// A garbled sequence and the character that it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbled {
    pub found: String,
    pub meant: char,
}

/// The sequences of a text that are characters in UTF-8 read as Windows-1252, in order.
///
/// Two-byte sequences that begin with another byte than `Â` or `Ã` count only where there are three of them.
///
/// ```
/// # use topicwire::curation::mojibake::garbled;
/// let found = garbled("Itâ€™s in SÃ£o Paulo, SÃO PAULO");
/// assert_eq!(found.iter().map(|g| (g.found.as_str(), g.meant)).collect::<Vec<_>>(), [("â€™", '’'), ("Ã£", 'ã')]);
/// ```
pub fn garbled(text: &str) -> Vec<Garbled> {
    // Most texts hold none of the bytes that could begin a sequence.
    if text.is_ascii() {
        return Vec::new();
    }
    let mut found: Vec<(Garbled, bool)> = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(|c: char| ('\u{c2}'..='\u{f4}').contains(&c)) {
        at += offset;
        let rest = &text[at..];
        let first = rest.chars().next().unwrap_or_default();
        match decoded(rest) {
            Some((length, meant)) => {
                let is_sure = length > 2 || matches!(first, 'Â' | 'Ã');
                let end = at + rest.chars().take(length).map(char::len_utf8).sum::<usize>();
                found.push((Garbled { found: text[at..end].to_owned(), meant }, is_sure));
                at = end;
            }
            None => at += first.len_utf8(),
        }
    }
    let n_doubtful = found.iter().filter(|(_, is_sure)| !is_sure).count();
    found.retain(|(_, is_sure)| *is_sure || n_doubtful >= MIN_DOUBTFUL);
    found.into_iter().map(|(garbled, _)| garbled).collect()
}

/// The character whose UTF-8 the first characters are the Windows-1252 of, and how many there are.
fn decoded(text: &str) -> Option<(usize, char)> {
    let mut bytes = text.chars().map(byte);
    let first = bytes.next()??;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut sequence = vec![first];
    for _ in 1..length {
        sequence.push(bytes.next()??);
    }
    let decoded = std::str::from_utf8(&sequence).ok()?;
    decoded.chars().next().map(|meant| (length, meant))
}

/// The byte of a character in Windows-1252.
fn byte(c: char) -> Option<u8> {
    match c as u32 {
        code @ (0..=0x7f | 0xa0..=0xff) => u8::try_from(code).ok(),
        code => {
            let at = C1.iter().position(|&other| other == c);
            let at = at.or_else(|| (0x80..=0x9f).contains(&code).then(|| code as usize - 0x80))?;
            u8::try_from(0x80 + at).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text as Windows-1252 shows its UTF-8.
    fn misread(text: &str) -> String {
        text.bytes()
            .map(|b| match b {
                0x80..=0x9f => C1[usize::from(b) - 0x80],
                other => char::from(other),
            })
            .collect()
    }

    #[test]
    fn what_was_misread_is_found_and_told() {
        for meant in ["é", "ü", "’", "€", "–", "😀", "Київ", "…", "Ελλάδα"] {
            let found: String = garbled(&misread(meant)).iter().map(|g| g.meant).collect();
            assert_eq!(found, meant);
        }
    }

    #[test]
    fn healthy_text_is_left_alone() {
        for text in [
            "São Paulo, SÃO PAULO, CÂMARA",
            "Ελλάδα",
            "«DÜ»",
            "naïve café – “Über”",
            "Î» alone",
            "20 °C, § 5",
            "日本語",
            "Ð",
        ] {
            assert_eq!(garbled(text), [], "{text}");
        }
    }
}
