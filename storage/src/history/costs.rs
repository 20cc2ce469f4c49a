//! What the tables take on the disk.

use super::commit::State;
use super::period::{Day, Tier};

/// Days whose mean size is the rate of growth.
const RATE_DAYS: usize = 7;
/// Days of a year.
const YEAR_DAYS: f64 = 365.25;

/// Bytes and rows of a tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TierSize {
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableCost {
    /// The table.
    pub tier: Tier,
    /// Its size.
    pub size: TierSize,
    /// Bytes that a year takes at the rate of the newest days.
    pub bytes_per_year: u64,
}

impl TableCost {
    /// Bytes of a row.
    #[must_use]
    pub fn bytes_per_row(&self) -> f64 {
        self.size.bytes as f64 / self.size.rows.max(1) as f64
    }
}

impl State {
    /// What a tier takes.
    #[must_use]
    pub fn size(&self, tier: Tier) -> TierSize {
        let files = self.files().map(|(_, _, file)| file);
        files.filter(|file| file.tier == tier).fold(TierSize::default(), |sum, file| TierSize {
            files: sum.files + 1,
            rows: sum.rows + file.rows,
            bytes: sum.bytes + file.bytes,
        })
    }

    /// What each table with rows takes, and would take in a year at the rate of the newest days.
    #[must_use]
    pub fn costs(&self) -> Vec<TableCost> {
        let cost = |tier| {
            let bytes_per_year = (self.bytes_per_day(tier) * YEAR_DAYS) as u64;
            TableCost { tier, size: self.size(tier), bytes_per_year }
        };
        Tier::ALL.into_iter().map(cost).filter(|cost| cost.size.files > 0).collect()
    }

    /// Bytes of a tier per day: of the newest days that have files, as many as make a rate.
    fn bytes_per_day(&self, tier: Tier) -> f64 {
        let bytes = |(day, built): (&i64, &super::DayState)| {
            let files = built.files.iter().filter(|file| file.tier == tier);
            let own = files.map(|file| file.bytes).sum::<u64>();
            // Of a month each of its days takes alike.
            let month = self.together(Day(*day)).filter(|_| tier == Tier::Day);
            let month = month.map_or(0, |(month, _, file)| {
                let days = self.days.range(month.first().0..=month.last().0);
                file.bytes / days.count().max(1) as u64
            });
            own + month
        };
        let newest: Vec<u64> =
            self.days.iter().rev().map(bytes).filter(|n| *n > 0).take(RATE_DAYS).collect();
        newest.iter().sum::<u64>() as f64 / newest.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{DayState, FileEntry, Month, MonthState};

    fn file(tier: Tier, bytes: u64) -> FileEntry {
        FileEntry { tier, bytes, crc32: 0, rows: 10, series: 1, min_ts: 0, max_ts: 0 }
    }

    #[test]
    fn a_year_is_what_the_newest_days_take() {
        let mut state = State::default();
        for day in 0..20 {
            let bytes = if day < 13 { 900 } else { 100 };
            let mut files = vec![file(Tier::Hour, bytes)];
            if day == 19 {
                files.push(file(Tier::Day, 20));
            }
            let built =
                DayState { revision: 1, outdated: false, deleted: false, cut: Vec::new(), files };
            state.days.insert(day, built);
        }
        let files = vec![file(Tier::Day, 19 * 20)];
        state.months.insert(Month::of(Day(0)).0, MonthState { revision: 1, files });
        let costs = state.costs();
        assert_eq!(costs.iter().map(|cost| cost.tier).collect::<Vec<_>>(), Tier::OF_ALL_SERIES);
        let (hours, days) = (&costs[0], &costs[1]);
        assert_eq!(hours.size, TierSize { files: 20, rows: 200, bytes: 13 * 900 + 7 * 100 });
        assert_eq!(hours.bytes_per_year, 36_525);
        assert_eq!((days.size.files, days.size.bytes, days.bytes_per_row()), (2, 400, 20.0));
        // 39 of the newest day, and 19 of each of six others: its month has a file as well.
        assert_eq!(days.bytes_per_year, ((39 + 6 * 19) as f64 / 7.0 * YEAR_DAYS) as u64);
    }
}
