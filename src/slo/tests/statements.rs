//! Statements of SLAs, and the exclusions that come while the program runs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use nines_storage::disk::Disk;
use nines_storage::query::BudgetLimits;

use super::states::{FEBRUARY, definition, machines};
use super::*;
use crate::slo::amend;
use crate::slo::definition::{Exclusion, ExclusionMode, Place, Sla, Tier, When};
use crate::slo::error::SloError;
use crate::slo::journal::{AUTHOR_BYTES_MAX, Journal};
use crate::slo::report::Instant;
use crate::slo::sla::{self, Closer, Done, Due, Figures, State, Statement};
use crate::slo::sum::Sum;

fn agreement(scope: &str, window: &str, more: &str) -> String {
    format!(
        "---
apiVersion: nines.dev/v1
kind: SLA
metadata: {{name: promise}}
spec:
  slo: case
  party: everybody
  scope: {scope}
  target: 0.9999
  window: {{duration: {window}, timeZone: UTC}}
  closeAfter: 3d
{more}"
    )
}

fn lost_time() -> String {
    agreement("perGroup", "1M", "  credit: {kind: lostTime}\n")
}

fn journal() -> Journal {
    Journal::open(Arc::new(SimDisk::new()) as Arc<dyn Disk>, Path::new("/data/slo/t/journal"))
        .unwrap()
}

fn promise<'a>(desk: &Desk<'a>) -> &'a Sla {
    &desk.definitions.slas["promise"]
}

fn statement(bench: &Bench, documents: &str, journal: Option<&Journal>, label: &str) -> Statement {
    bench.with(documents, NOW, |desk| {
        let period = sla::period(promise(desk), label).unwrap();
        sla::statement(desk, journal, promise(desk), &period).unwrap()
    })
}

fn close(
    bench: &Bench,
    documents: &str,
    journal: &Journal,
    label: &str,
) -> Result<Statement, SloError> {
    bench.with(documents, NOW, |desk| {
        let period = sla::period(promise(desk), label)?;
        sla::close(desk, journal, promise(desk), &period, "ada@example.com")
    })
}

#[test]
fn machines_have_a_statement_each() {
    let bench = machines(false);
    let documents = definition(", noData: ignore") + &lost_time();
    let statement = statement(&bench, &documents, None, "2026-02");
    let figures = &statement.figures;
    assert_eq!(statement.state, State::Open);
    let lines: Vec<_> = figures
        .groups
        .iter()
        .map(|line| (line.counted.0, line.bad.0, line.met.unwrap(), line.credit.unwrap()))
        .collect();
    let minutes = |minutes| Due::LostTime { minutes: Some(minutes) };
    assert_eq!(
        lines,
        [
            (8064.0, 3.0, false, minutes(15.0)),
            (3932.0, 1.0, false, minutes(5.0)),
            (8064.0, 0.0, true, minutes(0.0))
        ]
    );
    near(figures.groups[0].sli, 0.999_627_976_190_476_2);
    near(figures.groups[1].sli, 0.999_745_676_500_508_6);
    assert_eq!((figures.summary.met, figures.summary.of, figures.summary.no_data), (1, 3, 0));
    assert_eq!((figures.pooled.counted.0, figures.pooled.bad.0), (20_060.0, 4.0));
    near(figures.pooled.sli, 5014.0 / 5015.0);
    // Judged one by one, all together neither kept the promise nor broke it.
    assert_eq!((figures.pooled.met, figures.pooled.credit), (None, None));
    let spans = |at: usize| -> Vec<(i64, i64)> {
        figures.groups[at].downtime.iter().map(|span| (span.from.0, span.to.0)).collect()
    };
    assert_eq!(spans(0), [(FEBRUARY.0 + 500 * MINUTE, FEBRUARY.0 + 515 * MINUTE)]);
    let mid = FEBRUARY.0 + 14 * DAY;
    assert_eq!(spans(1), [(mid + 2500 * MINUTE, mid + 2505 * MINUTE)]);
    assert!(figures.groups[2].downtime.is_empty());
}

#[test]
fn together_they_have_one_verdict() {
    let bench = machines(false);
    let tiers = "  credit: {tiers: [{below: 0.9995, percent: 10}, {below: 0.99, percent: 30}]}\n";
    let documents = definition("") + &agreement("pooled", "1M", tiers);
    let figures = statement(&bench, &documents, None, "2026-02").figures;
    assert_eq!((figures.pooled.met, figures.summary.of), (Some(false), 1));
    assert_eq!(figures.pooled.credit, Some(Due::Tiers { percent: "0".parse().unwrap() }));
    assert!(figures.groups.iter().all(|line| line.met.is_none() && line.credit.is_none()));
    let down: Vec<usize> = figures.groups.iter().map(|line| line.downtime.len()).collect();
    assert_eq!(down, [1, 1, 0]);
}

#[test]
fn the_lowest_tier_that_the_ratio_is_below_counts() {
    let tier = |below: &str, percent: &str| Tier {
        below: below.parse().unwrap(),
        percent: percent.parse().unwrap(),
    };
    let tiers = [tier("0.9995", "10"), tier("0.99", "30"), tier("0.95", "100")];
    for (bad, percent) in [(4, "0"), (5, "10"), (89, "10"), (90, "30"), (446, "30"), (447, "100")] {
        let found = sla::percent(&tiers, &Sum::of(f64::from(bad)), &Sum::of(8928.0));
        assert_eq!(found.to_string(), percent, "{bad} bad slices");
    }
    assert_eq!(sla::percent(&tiers, &Sum::default(), &Sum::default()).to_string(), "0");
}

fn maintenance(name: &str, class: &str, labels: &[(&str, &str)]) -> Exclusion {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Exclusion {
        name: name.to_owned(),
        class: class.to_owned(),
        when: When::Once { from_ms: FEBRUARY.0 + 502 * MINUTE, to_ms: FEBRUARY.0 + 508 * MINUTE },
        services: Vec::new(),
        slos: Vec::new(),
        labels: labels.iter().map(pair).collect::<BTreeMap<_, _>>(),
        mode: ExclusionMode::Exclude,
        note: "firmware".to_owned(),
        author: "ada".to_owned(),
        created_ms: Some(NOW),
        place: Place::default(),
    }
}

#[test]
fn classes_that_are_agreed_upon_count_and_cut_the_downtime() {
    let bench = machines(false);
    let more = "  exclusions: [scheduled-maintenance]\n  credit: {kind: lostTime}\n";
    let documents = definition("") + &agreement("perGroup", "1M", more);
    let first = |exclusion: &Exclusion| {
        bench.with(&documents, NOW, |desk| {
            let desk = Desk { exclusions: &[exclusion], ..*desk };
            let period = sla::period(promise(&desk), "2026-02").unwrap();
            let figures = sla::figures(&desk, promise(&desk), &period, true).unwrap();
            let line = &figures.groups[0];
            let spans: Vec<_> = line.downtime.iter().map(|span| (span.from.0, span.to.0)).collect();
            (line.counted.0, line.bad.0, spans, figures.exclusions.clone())
        })
    };
    let at = |minutes: i64| FEBRUARY.0 + minutes * MINUTE;
    let whole = (8064.0, 3.0, vec![(at(500), at(515))], Vec::<String>::new());
    assert_eq!(first(&maintenance("x", "customer-initiated", &[])), whole);
    let told = vec!["x".to_owned()];
    let cut = (8062.0, 1.0, vec![(at(510), at(515))], told);
    assert_eq!(first(&maintenance("x", "scheduled-maintenance", &[])), cut);
    assert_eq!(first(&maintenance("x", "scheduled-maintenance", &[("hypervisor", "hv1")])), cut);
    assert_eq!(first(&maintenance("x", "scheduled-maintenance", &[("hypervisor", "hv2")])).1, 3.0);
}

/// A counter that lost ten minutes, in which it began anew.
fn gap(bench: &Bench, late: bool) {
    let minutes = |of: &dyn Fn(i64) -> f64| -> Vec<(i64, f64)> {
        let is_late = |minute: &i64| (21..=30).contains(minute);
        let wanted = (0..=60).filter(|minute| is_late(minute) == late);
        wanted.map(|minute| (T0 + minute * MINUTE, of(minute))).collect()
    };
    let since = |minute: i64| if minute <= 25 { minute } else { minute - 25 };
    bench.push("all_total", minutes(&|minute| 100.0 * since(minute) as f64));
    bench.push("bad_total", minutes(&|minute| if (10..=25).contains(&minute) { 6.0 } else { 0.0 }));
}

#[test]
fn what_was_closed_stays_and_is_restated() {
    let bench = Bench::new();
    let documents = ratio("bad_total", "all_total", "0.999")
        + &agreement("pooled", "1d", "").replace("0.9999", "0.999");
    gap(&bench, false);
    let journal = journal();
    let label = "2026-01-01";
    let closed = close(&bench, &documents, &journal, label).unwrap();
    assert_eq!(closed.state, State::Final);
    assert_eq!((closed.figures.pooled.counted.0, closed.figures.pooled.met), (5500.0, Some(false)));
    // Once more: nothing is news.
    close(&bench, &documents, &journal, label).unwrap();
    assert_eq!(journal.book().entries.len(), 1);

    gap(&bench, true);
    let seen = statement(&bench, &documents, Some(&journal), label);
    assert_eq!((seen.state, &seen.figures), (State::Restated, &closed.figures));
    assert_eq!(seen.restatements[0].recorded, None);
    let restated = close(&bench, &documents, &journal, label).unwrap();
    assert_eq!((restated.state, &restated.figures), (State::Restated, &closed.figures));
    let [one] = restated.restatements.as_slice() else { panic!("{restated:?}") };
    assert_eq!((one.revision, one.recorded.as_ref().unwrap().seq), (2, 2));
    assert_eq!((one.figures.pooled.counted.0, one.figures.pooled.met), (6000.0, Some(true)));
    assert!(one.figures.revision > closed.figures.revision);
    let sides = |change: &sla::Change| {
        let counted = |line: &Option<sla::Line>| line.as_ref().map(|line| line.counted.0);
        (counted(&change.before), counted(&change.after))
    };
    assert!(one.changes.iter().all(|change| sides(change) == (Some(5500.0), Some(6000.0))));
    assert_eq!(restated.clone().of_revision(1).unwrap().figures, closed.figures);
    assert_eq!(restated.clone().of_revision(2).unwrap().figures.pooled.counted.0, 6000.0);
    assert_eq!(restated.of_revision(3), None);
}

#[test]
fn a_period_that_is_not_over_is_not_closed() {
    let bench = machines(false);
    let documents = definition("") + &lost_time();
    let journal = journal();
    let error = bench.with(&documents, FEBRUARY.1 - 1, |desk| {
        let period = sla::period(promise(desk), "2026-02").unwrap();
        sla::close(desk, &journal, promise(desk), &period, "ada").unwrap_err()
    });
    assert!(error.to_string().contains("is not over: it ends at 2026-03-01T00:00:00Z"), "{error}");
    for label in ["2026-13", "2026", "2026-02-01", "x", "2026-Q1"] {
        let error = close(&bench, &documents, &journal, label).unwrap_err();
        assert!(matches!(error, SloError::NotFound(_)), "{label}: {error}");
    }
    assert!(journal.book().entries.is_empty());
}

/// One look at the only SLA in a round of its own; there is no time for the period number `hasty`, from 0.
fn look(
    (bench, closer, journal): (&Bench, &mut Closer, &Arc<Journal>),
    documents: &str,
    exclusions: &[&Exclusion],
    (now_ms, since_ms): (i64, Option<i64>),
    hasty: Option<u32>,
) -> Done {
    closer.begin(now_ms);
    let asked = Cell::new(0);
    let budget = || {
        let is_hasty = hasty == Some(asked.replace(asked.get() + 1));
        let limits = BudgetLimits {
            samples_max: u64::MAX,
            series_max: u64::MAX,
            bytes_max: u64::MAX,
            timeout: if is_hasty { Duration::ZERO } else { Duration::from_secs(3600) },
        };
        Budget::new(limits, Arc::default())
    };
    bench.with(documents, now_ms, |desk| {
        let all: Vec<&Exclusion> =
            desk.exclusions.iter().copied().chain(exclusions.iter().copied()).collect();
        let desk = Desk { exclusions: &all, ..*desk };
        closer.look(&desk, "t", promise(&desk), since_ms, journal, &budget).unwrap()
    })
}

const NOTHING: Done = Done { closed: 0, restated: 0 };
const CLOSED: Done = Done { closed: 1, restated: 0 };
const RESTATED: Done = Done { closed: 0, restated: 1 };

#[test]
fn statements_close_by_themselves_in_time() {
    let bench = machines(false);
    let documents = definition("") + &lost_time();
    let journal = Arc::new(journal());
    let mut closer = Closer::default();
    let mut look = |now_ms: i64, since_ms: Option<i64>| {
        let of = (&bench, &mut closer, &journal);
        look(of, &documents, &[], (now_ms, since_ms), None)
    };
    assert_eq!(look(FEBRUARY.1 + 3 * DAY - 1, None), NOTHING);
    // Long after the period, and the SLA is newer than it.
    assert_eq!(look(FEBRUARY.1 + 100 * DAY, Some(FEBRUARY.1 + 99 * DAY)), NOTHING);
    assert_eq!(look(FEBRUARY.1 + 100 * DAY, Some(FEBRUARY.1 - 1)), CLOSED);
    assert_eq!(look(FEBRUARY.1 + 100 * DAY, Some(FEBRUARY.1 - 1)), NOTHING);
    assert_eq!(journal.book().entries[0].author, "nines");
    bench.push(r#"vstate{droplet="d4"}"#, [(FEBRUARY.1 - DAY, 0.0)]);
    assert_eq!(look(FEBRUARY.1 + 100 * DAY, None), RESTATED);
    assert_eq!(look(FEBRUARY.1 + 100 * DAY, None), NOTHING);
}

#[test]
fn a_changed_definition_and_a_new_exclusion_restate_what_was_closed() {
    let bench = machines(false);
    let documents = definition("") + &lost_time();
    let journal = Arc::new(journal());
    let mut closer = Closer::default();
    let when = (FEBRUARY.1 + 10 * DAY, None);
    let mut look = |documents: &str, exclusions: &[&Exclusion]| {
        look((&bench, &mut closer, &journal), documents, exclusions, when, None)
    };
    assert_eq!(look(&documents, &[]), CLOSED);
    assert_eq!(look(&documents, &[]), NOTHING);
    let made = maintenance("x", "c", &[]);
    assert_eq!(look(&documents, &[&made]), RESTATED);
    assert_eq!(look(&documents, &[&made]), NOTHING);
    // It was revoked.
    assert_eq!(look(&documents, &[]), RESTATED);
    let lower = documents.replace("target: 0.9999", "target: 0.9");
    assert_ne!(lower, documents);
    assert_eq!(look(&lower, &[]), RESTATED);
    assert_eq!(look(&lower, &[]), NOTHING);
}

/// A counter with a hundred events a minute in the first hour of some days.
fn days(bench: &Bench, days: &[i64]) {
    for day in days {
        let at = |i: i64| (T0 + day * DAY + MINUTE + i * MINUTE, 100.0 * i as f64);
        bench.push("all_total", (0..60).map(at));
        bench.push("bad_total", (0..60).map(|i| (at(i).0, 0.0)));
    }
}

#[test]
fn a_period_that_fails_does_not_stop_the_others() {
    let bench = Bench::new();
    days(&bench, &[1, 2, 3]);
    let documents = ratio("bad_total", "all_total", "0.999") + &agreement("pooled", "1d", "");
    let journal = Arc::new(journal());
    let mut closer = Closer::default();
    let now = T0 + 8 * DAY;
    let mut look = |now: i64, hasty: Option<u32>| {
        let of = (&bench, &mut closer, &journal);
        let done = look(of, &documents, &[], (now, Some(T0)), hasty);
        (done.closed, closer.failing())
    };
    let (closed, failing) = look(now, Some(2));
    assert_eq!(closed, 2);
    let why = failing.unwrap();
    assert!(why.starts_with("SLA \"promise\", period 2026-01-03, tenant \"t\": "), "{why}");
    // It rests before it is tried again, and is told all the time.
    assert_eq!(look(now + 59_000, None), (0, Some(why)));
    assert_eq!(look(now + 60_000, None), (1, None));
    assert_eq!(journal.book().statements.len(), 3);
}

#[test]
fn periods_without_data_are_looked_at_once() {
    let bench = Bench::new();
    let documents = ratio("bad_total", "all_total", "0.999") + &agreement("pooled", "1d", "");
    let journal = Arc::new(journal());
    let mut closer = Closer::default();
    let mut looks = || {
        let asked = Cell::new(0);
        closer.begin(T0 + 8 * DAY);
        let done = bench.with(&documents, T0 + 8 * DAY, |desk| {
            let budget = || {
                asked.set(asked.get() + 1);
                Budget::unlimited()
            };
            closer.look(desk, "t", promise(desk), Some(T0), &journal, &budget).unwrap()
        });
        (done.closed, asked.get())
    };
    assert_eq!(looks(), (0, 5));
    assert_eq!(looks(), (0, 0));
    days(&bench, &[2]);
    // The day before as well: its last moment is the first one of this day.
    assert_eq!(looks(), (1, 2));
    assert_eq!(looks(), (0, 0));
}

#[test]
fn an_agreement_of_many_years_goes_on() {
    let bench = Bench::new();
    days(&bench, &[3]);
    let documents = ratio("bad_total", "all_total", "0.999") + &agreement("pooled", "1d", "");
    let journal = Arc::new(journal());
    let mut closer = Closer::default();
    let since = T0 - 2_500 * DAY;
    let of = (&bench, &mut closer, &journal);
    let done = look(of, &documents, &[], (T0 + 8 * DAY, Some(since)), None);
    assert_eq!(done, CLOSED);
}

#[test]
fn samples_that_retention_has_taken_are_no_news() {
    let ratios = ratio("bad_total", "all_total", "0.999");
    let raw = "apiVersion: openslo/v1
kind: SLO
metadata: {name: case}
spec:
  service: s
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: i}
    spec: {ratioMetric: {rawType: failure, raw: {metricSource: {type: nines, spec: {query: error_ratio}}}}}
  objectives: [{displayName: x, target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 1h}]
";
    let expression = "apiVersion: openslo/v1
kind: SLO
metadata: {name: case}
spec:
  service: s
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: i}
    spec: {ratioMetric: {rawType: failure, raw: {metricSource: {type: nines, spec: {query: 'max(error_ratio) * 1'}}}}}
  objectives: [{displayName: x, target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 1h}]
";
    for slo in [ratios.as_str(), raw, expression] {
        let options = StoreOptions {
            retention: Some(Duration::from_secs(5 * 86_400)),
            ..StoreOptions::default()
        };
        let bench = Bench::with_options(options);
        days(&bench, &[1, 2]);
        let all = (0..24 * 12 * 30).map(|i| (T0 + DAY + i * 5 * MINUTE + 1, 0.01));
        bench.push("error_ratio", all);
        let documents = slo.to_owned() + &agreement("pooled", "1d", "");
        let journal = journal();
        let label = "2026-01-02";
        let closed = close(&bench, &documents, &journal, label).unwrap();
        assert!(closed.figures.pooled.counted.0 > 0.0);
        bench.db.roll_all(T0 + 40 * DAY).unwrap();
        bench.store.maintain(T0 + 40 * DAY).unwrap();
        let seen = statement(&bench, &documents, Some(&journal), label);
        assert_eq!((seen.state, seen.restatements.as_slice()), (State::Final, &[][..]), "{slo}");
        close(&bench, &documents, &journal, label).unwrap();
        assert_eq!(journal.book().entries.len(), 1, "{slo}");
    }
}

#[test]
fn figures_are_read_back_as_they_were() {
    let bench = machines(false);
    let documents = definition("") + &lost_time();
    let figures = statement(&bench, &documents, None, "2026-02").figures;
    let text = serde_json::to_string(&figures).unwrap();
    assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
}

#[test]
fn an_exclusion_needs_a_note_and_an_author() {
    let definitions = Definitions::default();
    let spec = r#"{"class": "maintenance", "from": "2026-03-29T01:30:00Z",
 "to": "2026-03-29T02:30:00Z", "match": {"services": ["nobody"]}"#;
    let read = |more: &str| amend::read(&format!("{spec}{more}}}"), "x-1", &definitions, NOW);
    let told = read("").unwrap_err();
    let codes: Vec<_> = told.iter().map(|one| (one.path.as_str(), one.line)).collect();
    assert!(codes.contains(&("spec.note", 1)) && codes.contains(&("spec.author", 1)), "{told:?}");
    let good = read(r#", "note": "firmware", "author": "ada""#).unwrap();
    assert_eq!((good.exclusion.name.as_str(), good.exclusion.created_ms), ("x-1", Some(NOW)));
    assert_eq!(good.warnings.len(), 1, "{:?}", good.warnings);
    assert!(good.warnings[0].message.contains("no service \"nobody\""));
    let empty = read(r#", "note": " ", "author": "ada""#).unwrap_err();
    assert!(empty.iter().any(|one| one.path == "spec.note"), "{empty:?}");
    let dated = read(r#", "note": "n", "author": "ada", "createdAt": "2020-01-01T00:00:00Z""#);
    assert!(dated.unwrap_err()[0].message.contains("createdAt"));
    let two = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n";
    assert_eq!(amend::read(two, "x", &definitions, NOW).unwrap_err()[0].code, "not-one-exclusion");
    assert!(!amend::read("{", "x", &definitions, NOW).unwrap_err().is_empty());
}

#[test]
fn exclusions_of_the_journal_hold_until_they_are_revoked() {
    let journal = journal();
    let definitions = Definitions::default();
    let exclusion = maintenance("x", "c", &[("a", "b")]);
    amend::create(&journal, &definitions, &exclusion, 5).unwrap();
    let again = amend::create(&journal, &definitions, &exclusion, 6).unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
    let listed = amend::list(&definitions, Some(&journal.book()));
    assert!(
        listed[0].in_force && listed[0].exclusion.after_the_fact && listed[0].source == "journal"
    );
    let revoke = |name, note| amend::revoke(Some(&journal), &definitions, (name, "bob", note), 7);
    assert!(matches!(revoke("y", "n").unwrap_err(), SloError::NotFound(_)));
    assert!(revoke("x", "").unwrap_err().to_string().contains("needs note"));
    assert_eq!(journal.book().in_force().count(), 1);
    revoke("x", "was wrong").unwrap();
    assert!(revoke("x", "once more").unwrap_err().to_string().contains("revoked already"));
    assert_eq!(journal.book().in_force().count(), 0);
    let listed = amend::list(&definitions, Some(&journal.book()));
    let by = listed[0].revoked.as_ref().unwrap();
    assert_eq!((by.at, by.author.as_str(), by.note.as_str()), (Instant(7), "bob", "was wrong"));
}

#[test]
fn those_without_a_name_get_one_each() {
    let (journal, definitions) = (journal(), Definitions::default());
    let spec = r#"{"class": "c", "from": "2026-03-29T01:30:00Z", "to": "2026-03-29T02:30:00Z",
 "note": "n", "author": "ada"}"#;
    let read = |name: &str| amend::read(spec, name, &definitions, NOW).unwrap().exclusion;
    let create = |one: &Exclusion| amend::create(&journal, &definitions, one, NOW).unwrap().0;
    // It has the name that the next one would get.
    assert_eq!(create(&read("exclusion-2027-02-05-2")), "exclusion-2027-02-05-2");
    let unnamed = read("");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| create(&unnamed));
        }
    });
    assert_eq!(journal.book().exclusions.len(), 9);
    let long = spec.replace("\"ada\"", &format!("{:?}", "a".repeat(AUTHOR_BYTES_MAX + 1)));
    let told = amend::read(&long, "x", &definitions, NOW).unwrap_err();
    assert_eq!(told[0].message, "spec.author is longer than 256 bytes");
}
