//! From the syntax tree to what is evaluated: durations computed, `@` resolved, the query's context
//! (`start()`, `step()`, ...) folded into numbers, parentheses gone, and whatever does not depend on the
//! step wrapped so that it is evaluated once (Prometheus's `PreprocessExpr`).

use nines_storage::model::Matcher;

use super::ast;
use super::ast::{
    AggregateOp, AtModifier, BinaryOp, DurationExpr, DurationNode, EdgeMode, Expr, ExprKind, Span,
    Text, ValueType, VectorMatching, VectorSelector,
};
use super::error::{QueryError, Result};
use super::functions::{self, EngineFn, Eval, Function};

/// Deepest nesting that is evaluated: recursion must end before the stack does.
const DEPTH_MAX: usize = 500;

/// An expression ready for evaluation.
#[derive(Debug)]
pub(super) struct Node {
    /// Place in the query, for annotations.
    pub(super) span: Span,
    /// Type of its value.
    pub(super) ty: ValueType,
    /// What it is.
    pub(super) kind: Kind,
}

/// The kinds of nodes.
#[derive(Debug)]
pub(super) enum Kind {
    Number(f64),
    Text(Text),
    /// An instant selector, or a range selector when the type is a matrix.
    Selector(Selector),
    Subquery(Box<Subquery>),
    Call {
        function: &'static Function,
        args: Vec<Node>,
    },
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Negate(Box<Node>),
    /// Evaluated at the first step, the same at all others.
    Invariant(Box<Node>),
}

/// A selector with its times in milliseconds.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    /// 0 for an instant selector.
    pub(super) range_ms: i64,
    pub(super) shift: Shift,
    pub(super) edges: EdgeMode,
    /// Whether the order of the series does not matter to what is made of them.
    pub(super) any_order: bool,
}

/// Where a selector or subquery looks when it is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) offset_ms: i64,
    pub(super) at_ms: Option<i64>,
}

impl Shift {
    /// The time that is looked at when the evaluation time is `time_ms`.
    pub(super) fn of(self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }
}

/// A subquery with its times in milliseconds.
#[derive(Debug)]
pub(super) struct Subquery {
    pub(super) node: Node,
    pub(super) range_ms: i64,
    pub(super) step_ms: i64,
    pub(super) shift: Shift,
}

/// An aggregation.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) op: AggregateOp,
    pub(super) node: Node,
    pub(super) param: Option<Node>,
    pub(super) grouping: Vec<String>,
    pub(super) without: bool,
}

/// A binary operation.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) op: BinaryOp,
    pub(super) lhs: Node,
    pub(super) rhs: Node,
    pub(super) return_bool: bool,
    pub(super) matching: VectorMatching,
}

/// The query as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// 0 for an instant query.
    pub(super) step_ms: i64,
    /// Step of a subquery that names none.
    pub(super) subquery_step_ms: i64,
}

/// What is known of a node's dependence on the step.
#[derive(Clone, Copy)]
struct Invariance {
    invariant: bool,
    /// Whether wrapping it saves work; numbers and range vectors are not wrapped.
    wrap: bool,
}

const VARIES: Invariance = Invariance { invariant: false, wrap: false };
const CONSTANT: Invariance = Invariance { invariant: true, wrap: false };
const ONCE: Invariance = Invariance { invariant: true, wrap: true };

/// Plans `expr`.
pub(super) fn plan(expr: &Expr, context: Context) -> Result<Node> {
    let (node, invariance) = Planner { context }.node(expr, 0)?;
    Ok(if invariance.wrap { once(node) } else { node })
}

fn once(node: Node) -> Node {
    Node { span: node.span, ty: node.ty, kind: Kind::Invariant(Box::new(node)) }
}

fn once_if(planned: (Node, Invariance)) -> Node {
    if planned.1.wrap { once(planned.0) } else { planned.0 }
}

struct Planner {
    context: Context,
}

impl Planner {
    fn node(&self, expr: &Expr, depth: usize) -> Result<(Node, Invariance)> {
        if depth > DEPTH_MAX {
            return Err(QueryError::Invalid(format!(
                "expression is nested deeper than {DEPTH_MAX} levels"
            )));
        }
        let span = expr.span;
        let depth = depth + 1;
        match &expr.kind {
            ExprKind::Paren(inner) => self.node(inner, depth),
            ExprKind::Number(number) => Ok((number_node(span, number.value), CONSTANT)),
            ExprKind::String(text) => {
                Ok((Node { span, ty: ValueType::String, kind: Kind::Text(text.clone()) }, CONSTANT))
            }
            ExprKind::VectorSelector(selector) => {
                let selector = self.selector(selector, 0)?;
                let invariance = if selector.shift.at_ms.is_some() { ONCE } else { VARIES };
                Ok((
                    Node { span, ty: ValueType::Vector, kind: Kind::Selector(selector) },
                    invariance,
                ))
            }
            ExprKind::MatrixSelector(matrix) => {
                let selector =
                    self.selector(&matrix.selector, self.duration(&matrix.range, false)?)?;
                let invariance = if selector.shift.at_ms.is_some() { CONSTANT } else { VARIES };
                Ok((
                    Node { span, ty: ValueType::Matrix, kind: Kind::Selector(selector) },
                    invariance,
                ))
            }
            ExprKind::Subquery(subquery) => self.subquery(span, subquery, depth),
            ExprKind::Call(call) => self.call(span, call, depth),
            ExprKind::Aggregate(aggregate) => self.aggregate(span, aggregate, depth),
            ExprKind::Binary(binary) => self.binary(span, binary, depth),
            ExprKind::Unary(unary) => {
                let (node, invariance) = self.node(&unary.expr, depth)?;
                if !unary.negate {
                    return Ok((node, invariance));
                }
                Ok((Node { span, ty: node.ty, kind: Kind::Negate(Box::new(node)) }, invariance))
            }
        }
    }

    fn selector(&self, selector: &VectorSelector, range_ms: i64) -> Result<Selector> {
        Ok(Selector {
            matchers: selector.matchers.clone(),
            range_ms,
            shift: self.shift(&selector.shift)?,
            edges: selector.edges,
            any_order: false,
        })
    }

    fn shift(&self, shift: &ast::TimeShift) -> Result<Shift> {
        Ok(Shift {
            offset_ms: shift.offset.as_ref().map_or(Ok(0), |offset| self.duration(offset, true))?,
            at_ms: shift.at.map(|at| match at {
                AtModifier::Timestamp(ms) => ms,
                AtModifier::Start => self.context.start_ms,
                AtModifier::End => self.context.end_ms,
            }),
        })
    }

    fn subquery(
        &self,
        span: Span,
        subquery: &ast::Subquery,
        depth: usize,
    ) -> Result<(Node, Invariance)> {
        let (node, invariance) = self.node(&subquery.expr, depth)?;
        let node = if invariance.invariant { once(node) } else { node };
        let step_ms = match &subquery.step {
            Some(step) => self.duration(step, false)?,
            None => 0,
        };
        let shift = self.shift(&subquery.shift)?;
        let planned = Subquery {
            node,
            range_ms: self.duration(&subquery.range, false)?,
            step_ms: if step_ms > 0 { step_ms } else { self.context.subquery_step_ms.max(1) },
            shift,
        };
        let invariance = if shift.at_ms.is_some() { CONSTANT } else { VARIES };
        Ok((
            Node { span, ty: ValueType::Matrix, kind: Kind::Subquery(Box::new(planned)) },
            invariance,
        ))
    }

    fn call(&self, span: Span, call: &ast::Call, depth: usize) -> Result<(Node, Invariance)> {
        let Some(function) = functions::find(call.function) else {
            return Err(QueryError::Invalid(format!(
                "unknown function with name \"{}\"",
                call.function
            )));
        };
        if let Eval::Engine(which) = function.eval
            && let Some(value) = self.folded(which)
        {
            return Ok((number_node(span, value), CONSTANT));
        }
        let mut planned = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            planned.push(self.node(arg, depth)?);
        }
        let all_invariant = planned.iter().all(|(_, invariance)| invariance.invariant);
        let selectors_only = planned.iter().all(|(node, _)| {
            matches!(node.kind, Kind::Selector(_)) && node.ty == ValueType::Vector
        });
        let invariant = all_invariant
            && (!depends_on_time(function) || (function.name == "timestamp" && selectors_only));
        let args =
            planned.into_iter().map(|arg| if invariant { arg.0 } else { once_if(arg) }).collect();
        let node = Node { span, ty: function.returns, kind: Kind::Call { function, args } };
        Ok((node, if invariant { ONCE } else { VARIES }))
    }

    /// Value of a function of the query's context.
    fn folded(&self, which: EngineFn) -> Option<f64> {
        let Context { start_ms, end_ms, step_ms, .. } = self.context;
        match which {
            EngineFn::Start => Some(seconds(start_ms)),
            EngineFn::End => Some(seconds(end_ms)),
            EngineFn::Range => Some(seconds(end_ms.saturating_sub(start_ms))),
            EngineFn::Step => Some(if start_ms == end_ms { 0.0 } else { seconds(step_ms) }),
            _ => None,
        }
    }

    fn aggregate(
        &self,
        span: Span,
        aggregate: &ast::Aggregate,
        depth: usize,
    ) -> Result<(Node, Invariance)> {
        let (mut node, of_node) = self.node(&aggregate.expr, depth)?;
        let param = aggregate.param.as_ref().map(|param| self.node(param, depth)).transpose()?;
        if is_commutative(aggregate.op) {
            let_any_order(&mut node);
        }
        let invariant =
            of_node.invariant && param.as_ref().is_none_or(|(_, of_param)| of_param.invariant);
        let planned = Aggregate {
            op: aggregate.op,
            node: if !invariant && of_node.wrap { once(node) } else { node },
            param: param.map(|param| if invariant { param.0 } else { once_if(param) }),
            grouping: aggregate.grouping.clone(),
            without: aggregate.without,
        };
        let node = Node { span, ty: ValueType::Vector, kind: Kind::Aggregate(Box::new(planned)) };
        Ok((node, if invariant { ONCE } else { VARIES }))
    }

    fn binary(&self, span: Span, binary: &ast::Binary, depth: usize) -> Result<(Node, Invariance)> {
        let lhs = self.node(&binary.lhs, depth)?;
        let rhs = self.node(&binary.rhs, depth)?;
        let invariant = lhs.1.invariant && rhs.1.invariant;
        let ty = if lhs.0.ty == ValueType::Scalar && rhs.0.ty == ValueType::Scalar {
            ValueType::Scalar
        } else {
            ValueType::Vector
        };
        let side =
            |planned: (Node, Invariance)| if invariant { planned.0 } else { once_if(planned) };
        let planned = Binary {
            op: binary.op,
            lhs: side(lhs),
            rhs: side(rhs),
            return_bool: binary.return_bool,
            matching: binary.matching.clone().unwrap_or_default(),
        };
        let node = Node { span, ty, kind: Kind::Binary(Box::new(planned)) };
        Ok((node, if invariant { ONCE } else { VARIES }))
    }

    /// A duration in milliseconds.
    fn duration(&self, duration: &DurationExpr, negative_allowed: bool) -> Result<i64> {
        let (expr, span) = match duration {
            DurationExpr::Millis(ms) => return Ok(*ms),
            DurationExpr::Computed { expr, span } => (expr, *span),
        };
        let wrong =
            |what: &str| QueryError::Invalid(format!("{}:{}: {what}", span.start, span.end));
        let value = self.duration_node(expr, span)?;
        if value.is_nan() || value.is_infinite() {
            return Err(wrong("duration is NaN or infinite"));
        }
        if value <= 0.0 && !negative_allowed {
            return Err(wrong("duration must be greater than 0"));
        }
        // What fits in nanoseconds in 64 bits.
        if value.abs() > 9_223_372_036.854_775 {
            return Err(wrong("duration is out of range"));
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "within range, and cut to milliseconds as Prometheus does"
        )]
        Ok((value * 1000.0) as i64)
    }

    fn duration_node(&self, node: &DurationNode, span: Span) -> Result<f64> {
        Ok(match node {
            DurationNode::Number(number) => number.value,
            DurationNode::Step => seconds(self.context.step_ms),
            DurationNode::Range => {
                seconds(self.context.end_ms.saturating_sub(self.context.start_ms))
            }
            DurationNode::Paren(inner) => self.duration_node(inner, span)?,
            DurationNode::Unary { negate, expr } => {
                let value = self.duration_node(expr, span)?;
                if *negate { -value } else { value }
            }
            DurationNode::Extremum { max, lhs, rhs } => {
                let (lhs, rhs) = (self.duration_node(lhs, span)?, self.duration_node(rhs, span)?);
                if lhs.is_nan() || rhs.is_nan() {
                    f64::NAN
                } else if *max {
                    lhs.max(rhs)
                } else {
                    lhs.min(rhs)
                }
            }
            DurationNode::Binary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.duration_node(lhs, span)?, self.duration_node(rhs, span)?);
                let wrong = |what: &str| {
                    QueryError::Invalid(format!("{}:{}: {what}", span.start, span.end))
                };
                match op {
                    BinaryOp::Div if rhs == 0.0 => return Err(wrong("division by zero")),
                    BinaryOp::Mod if rhs == 0.0 => return Err(wrong("modulo by zero")),
                    op => super::binary::arithmetic(*op, lhs, rhs),
                }
            }
        })
    }
}

fn number_node(span: Span, value: f64) -> Node {
    Node { span, ty: ValueType::Scalar, kind: Kind::Number(value) }
}

/// Aggregations whose value does not depend on the order of the series (sums are compensated).
fn is_commutative(op: AggregateOp) -> bool {
    use AggregateOp::{Avg, Count, Group, Max, Min, Sum};
    matches!(op, Sum | Avg | Min | Max | Count | Group)
}

/// Lets the selector of `node` give its series in any order, where `node` works on one series at a time.
pub(super) fn let_any_order(node: &mut Node) {
    match &mut node.kind {
        Kind::Selector(selector) => selector.any_order = true,
        Kind::Negate(inner) | Kind::Invariant(inner) => let_any_order(inner),
        Kind::Call { function: Function { eval: Eval::Window(_) | Eval::Map(_), .. }, args } => {
            args.iter_mut().for_each(let_any_order);
        }
        _ => {}
    }
}

/// Functions whose value depends on the evaluation time even when their arguments do not
/// (`AtModifierUnsafeFunctions`).
fn depends_on_time(function: &Function) -> bool {
    matches!(function.eval, Eval::Date(_) | Eval::Engine(EngineFn::Time | EngineFn::Timestamp))
        || function.name == "predict_linear"
}

/// Milliseconds in seconds.
#[allow(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
