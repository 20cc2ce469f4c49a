//! Where in the file an error is.

/// The error with the line and column that it is about. The parser names the place of the mapping around an
/// unknown key, not that of the key, and none for a value that one of our own types refuses.
pub(super) fn place_error(text: &str, error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    let quoted = |open: &str, close: &str| Some(message.split_once(open)?.1.split_once(close)?.0);
    let Some(around) = error.location() else {
        let place = quoted("\"", "\"").and_then(|value| find_value(text, value));
        return place.map_or_else(
            || message.clone(),
            |(line, column)| format!("line {line}, column {column}: {message}"),
        );
    };
    let line_from = usize::try_from(around.line()).unwrap_or(1);
    let key = quoted("unknown field `", "`");
    match key.and_then(|key| Some((key, find_key(text, key, line_from)?))) {
        Some((key, (line, column))) => {
            format!(
                "line {line}, column {column}: there is no setting {key:?} here; remove it or correct its name"
            )
        }
        None => message,
    }
}

/// Line and column, counted from 1, of a plain or quoted value.
fn find_value(text: &str, value: &str) -> Option<(usize, usize)> {
    text.lines().enumerate().find_map(|(i, line)| {
        let (key, rest) = line.split_once(':')?;
        let at = rest.find(value)?;
        let found = rest.split([',', '}', '#']).any(|part| {
            part.rsplit(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']) == value
        });
        found.then(|| {
            (i + 1, key.chars().count() + 2 + rest.get(..at).unwrap_or_default().chars().count())
        })
    })
}

/// Line and column, counted from 1, of a mapping key at or behind `line_from`.
fn find_key(text: &str, key: &str, line_from: usize) -> Option<(usize, usize)> {
    for (i, line) in text.lines().enumerate().skip(line_from.saturating_sub(1)) {
        for (at, _) in line.match_indices(key) {
            let (before, after) = (line.get(..at)?, line.get(at + key.len()..)?);
            let begins = before.trim_end_matches(['"', '\'']).ends_with(['{', ',', ' ', '\t'])
                || before.trim().is_empty();
            let ends = after.trim_start_matches(['"', '\'']).trim_start().starts_with(':');
            if begins && ends {
                return Some((i + 1, before.chars().count() + 1));
            }
        }
    }
    None
}
