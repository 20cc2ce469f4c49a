//! Which values of a label say that a request failed.

use std::collections::BTreeSet;

/// Codes of gRPC by which a server fails, as the code's name is written in Go and as it is written elsewhere.
const GRPC_BAD: [(&str, &str); 6] = [
    ("Unknown", "UNKNOWN"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
];
/// Words for what went well, and for what did not, in small letters.
const GOOD_WORDS: [&str; 6] = ["success", "successful", "succeeded", "ok", "true", "accepted"];
const BAD_WORDS: [&str; 7] =
    ["error", "errors", "failure", "failed", "fail", "timeout", "server_error"];
/// Any code of HTTP by which a server fails: 503, 5xx.
const HTTP_BAD: &str = "5..";

/// A regular expression of the values that are bad; `None` when the values are not known to tell.
pub(super) fn bad(values: &BTreeSet<String>) -> Option<String> {
    if values.iter().any(|value| is_http(value)) {
        return Some(HTTP_BAD.to_owned());
    }
    let has = |word: &str| values.contains(word);
    // A call that went well is OK in either spelling: only a failed one tells which it is.
    if GRPC_BAD.iter().any(|(go, _)| has(go)) {
        let names: Vec<&str> = GRPC_BAD.iter().map(|(go, _)| *go).collect();
        return Some(names.join("|"));
    }
    if has("OK") {
        let names: Vec<String> =
            GRPC_BAD.iter().map(|(go, upper)| format!("{go}|{upper}")).collect();
        return Some(names.join("|"));
    }
    let words = |known: &[&str]| -> Vec<String> {
        let is_known = |value: &&String| known.contains(&value.to_lowercase().as_str());
        values.iter().filter(is_known).map(|value| regex::escape(value)).collect()
    };
    let (good, failed) = (words(&GOOD_WORDS), words(&BAD_WORDS));
    (!good.is_empty() && !failed.is_empty()).then(|| failed.join("|"))
}

/// 200, 404, 2xx.
fn is_http(value: &str) -> bool {
    match value.as_bytes() {
        [b'1'..=b'5', b'x', b'x'] => true,
        [b'1'..=b'5', tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<String> {
        bad(&values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn codes_and_words_tell_what_failed() {
        assert_eq!(of(&["200", "404"]).as_deref(), Some("5.."));
        assert_eq!(of(&["2xx", "5xx"]).as_deref(), Some("5.."));
        assert_eq!(of(&["success", "Failed"]).as_deref(), Some("Failed"));
        let grpc = of(&["OK", "NotFound", "Unavailable"]).unwrap_or_default();
        assert!(grpc.starts_with("Unknown|DeadlineExceeded|"), "{grpc}");
        assert!(of(&["OK"]).unwrap_or_default().contains("|DEADLINE_EXCEEDED|"));
        // Nothing failed that has a name known here, or the values tell something else.
        assert_eq!(of(&["success"]), None);
        assert_eq!(of(&["hit", "miss"]), None);
        assert_eq!(of(&["0", "1"]), None);
        assert_eq!(of(&["6xx", "2x", "2000"]), None);
    }
}
