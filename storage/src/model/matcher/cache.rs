//! The regular expressions compiled last. Dashboards ask with the same ones every few seconds, and compiling one
//! takes longer than many a query with it.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;

/// Expressions kept; the one not used for longest makes room. Only small ones are, so that all of them together
/// take some megabytes at most.
const KEPT_MAX: usize = 64;

/// Longest expression kept.
const PATTERN_BYTES_MAX: usize = 256;

#[derive(Default)]
struct Kept {
    /// Compiled, and when it was used last.
    by_pattern: HashMap<String, (regex::Regex, u64)>,
    clock: u64,
}

impl Kept {
    fn find(&mut self, pattern: &str) -> Option<regex::Regex> {
        self.clock += 1;
        let (regex, used) = self.by_pattern.get_mut(pattern)?;
        *used = self.clock;
        Some(regex.clone())
    }

    fn keep(&mut self, pattern: &str, regex: &regex::Regex) {
        if pattern.len() > PATTERN_BYTES_MAX {
            return;
        }
        if self.by_pattern.len() >= KEPT_MAX && !self.by_pattern.contains_key(pattern) {
            let oldest = self.by_pattern.iter().min_by_key(|(_, kept)| kept.1);
            if let Some(oldest) = oldest.map(|(pattern, _)| pattern.clone()) {
                self.by_pattern.remove(&oldest);
            }
        }
        self.clock += 1;
        self.by_pattern.insert(pattern.to_owned(), (regex.clone(), self.clock));
    }
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// A small expression compiled before.
pub(super) fn find(pattern: &str) -> Option<regex::Regex> {
    KEPT.lock().find(pattern)
}

/// Keeps a small expression.
pub(super) fn keep(pattern: &str, regex: &regex::Regex) {
    KEPT.lock().keep(pattern, regex);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_one_not_used_for_longest_makes_room() {
        let mut kept = Kept::default();
        let regex = |pattern: &str| regex::Regex::new(pattern).unwrap();
        for i in 0..KEPT_MAX {
            kept.keep(&format!("a{i}"), &regex(&format!("a{i}")));
        }
        assert!(kept.find("a0").unwrap().is_match("a0"));
        kept.keep("b", &regex("b"));
        assert_eq!(kept.by_pattern.len(), KEPT_MAX);
        assert!(kept.find("a0").is_some() && kept.find("b").is_some());
        assert!(kept.find("a1").is_none());
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        kept.keep(&long, &regex(&long));
        assert!(kept.find(&long).is_none());
    }
}
