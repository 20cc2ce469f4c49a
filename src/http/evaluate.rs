//! The seam to PromQL: everything that the handlers ask of it.

use nines_storage::ErrorKind as StorageErrorKind;
use nines_storage::model::Matcher;
use nines_storage::query::{Budget, Queryable};

use super::error::{ApiError, ApiResult, ErrorKind, with_causes};
use crate::config::QueryConfig;
use crate::promql::ast::{Expr, ExprKind};
use crate::promql::{self, Engine, EngineOptions, QueryError, QueryOptions, QueryResult};

/// When a query is evaluated, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    At(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// The engine with its options.
pub(super) struct QueryEngine(Engine);

impl QueryEngine {
    pub(super) fn new(config: &QueryConfig) -> Self {
        Self(Engine::new(EngineOptions {
            lookback_ms: config.lookback_delta.as_ms(),
            ..EngineOptions::default()
        }))
    }

    /// Evaluates `expr`, which was parsed from `text`.
    pub(super) fn evaluate(
        &self,
        data: &dyn Queryable,
        (expr, text): (&Expr, &str),
        when: When,
        options: &QueryOptions,
        budget: &Budget,
    ) -> ApiResult<QueryResult> {
        let answer = match when {
            When::At(at) => self.0.instant(data, expr, text, at, options, budget),
            When::Range { start, end, step } => {
                self.0.range(data, expr, text, start, end, step, options, budget)
            }
        };
        answer.map_err(|error| failed(&error))
    }
}

/// What the API says of a failed query.
fn failed(error: &QueryError) -> ApiError {
    let kind = match error {
        QueryError::Invalid(_) | QueryError::Parse(_) => {
            return ApiError::invalid_param("query", &error.to_string());
        }
        QueryError::Execution(_) | QueryError::TooManySamples => ErrorKind::Execution,
        QueryError::Timeout => ErrorKind::Timeout,
        QueryError::Canceled => ErrorKind::Canceled,
        QueryError::Storage(cause) => match cause.kind() {
            StorageErrorKind::Invalid | StorageErrorKind::Limit => ErrorKind::Execution,
            StorageErrorKind::Canceled => ErrorKind::Canceled,
            StorageErrorKind::Unavailable
            | StorageErrorKind::Corrupt
            | StorageErrorKind::Internal => {
                let cause = with_causes(cause);
                tracing::error!(error = %cause, "a query failed in the store");
                return ApiError::internal(format!("expanding series: {cause}"));
            }
        },
    };
    ApiError::Kind(kind, error.to_string())
}

/// Parses a query. The error is Prometheus's text, with its place and without `invalid parameter`.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    promql::parse(text).map_err(|error| error.render(text))
}

/// Parses a series selector, as `match[]` holds it.
pub(super) fn parse_selector(text: &str) -> Result<Vec<Matcher>, String> {
    promql::parse_selector(text).map_err(|error| error.render(text))
}

/// The query in canonical form, as `format_query` answers.
pub(super) fn format(expr: &Expr) -> String {
    promql::pretty(expr)
}

/// The syntax tree, as `parse_query` answers: a JSON object.
pub(super) fn tree_json(expr: &Expr) -> Vec<u8> {
    promql::tree_json(expr).to_string().into_bytes()
}

/// The selectors of a query, for exemplars.
pub(super) fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let mut found = Vec::new();
    collect_selectors(expr, &mut found);
    found
}

/// The parser bounds the depth.
fn collect_selectors(expr: &Expr, found: &mut Vec<Vec<Matcher>>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::VectorSelector(selector) => found.push(selector.matchers.clone()),
        ExprKind::MatrixSelector(matrix) => found.push(matrix.selector.matchers.clone()),
        ExprKind::Subquery(subquery) => collect_selectors(&subquery.expr, found),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| collect_selectors(arg, found)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| collect_selectors(param, found));
            collect_selectors(&aggregate.expr, found);
        }
        ExprKind::Binary(binary) => {
            collect_selectors(&binary.lhs, found);
            collect_selectors(&binary.rhs, found);
        }
        ExprKind::Unary(unary) => collect_selectors(&unary.expr, found),
        ExprKind::Paren(inner) => collect_selectors(inner, found),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn selectors_are_found_everywhere() {
        let expr =
            parse(r#"sum(rate(a{x="1"}[5m])) / (topk(scalar(b), -c) + max_over_time(d[5m:1m]))"#)
                .unwrap();
        let names: Vec<String> = selectors(&expr)
            .iter()
            .flat_map(|set| set.iter().filter(|m| m.name == "__name__").map(|m| m.value.clone()))
            .collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(selectors(&parse("1 + 2").unwrap()).is_empty());
    }
}
