//! Types of expressions: what may be combined with what (`checkAST` in `promql/parser/parse.go`).

use super::super::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ExprKind, Span, ValueType,
    VectorSelector,
};
use super::super::functions::{self, Function};
use super::super::parse_error::ParseError;
use super::super::quote::quote;

/// What `expr` evaluates to.
#[must_use]
pub fn value_type(expr: &Expr) -> ValueType {
    match &expr.kind {
        ExprKind::Number(_) => ValueType::Scalar,
        ExprKind::String(_) => ValueType::String,
        ExprKind::VectorSelector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
        ExprKind::MatrixSelector(_) | ExprKind::Subquery(_) => ValueType::Matrix,
        ExprKind::Call(call) => {
            functions::find(call.function).map_or(ValueType::Vector, |found| found.returns)
        }
        ExprKind::Binary(binary) => {
            let sides = [value_type(&binary.lhs), value_type(&binary.rhs)];
            if sides == [ValueType::Scalar; 2] { ValueType::Scalar } else { ValueType::Vector }
        }
        ExprKind::Unary(unary) => value_type(&unary.expr),
        ExprKind::Paren(inner) => value_type(inner),
    }
}

/// Checks the tree read from `text` and settles the vector matching of its binary operations.
pub(super) fn check(mut expr: Expr, text: &str) -> Result<Expr, ParseError> {
    check_expr(&mut expr, text)?;
    Ok(expr)
}

/// Checks an expression from the leaves up and returns its type.
fn check_expr(expr: &mut Expr, text: &str) -> Result<ValueType, ParseError> {
    let span = expr.span;
    match &mut expr.kind {
        ExprKind::Number(_) => Ok(ValueType::Scalar),
        ExprKind::String(_) => Ok(ValueType::String),
        ExprKind::Paren(inner) => check_expr(inner, text),
        ExprKind::VectorSelector(selector) => {
            check_selector(selector, span)?;
            Ok(ValueType::Vector)
        }
        ExprKind::MatrixSelector(matrix) => {
            check_selector(&matrix.selector, matrix.selector_span)?;
            Ok(ValueType::Matrix)
        }
        ExprKind::Subquery(subquery) => match check_expr(&mut subquery.expr, text)? {
            ValueType::Vector => Ok(ValueType::Matrix),
            other => Err(ParseError::new(
                span,
                format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    other.as_str()
                ),
            )),
        },
        ExprKind::Unary(unary) => match check_expr(&mut unary.expr, text)? {
            allowed @ (ValueType::Scalar | ValueType::Vector) => Ok(allowed),
            other => Err(ParseError::new(
                span,
                format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                    quote(other.documented())
                ),
            )),
        },
        ExprKind::Aggregate(aggregate) => check_aggregate(aggregate, text),
        ExprKind::Binary(binary) => check_binary(binary, span, text),
        ExprKind::Call(call) => check_call(call, span, text),
    }
}

fn expect_type(
    expr: &mut Expr,
    wanted: ValueType,
    context: &str,
    text: &str,
) -> Result<(), ParseError> {
    let got = check_expr(expr, text)?;
    if got == wanted { Ok(()) } else { Err(mismatch(expr.span, wanted, context, got)) }
}

fn mismatch(span: Span, wanted: ValueType, context: &str, got: ValueType) -> ParseError {
    let (wanted, got) = (wanted.documented(), got.documented());
    ParseError::new(span, format!("expected type {wanted} in {context}, got {got}"))
}

fn check_aggregate(aggregate: &mut Aggregate, text: &str) -> Result<ValueType, ParseError> {
    expect_type(&mut aggregate.expr, ValueType::Vector, "aggregation expression", text)?;
    if let Some(param) = &mut aggregate.param {
        let wanted = match aggregate.op {
            AggregateOp::CountValues => ValueType::String,
            _ => ValueType::Scalar,
        };
        expect_type(param, wanted, "aggregation parameter", text)?;
    }
    Ok(ValueType::Vector)
}

fn check_selector(selector: &VectorSelector, span: Span) -> Result<(), ParseError> {
    if let Some(name) = &selector.name {
        // The last matcher is that of the name before the braces.
        let inside = selector.matchers.split_last().map_or(&[][..], |(_, inside)| inside);
        return match inside.iter().find(|matcher| matcher.name == "__name__") {
            Some(second) => Err(ParseError::new(
                span,
                format!(
                    "metric name must not be set twice: {} or {}",
                    quote(name),
                    quote(&second.value)
                ),
            )),
            None => Ok(()),
        };
    }
    if selector.matchers.iter().all(nines_storage::model::Matcher::matches_empty) {
        return Err(ParseError::new(
            span,
            "vector selector must contain at least one non-empty matcher",
        ));
    }
    Ok(())
}

fn check_binary(binary: &mut Binary, span: Span, text: &str) -> Result<ValueType, ParseError> {
    let left = check_expr(&mut binary.lhs, text)?;
    let right = check_expr(&mut binary.rhs, text)?;
    let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    let op = binary.op;
    if binary.return_bool && !op.is_comparison() {
        return Err(ParseError::new(
            operator_span(binary, text),
            "bool modifier can only be used on comparison operators",
        ));
    }
    if op.is_comparison() && !binary.return_bool && scalars {
        return Err(ParseError::new(
            operator_span(binary, text),
            "comparisons between scalars must use BOOL modifier",
        ));
    }
    let mut matching = binary.matching.take().unwrap_or_default();
    if op.is_set() && matching.card == Cardinality::OneToOne {
        matching.card = Cardinality::ManyToMany;
    }
    if matching.on
        && let Some(label) = matching.labels.iter().find(|label| matching.include.contains(label))
    {
        let message =
            format!("label {} must not occur in ON and GROUP clause at once", quote(label));
        return Err(ParseError::new(operator_span(binary, text), message));
    }
    for (side, expr) in [(left, &binary.lhs), (right, &binary.rhs)] {
        if !matches!(side, ValueType::Scalar | ValueType::Vector) {
            return Err(ParseError::new(
                expr.span,
                "binary expression must contain only scalar and instant vector types",
            ));
        }
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let vectors = left == ValueType::Vector && right == ValueType::Vector;
    let grouped = matches!(matching.card, Cardinality::OneToMany | Cardinality::ManyToOne);
    let problem = match () {
        () if !vectors && !matching.labels.is_empty() => {
            Some("vector matching only allowed between instant vectors".to_owned())
        }
        () if !vectors && fills => {
            Some("filling in missing series only allowed between instant vectors".to_owned())
        }
        () if vectors && op.is_set() && grouped => {
            Some(format!("no grouping allowed for {} operation", quote(op.as_str())))
        }
        () if vectors && op.is_set() && fills => {
            Some("filling in missing series not allowed for set operators".to_owned())
        }
        () if !vectors && op.is_set() => Some(format!(
            "set operator {} not allowed in binary scalar expression",
            quote(op.as_str())
        )),
        () => None,
    };
    if let Some(message) = problem {
        return Err(ParseError::new(span, message));
    }
    binary.matching = vectors.then_some(matching);
    Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
}

/// Where the operator and its modifiers stand, without the blanks around them.
fn operator_span(binary: &Binary, text: &str) -> Span {
    let is_blank =
        |offset: usize| matches!(text.as_bytes().get(offset), Some(b' ' | b'\t' | b'\n' | b'\r'));
    let Span { mut start, mut end } =
        Span { start: binary.lhs.span.end, end: binary.rhs.span.start };
    while start < end && is_blank(start) {
        start += 1;
    }
    while end > start && is_blank(end - 1) {
        end -= 1;
    }
    Span { start, end }
}

fn check_call(call: &mut Call, span: Span, text: &str) -> Result<ValueType, ParseError> {
    let name = quote(call.function);
    let Some(function) = functions::find(call.function) else {
        return Err(ParseError::new(span, format!("unknown function with name {name}")));
    };
    check_argument_count(function, call.args.len(), span)?;
    let context = format!("call to function {name}");
    let is_info = function.name == "info";
    for (index, arg) in call.args.iter_mut().enumerate() {
        let Some(wanted) = function.arg_type(index) else { break };
        if is_info && index == 0 {
            // Prometheus looks at the second argument first.
            continue;
        }
        if is_info && index == 1 {
            check_info_labels(arg, span, &context)?;
            continue;
        }
        expect_type(arg, wanted, &context, text)?;
    }
    if let (true, Some(vector)) = (is_info, call.args.first_mut()) {
        expect_type(vector, ValueType::Vector, &context, text)?;
    }
    Ok(function.returns)
}

fn check_argument_count(function: &Function, got: usize, span: Span) -> Result<(), ParseError> {
    let name = quote(function.name);
    let (fewest, most) = function.arg_count();
    let problem = match most {
        _ if function.variadic == 0 && got != fewest => {
            format!("expected {fewest} argument(s) in call to {name}, got {got}")
        }
        _ if got < fewest => {
            format!("expected at least {fewest} argument(s) in call to {name}, got {got}")
        }
        Some(most) if got > most => {
            format!("expected at most {most} argument(s) in call to {name}, got {got}")
        }
        _ => return Ok(()),
    };
    Err(ParseError::new(span, problem))
}

/// The second argument of `info`: matchers in braces, which may match everything.
fn check_info_labels(arg: &Expr, call: Span, context: &str) -> Result<(), ParseError> {
    let got = value_type(arg);
    if got != ValueType::Vector {
        return Err(mismatch(call, ValueType::Vector, context, got));
    }
    match &arg.kind {
        ExprKind::VectorSelector(VectorSelector { name: None, .. }) => Ok(()),
        ExprKind::VectorSelector(_) => Err(ParseError::new(
            arg.span,
            "expected label selectors only, got vector selector instead",
        )),
        _ => Err(ParseError::new(arg.span, "expected label selectors only")),
    }
}
