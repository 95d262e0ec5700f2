//! What every HTML page of ours has: the frame around it, its look, and text made safe.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A page that needs nothing else: no script, no network, no other file. Browsers are told to refuse all three.
///
/// `title` and `main` are HTML already; `css` comes behind the look that all pages share.
pub fn page(title: &str, css: &str, main: &str) -> String {
    frame(title, css, main, None)
}

/// The same with a script of its own, and no other: browsers are told its hash, so that nothing which came in with an article can run.
///
/// `script` runs when the page is there; it must not contain `</script`.
pub fn page_with_script(title: &str, css: &str, main: &str, script: &str) -> String {
    frame(title, css, main, Some(script))
}

fn frame(title: &str, css: &str, main: &str, script: Option<&str>) -> String {
    let hash = script.map(|script| STANDARD.encode(Sha256::digest(script)));
    let allowed = hash.map(|hash| format!("; script-src 'sha256-{hash}'")).unwrap_or_default();
    let script = script.map(|script| format!("<script>{script}</script>\n")).unwrap_or_default();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'{allowed}; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{shared}{css}</style>\n</head>\n<body>\n<main>\n{main}</main>\n{script}</body>\n</html>\n",
        shared = include_str!("page.css"),
    )
}

/// Text that is safe between tags and inside quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters have no place in HTML, not even as references.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
