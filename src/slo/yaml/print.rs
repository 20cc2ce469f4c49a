//! From trees to YAML in block style.

use super::{Content, Node, Style, is_number};

/// The text of documents, with `---` between them.
#[must_use]
pub fn print(documents: &[Node]) -> String {
    let mut out = String::new();
    for (i, document) in documents.iter().enumerate() {
        if i > 0 {
            out.push_str("---\n");
        }
        value(&mut out, document, 0, false);
    }
    out
}

/// Writes a value; `inside` tells that a key or dash stands before it.
fn value(out: &mut String, node: &Node, indent: usize, inside: bool) {
    match &node.content {
        Content::Scalar { text, style } => {
            if inside {
                out.push(' ');
            }
            scalar(out, text, *style, indent);
            out.push('\n');
        }
        Content::List(items) if items.is_empty() => {
            out.push_str(if inside { " []\n" } else { "[]\n" })
        }
        Content::Map(entries) if entries.is_empty() => {
            out.push_str(if inside { " {}\n" } else { "{}\n" });
        }
        Content::List(items) => {
            if inside {
                out.push('\n');
            }
            for item in items {
                pad(out, indent);
                out.push('-');
                match &item.content {
                    Content::Map(entries) if !entries.is_empty() => {
                        out.push(' ');
                        pairs(out, item, indent + 2, true);
                    }
                    _ => value(out, item, indent + 2, true),
                }
            }
        }
        Content::Map(_) => {
            if inside {
                out.push('\n');
            }
            pairs(out, node, indent, false);
        }
    }
}

/// Writes the entries of a mapping; the first one goes on in the line when `begun`.
fn pairs(out: &mut String, node: &Node, indent: usize, begun: bool) {
    let Content::Map(entries) = &node.content else { return };
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 || !begun {
            pad(out, indent);
        }
        scalar(out, &entry.key, Style::Plain, indent);
        out.push(':');
        value(out, &entry.value, indent + 2, true);
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, text: &str, style: Style, indent: usize) {
    if style == Style::Plain && (is_number(text) || matches!(text, "true" | "false")) {
        out.push_str(text);
    } else if is_block(text) {
        out.push('|');
        for line in text.lines() {
            out.push('\n');
            pad(out, indent);
            out.push_str(line);
        }
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

/// Whether a text is lines that a literal block gives back as they are.
fn is_block(text: &str) -> bool {
    text.ends_with('\n')
        && text.lines().all(|line| {
            !line.is_empty()
                && !line.starts_with([' ', '\t'])
                && line.chars().all(|c| !c.is_control() && c != '\u{feff}')
        })
}

/// Whether a text can stand without quotes, in block and flow style.
fn is_plain(text: &str) -> bool {
    // `30d`
    if text.chars().all(|c| c.is_ascii_alphanumeric())
        && text.starts_with(|c: char| c.is_ascii_digit())
    {
        return text.ends_with(|c: char| c.is_ascii_alphabetic()) && !is_number(text);
    }
    let begins =
        text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let allowed = |c: char| c.is_alphanumeric() || "_-./ ()+*<=".contains(c);
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    begins && text.chars().all(allowed) && !text.ends_with(' ') && !word && !is_number(text)
}

fn quoted(out: &mut String, text: &str) {
    if !text.contains('\'') && text.chars().all(|c| !c.is_control() && c != '\u{feff}') {
        out.push('\'');
        out.push_str(text);
        out.push('\'');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || c == '\u{feff}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}
