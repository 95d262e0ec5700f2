//! What every HTML page of ours has: the frame around it, its look, and text made safe.

/// A page that needs nothing else: no script, no network, no other file.
///
/// `title` and `main` are HTML already; `css` comes behind the look that all pages share.
pub fn page(title: &str, css: &str, main: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{shared}{css}</style>\n</head>\n<body>\n<main>\n{main}</main>\n</body>\n</html>\n",
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
