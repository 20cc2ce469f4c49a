//! OpenMetrics text with timestamps: what `promtool tsdb create-blocks-from openmetrics` takes, in any order.

mod line;

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};
use std::path::Path;

use nines_storage::Db;

use super::error::{ImportError, Result};
use super::pile::Pile;
use super::remote_write::with_labels;
use super::told::{Outcome, Told};
use line::{Line, parse};

/// Longest line.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Imports the text that `input` holds, which is called `path`. Lines that are not what they should be are told and
/// left out. Memory is bounded whatever the order of the lines.
pub fn import_openmetrics(
    db: &Db,
    path: &Path,
    input: &mut dyn BufRead,
    labels: &BTreeMap<String, String>,
    target_labels: &[String],
    now_ms: i64,
    told: &mut dyn FnMut(Told<'_>),
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut pile = Pile::default();
    let (mut line, mut number, mut ended) = (Vec::new(), 0u64, false);
    loop {
        line.clear();
        let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let n = read.map_err(|cause| ImportError::source("read", path, cause))?;
        if n == 0 {
            break;
        }
        number += 1;
        told(Told::Bytes(n as u64));
        let parsed = match line.strip_suffix(b"\n") {
            _ if ended => {
                Err("text behind # EOF: is it several files in one? Import them one by one"
                    .to_owned())
            }
            None if n as u64 == LINE_BYTES_MAX => {
                // What follows up to its end is no line, whatever it looks like.
                let skipped = input.skip_until(b'\n');
                let n = skipped.map_err(|cause| ImportError::source("read", path, cause))?;
                told(Told::Bytes(n as u64));
                Err("the line is too long".to_owned())
            }
            text => parse(text.unwrap_or(&line)),
        };
        match parsed {
            Ok(Line::Nothing) => {}
            Ok(Line::End) => ended = true,
            Ok(Line::Sample { labels: own, ts, value }) => {
                told(Told::Samples(1));
                let place = if labels.is_empty() {
                    pile.series(&own)
                } else {
                    pile.series(&with_labels(&own, labels))
                };
                pile.float(place, ts, value, 0);
                if pile.is_full() {
                    outcome.add(&pile.write(db, target_labels, now_ms)?);
                }
            }
            Err(why) => {
                outcome.parts += 1;
                told(Told::Part { path, why: format!("line {number}: {why}") });
                if ended {
                    break;
                }
            }
        }
    }
    if !ended {
        outcome.parts += 1;
        let why = "the text ends without # EOF: it may be cut short; what is there is imported"
            .to_owned();
        told(Told::Part { path, why });
    }
    outcome.add(&pile.write(db, target_labels, now_ms)?);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nines_storage::{Store, StoreOptions};

    use super::*;

    #[test]
    fn the_rest_of_a_line_that_is_too_long_is_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap();
        let db = store.db("t").unwrap();
        let long = "x".repeat(LINE_BYTES_MAX as usize);
        let text = format!("a 1 1\n{long}evil 666 1\nb 2 2\n{long}\nc 3 3\n# EOF\n");
        let (mut bytes, mut said) = (0, Vec::new());
        let outcome = import_openmetrics(
            &db,
            Path::new("-"),
            &mut text.as_bytes(),
            &BTreeMap::new(),
            &[],
            10_000,
            &mut |told| match told {
                Told::Bytes(n) => bytes += n,
                Told::Part { why, .. } => said.push(why),
                _ => {}
            },
        )
        .unwrap();
        assert_eq!((outcome.samples, outcome.parts), (3, 2));
        assert_eq!(said, ["line 2: the line is too long", "line 4: the line is too long"]);
        assert_eq!(bytes, text.len() as u64);
    }
}
