//! Operators between two vectors: series are matched by the labels of `on` or all but those of `ignoring`.
//!
//! Matching happens at every step: two series with the same matching labels are only in each other's way
//! where both have a sample.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use nines_storage::model::{Labels, LabelsBuilder, METRIC_NAME, stale_nan};

use super::aggregate::entry_bytes;
use super::ast::{BinaryOp, Cardinality, Span, VectorMatching};
use super::binary::{changes_meaning, element, symbol};
use super::error::{QueryError, Result};
use super::eval::{Evaluator, Hold, Rows, Sink, merge_equal};
use super::functions::Note;
use super::plan::Binary;
use super::quote::quote;
use super::row::{Row, Selection, is_absent, is_metadata};
use super::steps::Steps;

/// Numbers the distinct matching label sets of both sides.
struct Groups {
    selection: Selection,
    numbers: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
}

impl Groups {
    fn new(matching: &VectorMatching) -> Self {
        let selection = if matching.on {
            Selection::on(&matching.labels)
        } else {
            Selection::without(&matching.labels)
        };
        Self { selection, numbers: HashMap::new(), key: Vec::new() }
    }

    fn number(&mut self, labels: &Labels) -> usize {
        self.selection.key(labels, &mut self.key);
        if let Some(&number) = self.numbers.get(self.key.as_slice()) {
            return number;
        }
        let number = self.numbers.len();
        self.numbers.insert(self.key.clone(), number);
        number
    }

    fn number_all(&mut self, rows: &[Row]) -> Vec<usize> {
        rows.iter().map(|row| self.number(&row.labels)).collect()
    }
}

/// A flag for every step.
type Flags = Vec<bool>;

fn mark(flags: &mut Flags, row: &Row) {
    for (flag, &value) in flags.iter_mut().zip(&row.values) {
        *flag |= !is_absent(value);
    }
    for (step, _) in &row.histograms {
        if let Some(flag) = flags.get_mut(*step) {
            *flag = true;
        }
    }
}

impl<'a> Evaluator<'a> {
    /// Rows of `and`, `or`, `unless`.
    pub(super) fn set_rows(
        &self,
        steps: Steps,
        binary: &Binary,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let mut groups = Groups::new(&binary.matching);
        if binary.op == BinaryOp::Or {
            return self.union_rows(steps, binary, &mut groups, sink);
        }
        let keep_present = binary.op == BinaryOp::And;
        let mut present: HashMap<usize, Flags> = HashMap::new();
        let mut hold = self.hold();
        // Only where the right side has samples matters: its rows need not be kept.
        self.rows(steps, &binary.rhs, &mut |row| {
            let number = groups.number(&row.labels);
            if let Entry::Vacant(place) = present.entry(number) {
                hold.add(0, steps.n + entry_bytes(&row.labels))?;
                place.insert(vec![false; steps.n]);
            }
            present.entry(number).and_modify(|flags| mark(flags, row));
            Ok(())
        })?;
        self.rows(steps, &binary.lhs, &mut |row| {
            match present.get(&groups.number(&row.labels)) {
                None if keep_present => return Ok(()),
                None => {}
                Some(flags) => {
                    row.retain(|step| flags.get(step).copied().unwrap_or(false) == keep_present)
                }
            }
            if row.is_empty() { Ok(()) } else { sink(row) }
        })?;
        self.check()
    }

    fn union_rows(
        &self,
        steps: Steps,
        binary: &Binary,
        groups: &mut Groups,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let lhs = self.collect(steps, &binary.lhs)?;
        let mut present: HashMap<usize, Flags> = HashMap::new();
        let mut tables = self.hold();
        let table_bytes = |row: &Row| steps.n + entry_bytes(&row.labels);
        tables.add(0, lhs.list.iter().map(table_bytes).sum())?;
        for row in &lhs.list {
            mark(
                present.entry(groups.number(&row.labels)).or_insert_with(|| vec![false; steps.n]),
                row,
            );
        }
        let Rows { mut list, mut hold } = lhs;
        self.rows(steps, &binary.rhs, &mut |row| {
            if let Some(flags) = present.get(&groups.number(&row.labels)) {
                row.retain(|step| !flags.get(step).copied().unwrap_or(false));
            }
            if !row.is_empty() {
                hold.add(row.n_samples(), row.bytes())?;
                list.push(row.take());
            }
            Ok(())
        })?;
        // At an instant nothing can be equal that was not before; over a range a series may change sides.
        let list = if steps.is_instant() { list } else { merge_equal(list)? };
        for mut row in list {
            sink(&mut row)?;
        }
        Ok(())
    }

    /// Rows of arithmetic and comparisons.
    pub(super) fn matched_rows(
        &self,
        steps: Steps,
        span: Span,
        binary: &Binary,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let lhs = self.collect(steps, &binary.lhs)?;
        let rhs = self.collect(steps, &binary.rhs)?;
        let mut hold = self.hold();
        let labels = lhs.list.iter().chain(&rhs.list).map(|row| &row.labels);
        hold.add(0, labels.map(|labels| entry_bytes(labels) + 32).sum())?;
        let matching = &binary.matching;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if (lhs.list.is_empty() && rhs.list.is_empty())
            || ((lhs.list.is_empty() || rhs.list.is_empty()) && !fills)
        {
            return Ok(());
        }
        // The side that may have several series for one group is called many, the other one.
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (&rhs.list, &lhs.list) } else { (&lhs.list, &rhs.list) };
        let mut groups = Groups::new(matching);
        let many_groups = groups.number_all(many);
        let one_groups = groups.number_all(one);
        let n_groups = groups.numbers.len();
        let mut one_of_group: Vec<Vec<usize>> = vec![Vec::new(); n_groups];
        for (row, &group) in one_groups.iter().enumerate() {
            if let Some(list) = one_of_group.get_mut(group) {
                list.push(row);
            }
        }
        let mut many_in_group = vec![0usize; n_groups];
        for &group in &many_groups {
            if let Some(count) = many_in_group.get_mut(group) {
                *count += 1;
            }
        }
        self.check_one_side(steps, binary, many, one, &one_of_group)?;
        let mut joiner = Joiner {
            evaluator: self,
            steps,
            span,
            binary,
            swapped,
            out: Output::default(),
            hold,
            taken: HashMap::new(),
            matched: vec![None; n_groups],
        };
        for (index, (row, &group)) in many.iter().zip(&many_groups).enumerate() {
            if index % 64 == 0 {
                self.check()?;
            }
            let alone = many_in_group.get(group).copied() == Some(1);
            joiner.many_row(
                row,
                group,
                alone,
                one,
                one_of_group.get(group).map_or(&[], Vec::as_slice),
            )?;
        }
        if matching.fill_left.is_some() {
            for (row, &group) in one.iter().zip(&one_groups) {
                joiner.unmatched_one_row(row, group)?;
            }
        }
        let Joiner { out, hold, .. } = joiner;
        drop((lhs, rhs));
        for mut row in out.rows {
            if !row.is_empty() {
                sink(&mut row)?;
            }
        }
        drop(hold);
        Ok(())
    }

    /// Fails when the one side has two series of one group at the same step.
    fn check_one_side(
        &self,
        steps: Steps,
        binary: &Binary,
        many: &[Row],
        one: &[Row],
        one_of_group: &[Vec<usize>],
    ) -> Result<()> {
        let matching = &binary.matching;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        let mut earliest: Option<(usize, usize, usize)> = None;
        let mut many_present: Option<Flags> = None;
        for list in one_of_group.iter().filter(|list| list.len() > 1) {
            let mut seen: Vec<Option<usize>> = vec![None; steps.n];
            for &index in list {
                let Some(row) = one.get(index) else { continue };
                for (step, seen) in seen.iter_mut().enumerate() {
                    if !row.has(step) {
                        continue;
                    }
                    let Some(before) = seen.replace(index) else { continue };
                    let present = many_present.get_or_insert_with(|| {
                        let mut flags = vec![fills; steps.n];
                        many.iter().for_each(|row| mark(&mut flags, row));
                        flags
                    });
                    let counts = present.get(step).copied().unwrap_or(false);
                    if counts && earliest.is_none_or(|(at, second, _)| (step, index) < (at, second))
                    {
                        earliest = Some((step, index, before));
                    }
                }
            }
        }
        let Some((_, second, first)) = earliest else { return Ok(()) };
        let (Some(first), Some(second)) = (one.get(first), one.get(second)) else { return Ok(()) };
        let mut names = [prometheus_text(&first.labels), prometheus_text(&second.labels)];
        names.sort();
        let [a, b] = names;
        let side = if matching.card == Cardinality::OneToMany { "left" } else { "right" };
        let group = prometheus_text(&Groups::new(matching).selection.labels(&second.labels));
        Err(QueryError::execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{a}, \
             {b}];many-to-many matching not allowed: matching labels must be unique on one side"
        )))
    }
}

/// Joins rows of both sides.
struct Joiner<'e, 'a, 'b> {
    evaluator: &'e Evaluator<'a>,
    steps: Steps,
    span: Span,
    binary: &'b Binary,
    swapped: bool,
    out: Output,
    /// What the result and the tables are charged for.
    hold: Hold<'a>,
    /// Steps at which a result of a group and label set exists, kept where two could meet.
    taken: HashMap<(usize, Option<Labels>), Flags>,
    /// Steps at which a group was matched, kept where the left side is filled.
    matched: Vec<Option<Flags>>,
}

impl Joiner<'_, '_, '_> {
    fn many_row(
        &mut self,
        row: &Row,
        group: usize,
        alone: bool,
        one: &[Row],
        partners: &[usize],
    ) -> Result<()> {
        let mut unmatched: Option<Flags> = None;
        if self.binary.matching.fill_right.is_some() {
            let mut flags = vec![false; self.steps.n];
            mark(&mut flags, row);
            unmatched = Some(flags);
        }
        for partner in partners.iter().filter_map(|&index| one.get(index)) {
            let both = |step: usize| row.has(step) && partner.has(step);
            if let Some(unmatched) = &mut unmatched {
                (0..)
                    .zip(unmatched.iter_mut())
                    .for_each(|(step, flag)| *flag &= !partner.has(step));
            }
            let labels = self.result_labels(&row.labels, &partner.labels);
            self.join(row, partner, labels, group, alone, &both)?;
        }
        if let (Some(fill), Some(unmatched)) = (self.binary.matching.fill_right, unmatched)
            && unmatched.contains(&true)
        {
            let filler = self.filler(&row.labels, fill);
            let labels = self.result_labels(&row.labels, &filler.labels);
            self.join(row, &filler, labels, group, alone, &|step| {
                unmatched.get(step).copied().unwrap_or(false)
            })?;
        }
        Ok(())
    }

    /// A row of the one side joined with the fill value where nothing matched it.
    fn unmatched_one_row(&mut self, row: &Row, group: usize) -> Result<()> {
        let Some(fill) = self.binary.matching.fill_left else { return Ok(()) };
        let matched = self.matched.get(group).cloned().flatten();
        let free = |step: usize| {
            row.has(step)
                && !matched.as_ref().is_some_and(|flags| flags.get(step).copied().unwrap_or(false))
        };
        if !(0..self.steps.n).any(&free) {
            return Ok(());
        }
        let filler = self.filler(&row.labels, fill);
        let labels = self.result_labels(&filler.labels, &row.labels);
        self.join(&filler, row, labels, group, false, &free)
    }

    fn filler(&self, labels: &Labels, value: f64) -> Row {
        let matching = &self.binary.matching;
        let selection = Groups::new(matching).selection;
        let mut row = Row::new(selection.labels(labels), 0);
        row.values = vec![value; self.steps.n];
        row
    }

    /// Evaluates the operator where `takes` holds.
    fn join(
        &mut self,
        many: &Row,
        one: &Row,
        labels: Labels,
        group: usize,
        alone: bool,
        takes: &dyn Fn(usize) -> bool,
    ) -> Result<()> {
        let (lhs, rhs) = if self.swapped { (one, many) } else { (many, one) };
        let plain = many.histograms.is_empty() && one.histograms.is_empty();
        let fills_left = self.binary.matching.fill_left.is_some();
        let mut row = Row::new(labels, self.steps.n);
        row.drop_name = self.binary.return_bool;
        let mut any = false;
        for step in 0..self.steps.n {
            if !takes(step) {
                continue;
            }
            let value = if plain {
                let (l, r) = (value_at(lhs, step), value_at(rhs, step));
                if matches!(self.binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                    self.note_float_trim();
                    continue;
                }
                Some(element(self.binary.op, self.binary.return_bool, l, r, l))
            } else {
                self.mixed(lhs, rhs, step, &mut row)
            };
            let Some(value) = value else { continue };
            any = true;
            if let Some(place) = row.values.get_mut(step) {
                *place = value;
            }
            if !alone {
                self.take(group, &row.labels, step)?;
            }
            if fills_left && let Some(flags) = self.matched.get_mut(group) {
                let flags = flags.get_or_insert_with(|| vec![false; self.steps.n]);
                if let Some(flag) = flags.get_mut(step) {
                    *flag = true;
                }
            }
        }
        if !any {
            return Ok(());
        }
        self.hold.add(row.n_samples(), row.bytes() + entry_bytes(&row.labels))?;
        self.out.add(row)
    }

    fn note_float_trim(&self) {
        let operator = symbol(self.binary.op);
        let note = Note::IncompatibleTypesInBinOp { lhs: "float", operator, rhs: "float" };
        self.evaluator.note(note, self.span);
    }

    /// One step at which a side may be a histogram. `None`: no result; a kept histogram goes into the row.
    fn mixed(&self, lhs: &Row, rhs: &Row, step: usize, row: &mut Row) -> Option<f64> {
        let op = self.binary.op;
        match (lhs.histogram(step), rhs.histogram(step)) {
            (None, None) => {
                let (l, r) = (value_at(lhs, step), value_at(rhs, step));
                Some(element(op, self.binary.return_bool, l, r, l))
            }
            (Some(l), Some(r)) if matches!(op, BinaryOp::Eql | BinaryOp::Neq) => {
                let holds = (l == r) == (op == BinaryOp::Eql);
                if self.binary.return_bool {
                    return Some(f64::from(u8::from(holds)));
                }
                if holds {
                    row.histograms.push((step, Arc::clone(l)));
                }
                Some(stale_nan())
            }
            (l, r) => {
                self.evaluator.note_histogram_operation(
                    op,
                    r.is_some(),
                    l.is_some(),
                    lhs,
                    self.span,
                );
                None
            }
        }
    }

    /// Marks the result of a group at a step as there; fails when it was.
    fn take(&mut self, group: usize, labels: &Labels, step: usize) -> Result<()> {
        let one_to_one = self.binary.matching.card == Cardinality::OneToOne;
        let key = (group, (!one_to_one).then(|| labels.clone()));
        let flags = match self.taken.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                self.hold.add(0, self.steps.n + entry_bytes(labels))?;
                place.insert(vec![false; self.steps.n])
            }
        };
        let Some(flag) = flags.get_mut(step) else { return Ok(()) };
        if std::mem::replace(flag, true) {
            return Err(QueryError::execution(if one_to_one {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "multiple matches for labels: grouping labels must ensure unique matches"
            }));
        }
        Ok(())
    }

    /// Labels of a result: those of the many side, without the name when the operator changes what the values
    /// mean, only the matching labels when one matches one, and the included ones of the one side.
    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.binary.matching;
        let drops_name = changes_meaning(self.binary.op)
            || (self.binary.return_bool && !self.evaluator.delayed_name_removal);
        let one_to_one = matching.card == Cardinality::OneToOne;
        let stays = |name: &str| {
            if drops_name && is_metadata(name) {
                return false;
            }
            !one_to_one || matching.labels.iter().any(|label| label == name) == matching.on
        };
        if matching.include.is_empty() {
            if many.iter().all(|pair| stays(pair.0)) {
                return many.clone();
            }
            return Labels::from_pairs(many.iter().filter(|pair| stays(pair.0)));
        }
        let kept = Labels::from_pairs(many.iter().filter(|pair| stays(pair.0)));
        let mut builder = LabelsBuilder::new(&kept);
        for name in &matching.include {
            builder.set(name, one.get(name));
        }
        builder.build()
    }
}

fn value_at(row: &Row, step: usize) -> f64 {
    row.values.get(step).copied().unwrap_or(f64::NAN)
}

/// Result rows by label set, in the order in which they arose.
#[derive(Default)]
struct Output {
    rows: Vec<Row>,
    places: HashMap<Labels, usize>,
}

impl Output {
    fn add(&mut self, row: Row) -> Result<()> {
        if let Some(known) = self.places.get(&row.labels).and_then(|&at| self.rows.get_mut(at)) {
            return if known.merge(&row) { Ok(()) } else { Err(QueryError::same_labels()) };
        }
        self.places.insert(row.labels.clone(), self.rows.len());
        self.rows.push(row);
        Ok(())
    }
}

/// A label set as Prometheus prints it in messages: the name among the labels, names that are no identifiers
/// quoted.
pub(super) fn prometheus_text(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = quote(value);
            if is_identifier(name) {
                format!("{name}={value}")
            } else {
                format!("{}={value}", quote(name))
            }
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && (name == METRIC_NAME || !name.is_empty())
}
