//! Which known word was probably meant.

/// Longest word that is compared, in characters.
const WORD_CHARS_MAX: usize = 64;

/// The word of `known` that takes the fewest changes to become `word`; none that takes more than a third of it.
pub(in crate::slo) fn nearest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    if letters.len() > WORD_CHARS_MAX {
        return None;
    }
    let allowed = (letters.len() / 3).max(1);
    let distances = known.into_iter().filter(|other| other.len() <= WORD_CHARS_MAX).map(|other| {
        let other_letters: Vec<char> = other.chars().flat_map(char::to_lowercase).collect();
        (distance(&letters, &other_letters), other)
    });
    distances.filter(|(changes, _)| *changes <= allowed).min().map(|(_, other)| other)
}

/// How many letters are to be added, removed, changed, or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..width {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (table[(i - 1) * width + j - 1] + changed)
                    .min(table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(table[(i - 2) * width + j - 2] + 1);
                }
                least
            };
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let known = ["target", "targetPercent", "timeSliceWindow", "op"];
        for (word, found) in [
            ("tagret", Some("target")),
            ("Target", Some("target")),
            ("targetpercent", Some("targetPercent")),
            ("timesliceWindw", Some("timeSliceWindow")),
            ("po", Some("op")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
