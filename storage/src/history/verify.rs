//! Reads everything, to find what is damaged.

use std::path::PathBuf;

use super::History;
use super::commit::FileEntry;
use super::period::{Part, Tier};
use crate::error::{Corruption, Result};

/// What [`History::verify`] found of one file.
#[derive(Debug)]
pub struct Verified {
    /// Its path inside the history.
    pub path: PathBuf,
    /// Rows read, or what is wrong.
    pub rows: Result<u64>,
}

impl History {
    /// Reads every file to its last row and shows what it found.
    pub fn verify(&self, shown: &mut dyn FnMut(Verified)) {
        let state = self.state();
        for (part, revision, file) in state.files() {
            let rows = self.verify_file(part, revision, file);
            shown(Verified { path: file.path(part), rows });
        }
    }

    fn verify_file(&self, part: Part, revision: u32, file: &FileEntry) -> Result<u64> {
        let opened = self.files.read(part, revision, file)?;
        let (mut rows, mut series) = (0, 0);
        if file.tier == Tier::Raw {
            let mut last = None;
            opened.read_samples(&mut |group| {
                for one in group {
                    rows += one.samples.len() as u64;
                    series += u64::from(last.as_ref() != Some(&one.labels));
                    last = Some(one.labels);
                }
            })?;
        } else if file.tier == Tier::Series {
            rows = opened.read_known()?.len() as u64;
            series = rows;
        } else {
            for group in 0..opened.n_groups() {
                for one in opened.read_group(group)? {
                    rows += one.rows.len() as u64;
                    series += 1;
                }
            }
        }
        if (rows, series) == (file.rows, file.series) {
            return Ok(rows);
        }
        let path = self.dir.join(file.path(part));
        Err(Corruption::new(&path, 0, "rows of a history file").into())
    }
}
