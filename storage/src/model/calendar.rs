//! Days of the calendar, all of them UTC.

/// One day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// Year, month and day of the month of the day that begins `days` days after 1970-01-01.
#[must_use]
pub const fn civil_date(days: i64) -> (i64, i64, i64) {
    // Counted from the first of March of the year 0, so that a leap day is the last of its year.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// The day that has this date, counted from 1970-01-01. The month may be any from 1 to 12.
#[must_use]
pub const fn days_to_date((year, month, day): (i64, i64, i64)) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(-1), (1969, 12, 31));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_777), (2026, 11, 20));
        assert_eq!(civil_date(-719_528), (0, 1, 1));
        assert_eq!(civil_date(2_932_896), (9999, 12, 31));
    }

    #[test]
    fn dates_have_their_days() {
        for days in (-719_528..=2_932_896).step_by(13).chain(-800..20_000) {
            assert_eq!(days_to_date(civil_date(days)), days);
        }
    }
}
