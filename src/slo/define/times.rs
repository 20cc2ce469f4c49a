//! Durations, instants, time zones and windows as documents write them.

use std::collections::BTreeSet;

use chrono::{
    DateTime, NaiveDate, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _,
};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::nearest::nearest;
use super::reader::{Field, Fields};
use crate::slo::definition::{Calendar, Slice, TimeWindow, Unit};

/// Longest window, in days.
const WINDOW_DAYS_MAX: i64 = 36_525;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Years whose offsets from UTC slices are checked against.
const YEARS_CHECKED: std::ops::Range<i32> = 2000..2040;
/// Days between two looks at a zone's offset: none lasts shorter.
const OFFSET_STEP_DAYS: i64 = 7;

/// A number and a letter: `28d`, `1M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shorthand {
    n: u32,
    letter: char,
}

impl std::fmt::Display for Shorthand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.n, self.letter)
    }
}

impl Shorthand {
    fn parse(text: &str) -> Option<Self> {
        let letter = text.chars().next_back()?;
        let digits = text.strip_suffix(letter)?;
        if !matches!(letter, 'm' | 'h' | 'd' | 'w' | 'M' | 'Q' | 'Y') || digits.len() > 9 {
            return None;
        }
        let n = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        let found = Self { n, letter };
        (n > 0 && found.days() <= WINDOW_DAYS_MAX).then_some(found)
    }

    /// Milliseconds of minutes, hours, days of 24 hours, and weeks.
    pub(super) fn fixed_ms(self) -> Option<i64> {
        let unit = match self.letter {
            'm' => MINUTE_MS,
            'h' => HOUR_MS,
            'd' => DAY_MS,
            'w' => 7 * DAY_MS,
            _ => return None,
        };
        Some(i64::from(self.n) * unit)
    }

    fn days(self) -> i64 {
        let days = match self.letter {
            'm' | 'h' | 'd' => 1,
            'w' => 7,
            'M' => 31,
            'Q' => 92,
            _ => 366,
        };
        match self.letter {
            'm' => i64::from(self.n) / 1440,
            'h' => i64::from(self.n) / 24,
            _ => i64::from(self.n) * days,
        }
    }

    /// In units of the calendar.
    fn units(self) -> Option<(u32, Unit)> {
        match self.letter {
            'd' => Some((self.n, Unit::Day)),
            'w' => Some((self.n, Unit::Week)),
            'M' => Some((self.n, Unit::Month)),
            'Q' => Some((self.n, Unit::Quarter)),
            'Y' => Some((self.n, Unit::Year)),
            'h' if self.n.is_multiple_of(24) => Some((self.n / 24, Unit::Day)),
            _ => None,
        }
    }
}

/// A duration in shorthand.
pub(super) fn shorthand(field: &Field<'_>) -> Option<Shorthand> {
    let text = field.text()?;
    let found = Shorthand::parse(text);
    if found.is_none() {
        let message = format!("{text:?} is not a duration");
        field.error_hint(
            "bad-duration",
            message,
            "write a number and one of m h d w M Q Y, such as 28d or 1M",
        );
    }
    found
}

/// A duration of a fixed length, in milliseconds.
pub(super) fn length(field: &Field<'_>) -> Option<i64> {
    let found = shorthand(field)?;
    let ms = found.fixed_ms();
    if ms.is_none() {
        field.error_hint(
            "bad-duration",
            format!("{found} has no fixed length"),
            "write it in m, h, d or w",
        );
    }
    ms
}

/// An instant: RFC 3339, or seconds since 1970.
pub(super) fn instant_of(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// An instant of a field.
pub(super) fn instant(field: &Field<'_>) -> Option<i64> {
    let text = match field.node.kind() {
        "a number" => field.node.text().unwrap_or_default(),
        _ => field.text()?,
    };
    let found = instant_of(text);
    if found.is_none() {
        let hint = "write it like 2026-02-10T02:30:00+00:00, with an offset from UTC";
        field.error_hint("bad-time", format!("{text:?} is not an instant"), hint);
    }
    found
}

/// A time of a wall clock.
pub(super) fn wall_clock_of(text: &str) -> Option<NaiveDateTime> {
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    time.or_else(day)
}

/// A time of a wall clock in a field.
pub(super) fn wall_clock(field: &Field<'_>) -> Option<NaiveDateTime> {
    let text = field.text()?;
    let found = wall_clock_of(text);
    if found.is_none() {
        let hint = "write it like 2024-01-01 00:00:00, without an offset: it is a time in timeZone";
        field.error_hint("bad-time", format!("{text:?} is not a time of a clock"), hint);
    }
    found
}

/// A time zone of the IANA database.
pub(super) fn zone(field: &Field<'_>) -> Option<Tz> {
    let text = field.text()?;
    let found = text.parse().ok();
    if found.is_none() {
        let meant = nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = meant.map(|zone| format!("did you mean {zone}?")).unwrap_or_default();
        field.error_hint("unknown-time-zone", format!("{text:?} is not a time zone"), hint);
    }
    found
}

/// The window of an SLO: one item of `timeWindow`.
pub(super) fn window(fields: &Fields<'_>) -> Option<TimeWindow> {
    let duration = fields.need("duration").and_then(|field| Some((shorthand(&field)?, field)));
    let rolling = fields.get("isRolling").and_then(|field| Some((field.truth()?, field)));
    let calendar = fields.get("calendar").and_then(|field| Some((field.fields()?, field)));
    let clock = calendar.as_ref().map(|(calendar, _)| {
        let start = calendar.need_hint("startTime", "write \"2024-01-01 00:00:00\"");
        let zone_field = calendar.need_hint("timeZone", "write UTC or Europe/Amsterdam");
        let start = start.and_then(|field| wall_clock(&field));
        let zone = zone_field.and_then(|field| zone(&field));
        calendar.finish();
        (start, zone)
    });
    fields.finish();
    match (&rolling, &calendar) {
        (Some((true, field)), Some(_)) => {
            field.error("bad-window", "a window of the calendar does not roll");
            return None;
        }
        (Some((false, field)), None) => {
            let hint = "add calendar: {startTime, timeZone}, or write isRolling: true";
            field.error_hint("bad-window", "a window that does not roll needs a calendar", hint);
            return None;
        }
        _ => {}
    }
    let (duration, field) = duration?;
    let Some((start, zone)) = clock else {
        let Some(length_ms) = duration.fixed_ms() else {
            let message = format!("{duration} has no fixed length, so it cannot roll");
            field.error_hint(
                "window-needs-calendar",
                message,
                "use 28d or 30d, or add calendar: {startTime, timeZone}",
            );
            return None;
        };
        return Some(TimeWindow::Rolling { length_ms });
    };
    let Some((n, unit)) = duration.units() else {
        let hint = "use a rolling window, or days, weeks, months, quarters or years";
        field.error_hint(
            "bad-window",
            format!("{duration} is no number of days of the calendar"),
            hint,
        );
        return None;
    };
    Some(TimeWindow::Calendar(Calendar { start: start?, zone: zone?, n, unit }))
}

/// The periods of an SLA: `window`.
pub(super) fn periods(fields: &Fields<'_>) -> Option<Calendar> {
    let duration = fields.need("duration").and_then(|field| Some((shorthand(&field)?, field)));
    let zone = fields
        .need_hint("timeZone", "write UTC or Europe/Amsterdam")
        .and_then(|field| zone(&field));
    let start = fields.get("startTime").map(|field| wall_clock(&field));
    fields.finish();
    let (duration, field) = duration?;
    let Some((n, unit)) = duration.units() else {
        let hint = "use days, weeks, months, quarters or years";
        field.error_hint(
            "bad-window",
            format!("{duration} is no number of days of the calendar"),
            hint,
        );
        return None;
    };
    // Weeks begin on Mondays: the first one of 1970 is the fifth of January.
    let day = if unit == Unit::Week { 5 } else { 1 };
    let begin = || NaiveDate::from_ymd_opt(1970, 1, day)?.and_hms_opt(0, 0, 0);
    let start = match start {
        Some(told) => told?,
        None => begin()?,
    };
    Some(Calendar { start, zone: zone?, n, unit })
}

/// A slice, `5m` or a number of minutes, as it is written.
pub(super) fn slice(field: &Field<'_>) -> Option<(Slice, Shorthand)> {
    let written = if field.node.kind() == "a number" {
        let text = field.node.text().unwrap_or_default();
        let minutes = Shorthand::parse(&format!("{text}m"));
        if minutes.is_none() {
            let message = format!("{text} is not a number of minutes");
            field.error_hint("bad-duration", message, "write a whole number of minutes, or 5m");
        }
        minutes?
    } else {
        shorthand(field)?
    };
    match written.fixed_ms() {
        Some(DAY_MS) => Some((Slice::LocalDay, written)),
        Some(ms) if ms <= HOUR_MS && HOUR_MS % ms == 0 => Some((Slice::Fixed(ms), written)),
        _ => {
            let message = format!("a slice of {written} does not divide an hour");
            field.error_hint("bad-slice", message, "use 1m, 2m, 3m, 5m, 10m, 15m, 30m, 1h or 1d");
            None
        }
    }
}

/// Tells slices that lie across the edges of a window.
pub(super) fn check_slice(
    field: &Field<'_>,
    slice: Slice,
    written: Shorthand,
    window: &TimeWindow,
) -> bool {
    let told = |field: &Field<'_>, what: String, hint: &str| {
        let message = format!("the slice does not divide the window ({what})");
        field.error_hint("slice-does-not-divide", message, hint);
        false
    };
    match (window, slice) {
        (TimeWindow::Rolling { length_ms }, slice) => {
            let ms = if let Slice::Fixed(ms) = slice { ms } else { DAY_MS };
            let window = window_text(*length_ms);
            if ms > *length_ms {
                let message = format!("slices of {written} are longer than the window of {window}");
                field.error("window-method-mismatch", message);
                return false;
            }
            length_ms % ms == 0
                || told(field, format!("{written} slices in {window}"), "choose a shorter slice")
        }
        (TimeWindow::Calendar(calendar), Slice::LocalDay) => {
            calendar.start.num_seconds_from_midnight() == 0
                || told(
                    field,
                    format!(
                        "{written} slices, and the window begins at {}",
                        calendar.start.format("%H:%M:%S")
                    ),
                    "days begin at midnight: let startTime end with 00:00:00",
                )
        }
        (TimeWindow::Calendar(calendar), Slice::Fixed(ms)) => {
            let begins = i64::from(calendar.start.num_seconds_from_midnight()) * 1000;
            let crossed = |offset: &i64| (begins - offset) % ms != 0;
            let offsets = offsets_ms(calendar.zone);
            if !offsets.iter().any(crossed) {
                return true;
            }
            let fitting = [30, 15, 10, 5, 3, 2, 1]
                .into_iter()
                .find(|m| offsets.iter().all(|offset| (begins - offset) % (m * MINUTE_MS) == 0));
            let hint = fitting.map(|m| format!("use {m}m")).unwrap_or_default();
            told(field, format!("{written} slices in {}", calendar.zone.name()), &hint)
        }
    }
}

/// The distances of a zone from UTC.
fn offsets_ms(zone: Tz) -> BTreeSet<i64> {
    let mut offsets = BTreeSet::new();
    let day = |year| NaiveDate::from_ymd_opt(year, 1, 1)?.and_hms_opt(12, 0, 0);
    let (Some(mut at), Some(end)) = (day(YEARS_CHECKED.start), day(YEARS_CHECKED.end)) else {
        return offsets;
    };
    while at < end {
        offsets
            .insert(i64::from(zone.offset_from_utc_datetime(&at).fix().local_minus_utc()) * 1000);
        at += TimeDelta::days(OFFSET_STEP_DAYS);
    }
    offsets
}

fn window_text(ms: i64) -> String {
    let (n, letter) = match ms {
        ms if ms % DAY_MS == 0 => (ms / DAY_MS, 'd'),
        ms if ms % HOUR_MS == 0 => (ms / HOUR_MS, 'h'),
        ms => (ms / MINUTE_MS, 'm'),
    };
    format!("{n}{letter}")
}
