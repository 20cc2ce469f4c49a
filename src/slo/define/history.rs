//! `nines.dev/target-history`: since when which target holds.

use super::reader::Field;
use super::times::instant_of;
use crate::slo::decimal::Decimal;
use crate::slo::definition::Target;
use crate::slo::diagnostic::Diagnostic;

/// Targets that an annotation may tell at most.
const TARGETS_MAX: usize = 1000;

/// Whether a number can be a target; why it cannot.
pub(super) fn check_target(target: Decimal) -> Result<(), (String, &'static str)> {
    if target >= Decimal::ONE {
        let hint = if target == Decimal::ONE {
            "a target of 1 leaves no budget: write for example 0.9999"
        } else {
            "targets are shares: write targetPercent, or 0.999 for 99.9 %"
        };
        return Err((format!("the target is {target}, and must be below 1"), hint));
    }
    if target < Decimal::ZERO {
        return Err((format!("the target is {target}, and must not be below 0"), ""));
    }
    Ok(())
}

/// Reads the lines: an instant and a target each, ascending. The first target holds for all time before as well.
pub(super) fn read(field: &Field<'_>) -> Option<Vec<Target>> {
    let text = field.text()?;
    let mut targets: Vec<Target> = Vec::new();
    let mut fine = true;
    let mut before = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let words: Vec<(usize, &str)> =
            words(line).map(|(from, word)| (start + from, word)).collect();
        let Some((first, _)) = words.first() else { continue };
        let mut tell = |offset: usize, code, message: String, hint: &str| {
            let told = Diagnostic::error(&field.inside(offset), &field.path, code, message);
            field.report.tell(told.hint(hint));
            fine = false;
        };
        let [(instant_at, instant), (target_at, target)] = words.as_slice() else {
            let message = "a line is an instant and a target".to_owned();
            tell(*first, "target-history", message, "write 2026-04-16T00:00:00+00:00 0.9995");
            continue;
        };
        let Some(from_ms) = instant_of(instant) else {
            let message = format!("{instant:?} is not an instant");
            tell(
                *instant_at,
                "bad-time",
                message,
                "write 2026-04-16T00:00:00+00:00 or seconds since 1970",
            );
            continue;
        };
        let target: Decimal = match target.parse() {
            Ok(target) => target,
            Err(error) => {
                tell(*target_at, "bad-number", format!("{error}"), "");
                continue;
            }
        };
        if let Err((message, hint)) = check_target(target) {
            tell(*target_at, "target-out-of-range", message, hint);
            continue;
        }
        if before.is_some_and(|before| from_ms <= before) {
            let message = format!("{instant} is not after the line before");
            tell(
                *instant_at,
                "target-history-order",
                message,
                "lines ascend: add new targets at the end",
            );
            continue;
        }
        before = Some(from_ms);
        let from_ms = if targets.is_empty() { i64::MIN } else { from_ms };
        targets.push(Target { from_ms, target });
    }
    if targets.len() > TARGETS_MAX {
        field.error("too-large", format!("there are more than {TARGETS_MAX} targets"));
        return None;
    }
    if targets.is_empty() && fine {
        field.error("empty", "the history has no line");
        return None;
    }
    fine.then_some(targets)
}

/// Words with the bytes at which they begin.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split_whitespace().map(|word| (word.as_ptr() as usize - line.as_ptr() as usize, word))
}

/// Tells a history whose last target is not that of the objective.
pub(super) fn check_last(targets: &[Target], target: Decimal, field: &Field<'_>) -> bool {
    let Some(last) = targets.last() else { return true };
    if last.target == target {
        return true;
    }
    let message = format!(
        "target is {target} but the last line of nines.dev/target-history is {}",
        last.target
    );
    let hint =
        format!("append a line to the history: the day from which {target} holds, and {target}");
    field.error_hint("target-history-mismatch", message, hint);
    false
}
