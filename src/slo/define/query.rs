//! Queries of indicators: what is counted by increases of counters, and what only PromQL can tell.
//!
//! Other tools wrap a counter into `sum(rate(...[{{.window}}]))`. What such a query means is the increase of the
//! counter, which is counted exactly without the wrapper; so wrappers are taken off, as long as sums and
//! differences of selectors are left.

use std::ops::Range;

use nines_storage::model::Matcher;

use crate::promql::ast::{Aggregate, AggregateOp, Binary, Cardinality, EdgeMode};
use crate::promql::ast::{BinaryOp, Call, Expr, ExprKind, TimeShift, VectorSelector};
use crate::promql::{ParseError, parse};
use crate::slo::definition::Selector;

/// What stands for the slice in an expression that is asked of PromQL.
pub(super) const WINDOW: &str = "$__window";

/// A query that was read.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The counters it adds up, if that is all it does.
    pub(super) sum: Option<Selector>,
    /// Whether it is one selector without anything around it.
    pub(super) plain: bool,
    /// Whether `rate` or `increase` stand around its counters.
    pub(super) rated: bool,
    /// Labels of the aggregation around it.
    pub(super) by: Vec<String>,
    /// The query with [`WINDOW`] for the placeholders of other tools.
    pub(super) expr: String,
}

/// Reads a query. Places of the error are bytes of `text`.
pub(super) fn read(text: &str) -> Result<Query, ParseError> {
    let holes = placeholders(text);
    let tree = parse(&masked(text, &holes))?;
    let mut found = Found { text, terms: Vec::new(), around: None };
    let reducible = found.add(&tree, true);
    let mut expr = String::with_capacity(text.len());
    let mut at = 0;
    for hole in &holes {
        expr.push_str(&text[at..hole.start]);
        expr.push_str(WINDOW);
        at = hole.end;
    }
    expr.push_str(&text[at..]);
    let by = if reducible { grouping(&tree).unwrap_or_default() } else { Vec::new() };
    Ok(Query {
        plain: is_plain(&tree),
        rated: found.around == Some(Around::Window),
        sum: if reducible { found.selector() } else { None },
        by,
        expr: expr.trim().to_owned(),
    })
}

/// Names of time windows that other tools put into queries: `{{.window}}`, `$__rate_interval`, `${__interval}`.
fn placeholders(text: &str) -> Vec<Range<usize>> {
    let mut holes = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '$']) {
        let start = at + found;
        let rest = &text[start..];
        let len = if rest.starts_with("{{") {
            rest.find("}}").filter(|end| rest[2..*end].trim() == ".window").map(|end| end + 2)
        } else if rest.starts_with("${__") {
            rest.find('}').map(|end| end + 1)
        } else if let Some(name) = rest.strip_prefix("$__") {
            let letters =
                name.bytes().take_while(|b| b.is_ascii_alphabetic() || *b == b'_').count();
            (letters > 0).then_some(rest.len() - name.len() + letters)
        } else {
            None
        };
        at = start + len.unwrap_or(1);
        if let Some(len) = len {
            holes.push(start..start + len);
        }
    }
    holes
}

/// The text with a duration in each hole; nothing else moves.
fn masked(text: &str, holes: &[Range<usize>]) -> String {
    let mut masked = text.to_owned();
    for hole in holes {
        let mut filled = "1m".to_owned();
        filled.extend(std::iter::repeat_n(' ', hole.len().saturating_sub(2)));
        masked.replace_range(hole.clone(), &filled);
    }
    masked
}

/// What stands around counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    Window,
}

struct Found<'a> {
    text: &'a str,
    terms: Vec<(bool, Vec<Matcher>, &'a str)>,
    around: Option<Around>,
}

impl<'a> Found<'a> {
    /// Adds the selectors of a sum; says whether that is all it is.
    fn add(&mut self, expr: &Expr, plus: bool) -> bool {
        match &expr.kind {
            ExprKind::Paren(inner) => self.add(inner, plus),
            ExprKind::Unary(unary) => self.add(&unary.expr, plus != unary.negate),
            ExprKind::VectorSelector(selector) => {
                let text = self.text.get(expr.span.start..expr.span.end);
                self.term(selector, text, plus, Around::Nothing)
            }
            ExprKind::Call(Call { function: "rate" | "increase", args }) => match args.as_slice() {
                [Expr { kind: ExprKind::MatrixSelector(matrix), .. }] => {
                    let span = matrix.selector_span;
                    let text = self.text.get(span.start..span.end);
                    self.term(&matrix.selector, text, plus, Around::Window)
                }
                _ => false,
            },
            ExprKind::Aggregate(aggregate) => {
                let Aggregate { op, expr, without, .. } = &**aggregate;
                *op == AggregateOp::Sum && !without && self.add(expr, plus)
            }
            ExprKind::Binary(binary) => {
                let Binary { op, lhs, rhs, matching, .. } = &**binary;
                let one = |m: &crate::promql::ast::VectorMatching| {
                    m.card == Cardinality::OneToOne
                        && m.fill_left.is_none()
                        && m.fill_right.is_none()
                };
                match op {
                    BinaryOp::Add | BinaryOp::Sub => {
                        matching.as_ref().is_some_and(one)
                            && self.add(lhs, plus)
                            && self.add(rhs, plus == (*op == BinaryOp::Add))
                    }
                    // A counter that is not there has counted nothing.
                    BinaryOp::Or => is_zero(rhs) && self.add(lhs, plus),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    fn term(
        &mut self,
        selector: &VectorSelector,
        text: Option<&'a str>,
        plus: bool,
        around: Around,
    ) -> bool {
        let unmoved = selector.shift == TimeShift::default();
        let edges = selector.edges != EdgeMode::Smoothed;
        let same = *self.around.get_or_insert(around) == around;
        self.terms.push((plus, selector.matchers.clone(), text.unwrap_or_default().trim()));
        unmoved && edges && same
    }

    /// All terms; an added one is the first.
    fn selector(mut self) -> Option<Selector> {
        let first = self.terms.iter().position(|(plus, ..)| *plus)?;
        let (_, matchers, name) = self.terms.remove(first);
        let mut text = name.to_owned();
        let mut terms = Vec::new();
        for (plus, matchers, name) in self.terms {
            text.push_str(if plus { " + " } else { " - " });
            text.push_str(name);
            terms.push((plus, matchers));
        }
        Some(Selector { text, matchers, terms })
    }
}

fn is_plain(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => is_plain(inner),
        ExprKind::VectorSelector(selector) => {
            selector.shift == TimeShift::default() && selector.edges == EdgeMode::Plain
        }
        _ => false,
    }
}

/// Whether this is `vector(0)`.
fn is_zero(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => is_zero(inner),
        ExprKind::Call(Call { function: "vector", args }) => {
            matches!(args.as_slice(), [Expr { kind: ExprKind::Number(n), .. }] if n.value == 0.0)
        }
        _ => false,
    }
}

/// The labels that the outermost sums keep, where they agree.
fn grouping(expr: &Expr) -> Option<Vec<String>> {
    match &expr.kind {
        ExprKind::Paren(inner) => grouping(inner),
        ExprKind::Unary(unary) => grouping(&unary.expr),
        ExprKind::Aggregate(aggregate) => {
            let mut labels = aggregate.grouping.clone();
            labels.sort();
            labels.dedup();
            Some(labels)
        }
        ExprKind::Binary(binary) if binary.op == BinaryOp::Or => grouping(&binary.lhs),
        ExprKind::Binary(binary) => {
            let (left, right) = (grouping(&binary.lhs)?, grouping(&binary.rhs)?);
            (left == right).then_some(left)
        }
        _ => None,
    }
}

/// A text that is the same for selectors that select the same by the same conditions.
pub(super) fn canonical(selector: &Selector) -> String {
    let matchers = |matchers: &[Matcher]| {
        let mut all: Vec<String> =
            matchers.iter().map(|m| format!("{}{}{:?}", m.name, m.op.as_str(), m.value)).collect();
        all.sort();
        all.join(",")
    };
    let mut text = matchers(&selector.matchers);
    for (plus, term) in &selector.terms {
        text.push_str(if *plus { "\n+" } else { "\n-" });
        text.push_str(&matchers(term));
    }
    text
}
