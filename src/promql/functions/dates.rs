//! UTC calendar arithmetic (proleptic Gregorian), without a crate.

const DAY_S: i128 = 86_400;
/// Seconds from the beginning of Go's absolute time to the epoch; makes values out of range wrap as there.
const GO_ABSOLUTE_S: i64 = 62_135_596_800 + (730_692_556 * 146_097 + 306) * 86_400;

struct Civil {
    year: i128,
    month: u8,
    day: u8,
    days_since_epoch: i128,
    second_of_day: i128,
}

/// Seconds of a float as Go on amd64 converts it: truncated, out of range and NaN to the smallest integer.
fn seconds(v: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v) {
        v as i64
    } else {
        i64::MIN
    }
}

fn civil(v: f64) -> Civil {
    let absolute = seconds(v).wrapping_add(GO_ABSOLUTE_S).cast_unsigned();
    let unix = i128::from(absolute) - i128::from(GO_ABSOLUTE_S);
    let days = unix.div_euclid(DAY_S);
    // Eras of 400 years that begin on 1 March, so that the leap day is the last day of a year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Civil {
        year: era * 400 + year_of_era + i128::from(month <= 2),
        month: u8::try_from(month).unwrap_or(1),
        day: u8::try_from(day).unwrap_or(1),
        days_since_epoch: days,
        second_of_day: unix.rem_euclid(DAY_S),
    }
}

const fn is_leap(year: i128) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn month_days(year: i128, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

#[allow(clippy::cast_precision_loss, reason = "calendar numbers are small")]
const fn float(n: i128) -> f64 {
    n as f64
}

pub(super) fn year(v: f64) -> f64 {
    float(civil(v).year)
}

pub(super) fn month(v: f64) -> f64 {
    f64::from(civil(v).month)
}

pub(super) fn day_of_month(v: f64) -> f64 {
    f64::from(civil(v).day)
}

/// 0 is Sunday.
pub(super) fn day_of_week(v: f64) -> f64 {
    float((civil(v).days_since_epoch + 4).rem_euclid(7))
}

/// 1 is 1 January.
pub(super) fn day_of_year(v: f64) -> f64 {
    let date = civil(v);
    let before: u32 = (1..date.month).map(|m| u32::from(month_days(date.year, m))).sum();
    f64::from(before + u32::from(date.day))
}

pub(super) fn days_in_month(v: f64) -> f64 {
    let date = civil(v);
    f64::from(month_days(date.year, date.month))
}

pub(super) fn hour(v: f64) -> f64 {
    float(civil(v).second_of_day / 3600)
}

pub(super) fn minute(v: f64) -> f64 {
    float(civil(v).second_of_day / 60 % 60)
}
