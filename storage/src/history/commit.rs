//! One commit: what it changes, and its bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::period::{Day, Month, Part, Tier};
use super::schema::HISTORY_VERSION;
use super::writer::FileFacts;
use crate::codec::crc32;
use crate::error::{Corruption, Error, Result};

/// A file of a tier, as commits tell of it. Where it lies follows from tier, day and the end of its windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its resolution.
    pub tier: Tier,
    /// Length in bytes.
    pub bytes: u64,
    /// Checksum of all bytes.
    pub crc32: u32,
    /// Rows.
    pub rows: u64,
    /// Series.
    pub series: u64,
    /// End of the earliest window in milliseconds.
    pub min_ts: i64,
    /// End of the latest window in milliseconds.
    pub max_ts: i64,
}

impl FileEntry {
    pub(super) const fn new(tier: Tier, facts: &FileFacts) -> Self {
        let FileFacts { rows, series, bytes, crc32, min_ts, max_ts } = *facts;
        Self { tier, bytes, crc32, rows, series, min_ts, max_ts }
    }

    /// Its path inside the history: the file of a day or month keeps its name from revision to revision, so that
    /// a glob sees the one or the other and never both.
    #[must_use]
    pub fn path(&self, part: Part) -> PathBuf {
        place_of(self.tier, part, self.min_ts)
    }

    /// Its name while it waits for its place.
    pub(super) fn staged_name(&self, part: Part, revision: u32) -> String {
        staged_name(self.tier, &self.tier.partition(self.min_ts), part, revision)
    }
}

pub(super) fn staged_name(tier: Tier, partition: &str, part: Part, revision: u32) -> String {
    format!("{tier}.{partition}.{part}.r{revision}.new")
}

/// Where rows of windows that end at `end_ms` lie.
pub(super) fn place_of(tier: Tier, part: Part, end_ms: i64) -> PathBuf {
    let folder = Path::new(tier.name()).join(tier.partition(end_ms));
    folder.join(format!("part-{part}.parquet"))
}

/// What a commit does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// The rows of a day: these files take the place of all that the day had.
    Built {
        /// The day.
        day: Day,
        /// How often it was built, this time included.
        revision: u32,
        /// Its files; none when it has no samples.
        files: Vec<FileEntry>,
    },
    /// The rows of a month's days lie together: these files take the place of those that the month and its days
    /// had in the tier of days.
    Together {
        /// The month.
        month: Month,
        /// How often its file was written, this time included.
        revision: u32,
        /// Its file; none when no row is left, or its days have files of their own from now on.
        files: Vec<FileEntry>,
    },
    /// Samples of these days were added or deleted: their rows are to be built anew, or, where other samples are
    /// gone, lack what was added.
    Outdated {
        /// The first one.
        first: Day,
        /// The last one, itself included.
        last: Day,
    },
    /// Rows of a day went by their age: these files take the place of all that it had. What else is known of it
    /// stays.
    Cut {
        /// The day.
        day: Day,
        /// How often its files were written, this time included.
        revision: u32,
        /// Its files.
        files: Vec<FileEntry>,
    },
    /// Rows of these days went by their age, or were left out because of it.
    Gone {
        /// The first one.
        first: Day,
        /// The last one, itself included.
        last: Day,
        /// The tables that they went from.
        tables: Vec<Tier>,
    },
    /// Samples of these days were deleted, and rows still count them because others are gone.
    Deleted {
        /// The first one.
        first: Day,
        /// The last one, itself included.
        last: Day,
    },
    /// Raw samples up to here were removed because of their age: rows of such days can not be built any more.
    RawGone {
        /// The last day of which samples are gone.
        last: Day,
    },
}

/// A numbered change of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Version of the layout.
    pub version: u32,
    /// Counted up from 1.
    pub number: u64,
    /// What it does, in this order.
    pub changes: Vec<Change>,
}

/// A day of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayState {
    /// How often it was built.
    pub revision: u32,
    /// Whether samples came or went since. Of a day whose samples are gone: whether others came.
    pub outdated: bool,
    /// Whether samples were deleted that its rows count for ever.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deleted: bool,
    /// Tables that rows went from by their age, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Tier>,
    /// Its files.
    pub files: Vec<FileEntry>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl DayState {
    /// The file of its own that holds the rows of the day, which may lie in that of a month instead.
    #[must_use]
    pub fn day_file(&self) -> Option<&FileEntry> {
        // The one row of a day ends with it: there is one file at most.
        self.files.iter().find(|file| file.tier == Tier::Day)
    }

    /// Whether rows of this table went by their age, all of them or those of some series.
    #[must_use]
    pub fn is_cut(&self, tier: Tier) -> bool {
        self.cut.contains(&tier)
    }

    /// Whether the rows of its hours went by their age, all of them.
    #[must_use]
    pub fn lacks_hours(&self) -> bool {
        self.is_cut(Tier::Hour) && !self.files.iter().any(|file| file.tier == Tier::Hour)
    }
}

/// A month of the history whose days lie together, or once did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthState {
    /// How often its file was written.
    pub revision: u32,
    /// Its file, if there is one.
    pub files: Vec<FileEntry>,
}

/// All commits so far, as one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the layout.
    pub version: u32,
    /// The last commit that is in it.
    pub number: u64,
    /// The days that were built.
    pub days: BTreeMap<i64, DayState>,
    /// The months whose days lie together.
    pub months: BTreeMap<i64, MonthState>,
    /// The last day of which raw samples were removed because of their age.
    pub raw_gone: Option<Day>,
}

impl State {
    /// Takes in the next commit.
    pub(super) fn apply(&mut self, commit: &Commit) {
        for change in &commit.changes {
            match change {
                Change::Built { day, revision, files } => {
                    let (revision, files) = (*revision, files.clone());
                    let state = DayState {
                        revision,
                        outdated: false,
                        deleted: false,
                        cut: Vec::new(),
                        files,
                    };
                    self.days.insert(day.0, state);
                }
                Change::Cut { day, revision, files } => {
                    if let Some(state) = self.days.get_mut(&day.0) {
                        (state.revision, state.files) = (*revision, files.clone());
                    }
                }
                Change::Gone { first, last, tables } => {
                    for (_, state) in self.days.range_mut(first.0..=(*last).max(*first).0) {
                        state.cut.extend(tables);
                        state.cut.sort_unstable();
                        state.cut.dedup();
                    }
                }
                Change::Together { month, revision, files } => {
                    for (_, day) in self.days.range_mut(month.first().0..=month.last().0) {
                        day.files.retain(|file| file.tier != Tier::Day);
                    }
                    let state = MonthState { revision: *revision, files: files.clone() };
                    self.months.insert(month.0, state);
                }
                Change::Outdated { first, last } => {
                    let days = self.days.range_mut(first.0..=(*last).max(*first).0);
                    days.for_each(|(_, state)| state.outdated = true);
                }
                Change::Deleted { first, last } => {
                    let days = self.days.range_mut(first.0..=(*last).max(*first).0);
                    days.for_each(|(_, state)| state.deleted = true);
                }
                Change::RawGone { last } => self.raw_gone = self.raw_gone.max(Some(*last)),
            }
        }
        (self.version, self.number) = (commit.version, commit.number);
    }

    /// All files, each with its part and the revision of that.
    pub fn files(&self) -> impl Iterator<Item = (Part, u32, &FileEntry)> {
        let days = self.days.iter().flat_map(|(day, built)| {
            built.files.iter().map(|file| (Part::Day(Day(*day)), built.revision, file))
        });
        days.chain(self.months.iter().flat_map(|(month, told)| {
            told.files.iter().map(|file| (Part::Month(Month(*month)), told.revision, file))
        }))
    }

    /// The month in whose file the rows of a day are, if it has any, unless the day has one of its own.
    #[must_use]
    pub fn together(&self, day: Day) -> Option<(Month, &MonthState, &FileEntry)> {
        let month = Month::of(day);
        let state = self.months.get(&month.0)?;
        Some((month, state, state.files.first()?))
    }

    /// Whether a day has rows of its hours or of itself.
    #[must_use]
    pub fn has_rows(&self, day: Day) -> bool {
        let Some(built) = self.days.get(&day.0) else { return false };
        let summed = |file: &FileEntry| Tier::OF_ALL_SERIES.contains(&file.tier);
        // Without hours it has a row in the file of its month only if they went.
        built.files.iter().any(summed) || (built.lacks_hours() && self.together(day).is_some())
    }

    /// Whether a file is one of those that there are.
    pub(super) fn names(&self, part: Part, file: &FileEntry) -> bool {
        let files = match part {
            Part::Day(day) => self.days.get(&day.0).map(|built| &built.files),
            Part::Month(month) => self.months.get(&month.0).map(|told| &told.files),
        };
        files.is_some_and(|files| files.contains(file))
    }

    /// Whether the samples of the day are all there as far as the age of samples goes.
    #[must_use]
    pub fn has_raw(&self, day: Day) -> bool {
        self.raw_gone.is_none_or(|gone| gone < day)
    }
}

/// The bytes of a document: the value and the checksum of its compact form, as in a block's meta.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    value: T,
    crc32: u32,
}

fn sum_of(value: &impl Serialize) -> u32 {
    // Numbers, texts, lists and maps of numbers: this cannot fail.
    crc32(&serde_json::to_vec(value).unwrap_or_default())
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let sealed = Sealed { crc32: sum_of(value), value };
    let mut text = serde_json::to_vec_pretty(&sealed).unwrap_or_default();
    text.push(b'\n');
    text
}

pub(super) fn decode<T: Serialize + for<'a> Deserialize<'a>>(
    bytes: &[u8],
    path: &Path,
) -> Result<T> {
    let bad = |what| Error::from(Corruption::new(path, 0, what));
    let sealed: Sealed<T> = serde_json::from_slice(bytes)
        .map_err(|_| bad("a commit of the history is not what is written there"))?;
    if sealed.crc32 != sum_of(&sealed.value) {
        return Err(bad("checksum of a commit of the history"));
    }
    Ok(sealed.value)
}

pub(super) fn decode_commit(bytes: &[u8], path: &Path, number: u64) -> Result<Commit> {
    let bad = |what| Error::from(Corruption::new(path, 0, what));
    let commit: Commit = decode(bytes, path)?;
    if commit.version != HISTORY_VERSION {
        return Err(bad("version of the history is not known"));
    }
    if commit.number != number {
        return Err(bad("number of a commit of the history"));
    }
    Ok(commit)
}

pub(super) fn decode_state(bytes: &[u8], path: &Path, number: u64) -> Result<State> {
    let state: State = decode(bytes, path)?;
    if state.version != HISTORY_VERSION {
        return Err(Corruption::new(path, 0, "version of the history is not known").into());
    }
    if state.number != number {
        return Err(Corruption::new(path, 0, "number of a checkpoint of the history").into());
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn entry(tier: Tier) -> FileEntry {
        let (min_ts, max_ts) = (1_764_547_200_000, 1_764_547_200_000);
        FileEntry { tier, bytes: 10, crc32: 7, rows: 24, series: 1, min_ts, max_ts }
    }

    #[test]
    fn a_commit_comes_back_from_its_bytes_and_damage_is_seen() {
        let commit = Commit {
            version: HISTORY_VERSION,
            number: 3,
            changes: vec![
                Change::Built { day: Day(20_422), revision: 1, files: vec![entry(Tier::Hour)] },
                Change::Together {
                    month: Month(24_311),
                    revision: 2,
                    files: vec![entry(Tier::Day)],
                },
                Change::Outdated { first: Day(1), last: Day(2) },
                Change::RawGone { last: Day(0) },
                Change::Cut { day: Day(20_422), revision: 2, files: Vec::new() },
                Change::Gone { first: Day(20_422), last: Day(20_422), tables: vec![Tier::Hour] },
            ],
        };
        let path = Path::new("commit");
        let bytes = encode(&commit);
        assert_eq!(decode_commit(&bytes, path, 3).unwrap(), commit);
        assert!(decode_commit(&bytes, path, 4).is_err());
        let text = String::from_utf8(bytes).unwrap();
        let damaged = text.replace("\"rows\": 24", "\"rows\": 25");
        assert_ne!(damaged, text);
        assert!(decode_commit(damaged.as_bytes(), path, 3).is_err());
    }

    #[test]
    fn commits_fold_to_a_state() {
        let mut state = State::default();
        let built = |day, revision| Change::Built { day: Day(day), revision, files: Vec::new() };
        let commit = |number, changes| Commit { version: 1, number, changes };
        state.apply(&commit(1, vec![built(5, 1), built(6, 1), built(9, 1)]));
        state.apply(&commit(2, vec![Change::Outdated { first: Day(6), last: Day(8) }]));
        let outdated = |state: &State| {
            state.days.iter().filter(|(_, s)| s.outdated).map(|(d, _)| *d).collect::<Vec<_>>()
        };
        assert_eq!(outdated(&state), [6]);
        state.apply(&commit(3, vec![built(6, 2), Change::RawGone { last: Day(5) }]));
        assert_eq!(outdated(&state), [] as [i64; 0]);
        state.apply(&commit(4, vec![Change::Deleted { first: Day(4), last: Day(5) }]));
        let deleted: Vec<i64> =
            state.days.iter().filter(|(_, s)| s.deleted).map(|(day, _)| *day).collect();
        assert_eq!(deleted, [5]);
        assert_eq!((state.number, state.days[&6].revision), (4, 2));
        assert!(state.has_raw(Day(6)) && !state.has_raw(Day(5)));
        let gone =
            |first, last, tables| Change::Gone { first: Day(first), last: Day(last), tables };
        let cut = Change::Cut { day: Day(6), revision: 3, files: vec![entry(Tier::Hour)] };
        let outdated_6 = Change::Outdated { first: Day(6), last: Day(6) };
        state.apply(&commit(5, vec![outdated_6, cut, gone(5, 6, vec![Tier::Raw])]));
        state.apply(&commit(6, vec![gone(6, 8, vec![Tier::Day, Tier::Raw])]));
        let day = state.days[&6].clone();
        assert_eq!((day.revision, day.outdated, day.files.len()), (3, true, 1));
        assert_eq!((day.cut, &state.days[&5].cut), (vec![Tier::Raw, Tier::Day], &vec![Tier::Raw]));
        assert_eq!(state.days[&9].cut, []);
        state.apply(&commit(7, vec![built(6, 4)]));
        assert_eq!(state.days[&6].cut, []);
    }

    #[test]
    fn a_file_lies_where_its_windows_end() {
        // The last window of November 2025 ends in December.
        let path = entry(Tier::Hour).path(Part::Day(Day(20_422)));
        assert_eq!(path, Path::new("rollup_1h/month=2025-12/part-2025-11-30.parquet"));
        assert_eq!(
            entry(Tier::Day).staged_name(Part::Day(Day(20_422)), 2),
            "rollup_1d.year=2025.2025-11-30.r2.new"
        );
    }
}
