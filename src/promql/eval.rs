//! Evaluation of planned nodes, series by series.
//!
//! Every vector-valued node *produces* its series one after the other into a sink; a series is a [`Row`]
//! with one column over all steps. What can work on one series at a time (functions, arithmetic with a
//! scalar, aggregations by sums) never holds more than one row; what needs several (matching, `topk`,
//! `sort`) collects them, charged to the budget.
//!
//! Native histograms pass through selectors, set operators and whatever does not look at values.
//! Arithmetic and functions over them are not evaluated yet: the sample is left out, with an annotation.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use nines_storage::model::is_stale;
use nines_storage::query::{Budget, Queryable};

use super::annotations::Annotations;
use super::ast::{Span, Text, ValueType};
use super::error::{QueryError, Result};
use super::functions::{EngineFn, Eval, Function, Note, Notes};
use super::plan::{Kind, Node, seconds};
use super::row::{Row, is_absent, without_metadata};
use super::steps::Steps;
use super::touched::Touched;

/// Takes the rows of a node, one after the other. It may take a row's contents out; otherwise the producer
/// uses its memory again. A row has at least one sample.
pub(super) type Sink<'s> = dyn FnMut(&mut Row) -> Result<()> + 's;

/// Evaluates nodes for one query.
pub(super) struct Evaluator<'a> {
    pub(super) data: &'a dyn Queryable,
    pub(super) budget: &'a Budget,
    pub(super) lookback_ms: i64,
    /// Step of the query, 0 for an instant query.
    pub(super) query_step_ms: i64,
    /// Whether metric names are dropped at the end only (`promql-delayed-name-removal`).
    pub(super) delayed_name_removal: bool,
    /// Threads that may work on one selector.
    pub(super) threads_max: usize,
    pub(super) annotations: &'a Mutex<Annotations>,
    pub(super) account: &'a Account,
    pub(super) touched: &'a Touched,
    pub(super) untold: &'a UntoldSteps,
}

/// Steps at which there may be samples that rows of the history do not tell, by their time.
#[derive(Debug, Default)]
pub(super) struct UntoldSteps(Mutex<BTreeSet<i64>>);

impl UntoldSteps {
    /// Adds steps.
    pub(super) fn add(&self, steps: impl IntoIterator<Item = i64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
    }

    /// All of them.
    pub(super) fn take(&self) -> BTreeSet<i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Samples that one query holds.
#[derive(Debug, Default)]
pub(super) struct Account {
    held: AtomicU64,
    peak: AtomicU64,
}

impl Account {
    /// Most samples held at once so far.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Memory charged to the budget until it is dropped.
pub(super) struct Hold<'a> {
    budget: &'a Budget,
    account: &'a Account,
    samples: u64,
    bytes: u64,
}

impl Hold<'_> {
    /// Charges more.
    pub(super) fn add(&mut self, samples: usize, bytes: usize) -> Result<()> {
        let (samples, bytes) = (samples as u64, bytes as u64);
        self.samples += samples;
        self.bytes += bytes;
        let held = self.account.held.fetch_add(samples, Ordering::Relaxed) + samples;
        self.account.peak.fetch_max(held, Ordering::Relaxed);
        let charged = self.budget.hold_samples(samples);
        let charged_bytes = self.budget.hold_bytes(bytes);
        charged.and(charged_bytes).map_err(QueryError::from)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.account.held.fetch_sub(self.samples, Ordering::Relaxed);
        self.budget.release_samples(self.samples);
        self.budget.release_bytes(self.bytes);
    }
}

/// Collected rows and their charge.
pub(super) struct Rows<'a> {
    pub(super) list: Vec<Row>,
    pub(super) hold: Hold<'a>,
}

impl<'a> Evaluator<'a> {
    /// An empty charge.
    pub(super) fn hold(&self) -> Hold<'a> {
        Hold { budget: self.budget, account: self.account, samples: 0, bytes: 0 }
    }

    /// The same, but counting what it touches elsewhere.
    pub(super) fn counting<'t>(&self, touched: &'t Touched) -> Evaluator<'t>
    where
        'a: 't,
    {
        Evaluator { touched, ..*self }
    }

    /// The same, but telling elsewhere which steps are untold.
    pub(super) fn telling<'t>(&self, untold: &'t UntoldSteps) -> Evaluator<'t>
    where
        'a: 't,
    {
        Evaluator { untold, ..*self }
    }

    /// Notes an annotation.
    pub(super) fn note(&self, note: Note, span: Span) {
        self.lock_annotations().add(note, span);
    }

    /// Notes several.
    pub(super) fn note_all(&self, notes: &mut Notes, span: Span) {
        if !notes.is_empty() {
            self.lock_annotations().add_all(notes, span);
        }
    }

    pub(super) fn lock_annotations(&self) -> std::sync::MutexGuard<'_, Annotations> {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the deadline has passed or the caller went away.
    pub(super) fn check(&self) -> Result<()> {
        self.budget.check().map_err(QueryError::from)
    }

    /// All rows of a vector-valued node.
    pub(super) fn collect(&self, steps: Steps, node: &Node) -> Result<Rows<'a>> {
        let mut rows = Rows { list: Vec::new(), hold: self.hold() };
        self.rows(steps, node, &mut |row| {
            rows.hold.add(row.n_samples(), row.bytes())?;
            rows.list.push(row.take());
            Ok(())
        })?;
        Ok(rows)
    }

    /// Produces the rows of a vector-valued node.
    pub(super) fn rows(&self, steps: Steps, node: &Node, sink: &mut Sink<'_>) -> Result<()> {
        if steps.n == 0 {
            return Ok(());
        }
        if self.delayed_name_removal || !drops_names(node) {
            return self.rows_as_named(steps, node, sink);
        }
        // Names go at once, so that series may become equal here.
        let mut rows = Rows { list: Vec::new(), hold: self.hold() };
        self.rows_as_named(steps, node, &mut |row| {
            rows.hold.add(row.n_samples(), row.bytes())?;
            rows.list.push(row.take());
            Ok(())
        })?;
        for row in &mut settle_names(rows.list)? {
            sink(row)?;
        }
        Ok(())
    }

    fn rows_as_named(&self, steps: Steps, node: &Node, sink: &mut Sink<'_>) -> Result<()> {
        match &node.kind {
            Kind::Selector(selector) => self.selector_rows(steps, node.span, selector, sink),
            Kind::Call { function, args } => self.call_rows(steps, node.span, function, args, sink),
            Kind::Aggregate(aggregate) => self.aggregate_rows(steps, node.span, aggregate, sink),
            Kind::Binary(binary) => self.binary_rows(steps, node.span, binary, sink),
            Kind::Negate(inner) => self.rows(steps, inner, &mut |row| {
                row.values.iter_mut().filter(|v| !is_stale(**v)).for_each(|v| *v = -*v);
                self.leave_histograms_out(row, node.span);
                row.drop_name = true;
                if row.is_empty() { Ok(()) } else { sink(row) }
            }),
            Kind::Invariant(inner) => {
                let (touched, untold) = (Touched::default(), UntoldSteps::default());
                let once = self.counting(&touched);
                let rows = once.telling(&untold).rows(steps.first(), inner, &mut |row| {
                    row.repeat(steps);
                    sink(row)
                });
                if !untold.take().is_empty() {
                    self.untold.add((0..steps.n).map(|step| steps.at(step)));
                }
                self.touched.add_everywhere(touched.total(), steps.n);
                rows
            }
            Kind::Number(_) | Kind::Text(_) | Kind::Subquery(_) => {
                Err(QueryError::execution("expected an instant vector"))
            }
        }
    }

    /// Drops the histograms of a row on which an operation is not evaluated yet.
    pub(super) fn leave_histograms_out(&self, row: &mut Row, span: Span) {
        if !row.histograms.is_empty() {
            row.histograms.clear();
            self.note(
                Note::HistogramNotSupported { metric: row.labels.metric_name().to_owned() },
                span,
            );
        }
    }

    /// The value of a scalar node at every step.
    pub(super) fn scalar(&self, steps: Steps, node: &Node) -> Result<Vec<f64>> {
        if steps.n == 0 {
            return Ok(Vec::new());
        }
        match &node.kind {
            Kind::Number(value) => Ok(vec![*value; steps.n]),
            Kind::Invariant(inner) => {
                let touched = Touched::default();
                let once = self.counting(&touched).scalar(steps.first(), inner)?;
                self.touched.add_everywhere(touched.total(), steps.n);
                Ok(vec![once.first().copied().unwrap_or(f64::NAN); steps.n])
            }
            Kind::Negate(inner) => {
                let mut values = self.scalar(steps, inner)?;
                values.iter_mut().for_each(|v| *v = -*v);
                Ok(values)
            }
            Kind::Binary(binary) => {
                let mut lhs = self.scalar(steps, &binary.lhs)?;
                let rhs = self.scalar(steps, &binary.rhs)?;
                for (l, r) in lhs.iter_mut().zip(&rhs) {
                    *l = super::binary::scalar_operation(binary.op, *l, *r);
                }
                Ok(lhs)
            }
            Kind::Call { function, args } => self.scalar_call(steps, function, args),
            _ => Err(QueryError::execution(format!(
                "expected a scalar, not {}",
                node.ty.documented()
            ))),
        }
    }

    fn scalar_call(&self, steps: Steps, function: &Function, args: &[Node]) -> Result<Vec<f64>> {
        let two = |fold: fn(f64, f64) -> f64| -> Result<Vec<f64>> {
            let [a, b] = args else { return Err(wrong_arguments(function)) };
            let mut a = self.scalar(steps, a)?;
            let b = self.scalar(steps, b)?;
            a.iter_mut().zip(&b).for_each(|(a, b)| *a = fold(*a, *b));
            Ok(a)
        };
        match function.eval {
            Eval::Engine(EngineFn::Pi) => Ok(vec![std::f64::consts::PI; steps.n]),
            Eval::Engine(EngineFn::Time) => {
                Ok((0..steps.n).map(|i| seconds(steps.at(i))).collect())
            }
            Eval::Engine(EngineFn::MinOf) => two(super::functions::min_of),
            Eval::Engine(EngineFn::MaxOf) => two(super::functions::max_of),
            Eval::Engine(EngineFn::Scalar) => {
                let [vector] = args else { return Err(wrong_arguments(function)) };
                let mut values = vec![f64::NAN; steps.n];
                let mut found = vec![0u8; steps.n];
                self.rows(steps, vector, &mut |row| {
                    for ((value, found), &v) in values.iter_mut().zip(&mut found).zip(&row.values) {
                        if !is_absent(v) {
                            *found = found.saturating_add(1);
                            *value = if *found == 1 { v } else { f64::NAN };
                        }
                    }
                    Ok(())
                })?;
                Ok(values)
            }
            _ => Err(QueryError::execution(format!("{}() does not give a scalar", function.name))),
        }
    }

    /// The text of a string argument.
    pub(super) fn text<'n>(&self, node: Option<&'n Node>) -> Result<&'n Text> {
        match node.map(|node| &node.kind) {
            Some(Kind::Text(text)) => Ok(text),
            _ => Err(QueryError::execution("expected a string")),
        }
    }
}

pub(super) fn wrong_arguments(function: &Function) -> QueryError {
    QueryError::execution(format!("wrong arguments of {}()", function.name))
}

/// Whether a node's rows may ask for their names to be dropped when their input did not.
fn drops_names(node: &Node) -> bool {
    match &node.kind {
        Kind::Call { .. } | Kind::Negate(_) | Kind::Binary(_) => node.ty == ValueType::Vector,
        _ => false,
    }
}

/// Drops the names of the rows that ask for it and merges rows whose label sets have become equal.
pub(super) fn settle_names(mut rows: Vec<Row>) -> Result<Vec<Row>> {
    for row in &mut rows {
        if std::mem::take(&mut row.drop_name) {
            row.labels = without_metadata(&row.labels);
        }
    }
    merge_equal(rows)
}

/// Merges rows of equal label sets; fails when two of them have a sample at the same step.
pub(super) fn merge_equal(rows: Vec<Row>) -> Result<Vec<Row>> {
    let hasher = DefaultHashBuilder::default();
    let mut places: HashTable<usize> = HashTable::with_capacity(rows.len());
    let mut merged: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        let labels = |at: &usize| merged.get(*at).map(|known| &known.labels);
        let hash = hasher.hash_one(Some(&row.labels));
        let equal = |at: &usize| labels(at) == Some(&row.labels);
        match places.entry(hash, equal, |at| hasher.hash_one(labels(at))) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(row);
            }
            Entry::Occupied(place) => {
                let at = *place.get();
                if merged.get_mut(at).is_some_and(|known| !known.merge(&row)) {
                    return Err(QueryError::same_labels());
                }
            }
        }
    }
    Ok(merged)
}
