//! `kind: Exclusion` of nines.dev/v1.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use rrule::{Frequency, RRule, Unvalidated};

use super::reader::{Field, Fields};
use super::{Reference, metadata, times};
use crate::slo::definition::{Exclusion, ExclusionMode, When};

/// Longest recurrence rule, in bytes.
const RRULE_BYTES_MAX: usize = 1000;

/// What an exclusion is about, as references.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) services: Vec<Reference>,
    pub(super) slos: Vec<Reference>,
}

/// Reads an exclusion.
pub(super) fn read(document: &Fields<'_>) -> Option<(Exclusion, About)> {
    let metadata = metadata::read(document);
    let spec = document.need("spec").and_then(|field| field.fields());
    document.finish();
    let spec = spec?;
    let class =
        spec.need_hint("class", "write scheduled-maintenance").and_then(|field| field.word());
    let when = when(&spec);
    let about = spec.get("match").map(|field| about(&field));
    let modes = [("exclude", ExclusionMode::Exclude), ("good", ExclusionMode::Good)];
    let mode = spec.get("mode").map_or(Some(ExclusionMode::Exclude), |field| field.one_of(&modes));
    let note = spec
        .need_hint("note", "say why this time is counted otherwise")
        .and_then(|field| field.word());
    let author = spec.need_hint("author", "say who decided it").and_then(|field| field.word());
    let created = spec.get("createdAt").map(|field| times::instant(&field));
    spec.finish();
    let (about, labels) = match about {
        Some(told) => told?,
        None => (About::default(), BTreeMap::new()),
    };
    let created_ms = match created {
        Some(told) => Some(told?),
        None => None,
    };
    let metadata = metadata?;
    let names = |references: &[Reference]| references.iter().map(|one| one.name.clone()).collect();
    let exclusion = Exclusion {
        name: metadata.name,
        class: class?.to_owned(),
        when: when?,
        services: names(&about.services),
        slos: names(&about.slos),
        labels,
        mode: mode?,
        note: note?.to_owned(),
        author: author?.to_owned(),
        created_ms,
        place: metadata.place,
    };
    Some((exclusion, about))
}

fn about(field: &Field<'_>) -> Option<(About, BTreeMap<String, String>)> {
    let fields = field.fields()?;
    let references = |name| match fields.get(name) {
        Some(list) => {
            let items: Vec<_> = list.list()?.iter().map(Reference::read).collect();
            items.into_iter().collect()
        }
        None => Some(Vec::new()),
    };
    let (services, slos) = (references("services"), references("slos"));
    let labels = fields.get("labels").map(|field| metadata::labels(&field)).unwrap_or_default();
    fields.finish();
    Some((About { services: services?, slos: slos? }, labels))
}

fn when(spec: &Fields<'_>) -> Option<When> {
    let rule = spec.get("rrule");
    let (from, to) = (spec.need("from"), spec.get("to"));
    let (zone, duration) = (spec.get("timeZone"), spec.get("duration"));
    let Some(rule) = rule else {
        for (name, field) in [("timeZone", zone), ("duration", duration)] {
            if field.is_some() {
                let message = format!("{name} has a meaning with rrule only");
                spec.error_at_key(
                    name,
                    "settings-differ",
                    message,
                    "write from and to with their offset from UTC",
                );
                return None;
            }
        }
        let to = to.or_else(|| spec.need("to"));
        let from = from.and_then(|field| times::instant(&field));
        let (to_ms, to) = to.and_then(|field| Some((times::instant(&field)?, field)))?;
        let from_ms = from?;
        if to_ms <= from_ms {
            to.error("exclusion-order", "to is not after from");
            return None;
        }
        return Some(When::Once { from_ms, to_ms });
    };
    if let Some(to) = to {
        to.error_hint("settings-differ", "to has no meaning with rrule", "write duration: 2h");
        return None;
    }
    let zone = zone.or_else(|| spec.need_hint("timeZone", "write UTC or Europe/Amsterdam"));
    let duration = duration.or_else(|| spec.need_hint("duration", "write 2h"));
    let zone = zone.and_then(|field| times::zone(&field));
    let length = duration.and_then(|field| times::length(&field));
    let start = from.and_then(|field| times::wall_clock(&field));
    let written = rule.word()?;
    let (start, zone, length_ms) = (start?, zone?, length?);
    let text = written.strip_prefix("RRULE:").unwrap_or(written);
    if let Err(error) = check_rule(text, start, zone) {
        let message = format!("{text:?} is no recurrence rule: {error}");
        rule.error_hint("bad-rrule", message, "write FREQ=WEEKLY;BYDAY=SU");
        return None;
    }
    Some(When::Repeated { start, zone, rrule: text.to_owned(), length_ms })
}

/// Whether a rule can be expanded from a beginning.
fn check_rule(text: &str, start: NaiveDateTime, zone: Tz) -> Result<(), String> {
    if text.len() > RRULE_BYTES_MAX || text.contains(['\n', '\r']) {
        return Err(format!("it is longer than {RRULE_BYTES_MAX} bytes, or has several lines"));
    }
    let rule: RRule<Unvalidated> = text.parse().map_err(|error| format!("{error}"))?;
    if matches!(rule.get_freq(), Frequency::Minutely | Frequency::Secondly) {
        return Err("it repeats more often than every hour".to_owned());
    }
    let zone = rrule::Tz::from(zone);
    let begin = |at: NaiveDateTime| zone.from_local_datetime(&at).earliest();
    // A time that the clock skips is that of the hour behind.
    let begin = begin(start).or_else(|| begin(start + TimeDelta::hours(1)));
    let begin = begin.ok_or_else(|| "its beginning does not exist".to_owned())?;
    rule.validate(begin).map(|_| ()).map_err(|error| format!("{error}"))
}
