//! The syntax tree as the JSON of `/api/v1/parse_query` (`web/api/v1/translate_ast.go`).

use nines_storage::model::Matcher;
use serde_json::{Value, json};

use super::ast::{
    AtModifier, Binary, Call, Cardinality, DurationExpr, DurationNode, EdgeMode, Expr, ExprKind,
    TimeShift, ValueType, VectorSelector,
};
use super::functions;
use super::number::format_decimal;
use super::printer::sign;

/// The tree as Prometheus serves it.
#[must_use]
pub fn tree_json(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => {
            json!({"type": "numberLiteral", "val": format_decimal(number.value)})
        }
        ExprKind::String(text) => json!({"type": "stringLiteral", "val": text.to_lossy()}),
        ExprKind::VectorSelector(selector) => {
            let mut object = selector_json(selector);
            object["type"] = "vectorSelector".into();
            object
        }
        ExprKind::MatrixSelector(matrix) => {
            let mut object = selector_json(&matrix.selector);
            object["type"] = "matrixSelector".into();
            object["range"] = millis_json(Some(&matrix.range));
            object["rangeExpr"] = computed_json(Some(&matrix.range));
            object
        }
        ExprKind::Subquery(subquery) => {
            let mut object = json!({
                "type": "subquery",
                "expr": tree_json(&subquery.expr),
                "range": millis_json(Some(&subquery.range)),
                "rangeExpr": computed_json(Some(&subquery.range)),
                "step": millis_json(subquery.step.as_ref()),
                "stepExpr": computed_json(subquery.step.as_ref()),
            });
            add_shift(&mut object, &subquery.shift);
            object
        }
        ExprKind::Call(call) => call_json(call),
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": tree_json(&aggregate.expr),
            "param": aggregate.param.as_ref().map(tree_json),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        ExprKind::Binary(binary) => binary_json(binary),
        ExprKind::Unary(unary) => {
            json!({"type": "unaryExpr", "op": sign(unary), "expr": tree_json(&unary.expr)})
        }
        ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": tree_json(inner)}),
    }
}

/// Everything but the type.
fn selector_json(selector: &VectorSelector) -> Value {
    let matcher_json = |matcher: &Matcher| json!({"name": matcher.name, "value": matcher.value, "type": matcher.op.as_str()});
    let mut object = json!({
        "name": selector.name.as_deref().unwrap_or_default(),
        "matchers": selector.matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "anchored": selector.edges == EdgeMode::Anchored,
        "smoothed": selector.edges == EdgeMode::Smoothed,
    });
    add_shift(&mut object, &selector.shift);
    object
}

fn add_shift(object: &mut Value, shift: &TimeShift) {
    object["offset"] = millis_json(shift.offset.as_ref());
    object["offsetExpr"] = computed_json(shift.offset.as_ref());
    let (timestamp, edge) = match shift.at {
        None => (Value::Null, Value::Null),
        Some(AtModifier::Timestamp(ms)) => (ms.into(), Value::Null),
        Some(AtModifier::Start) => (Value::Null, "start".into()),
        Some(AtModifier::End) => (Value::Null, "end".into()),
    };
    object["timestamp"] = timestamp;
    object["startOrEnd"] = edge;
}

fn millis_json(duration: Option<&DurationExpr>) -> Value {
    match duration {
        Some(DurationExpr::Millis(ms)) => (*ms).into(),
        Some(DurationExpr::Computed { .. }) | None => 0.into(),
    }
}

fn computed_json(duration: Option<&DurationExpr>) -> Value {
    match duration {
        Some(DurationExpr::Computed { expr, .. }) => duration_json(expr, false),
        Some(DurationExpr::Millis(_)) | None => Value::Null,
    }
}

fn duration_json(node: &DurationNode, wrapped: bool) -> Value {
    let operation = |op: &str, lhs: Option<&DurationNode>, rhs: Option<&DurationNode>| {
        json!({
            "type": "durationExpr",
            "op": op,
            "lhs": lhs.map(|node| duration_json(node, false)),
            "rhs": rhs.map(|node| duration_json(node, false)),
            "wrapped": wrapped,
        })
    };
    match node {
        DurationNode::Number(number) => json!({
            "type": "numberLiteral",
            "val": format_decimal(number.value),
            "duration": number.is_duration,
        }),
        DurationNode::Step => operation("step", None, None),
        DurationNode::Range => operation("range", None, None),
        DurationNode::Unary { negate, expr } => {
            operation(if *negate { "-" } else { "+" }, None, Some(expr))
        }
        DurationNode::Binary { op, lhs, rhs } => operation(op.as_str(), Some(lhs), Some(rhs)),
        DurationNode::Extremum { max, lhs, rhs } => {
            operation(if *max { "max_of" } else { "min_of" }, Some(lhs), Some(rhs))
        }
        // A number has no flag for its parentheses: Prometheus puts a plus around it that has one.
        DurationNode::Paren(inner) => match &**inner {
            number @ DurationNode::Number(_) => {
                json!({
                    "type": "durationExpr",
                    "op": "+",
                    "lhs": null,
                    "rhs": duration_json(number, false),
                    "wrapped": true,
                })
            }
            inner => duration_json(inner, true),
        },
    }
}

fn call_json(call: &Call) -> Value {
    let function = functions::find(call.function);
    let types = |types: &[ValueType]| types.iter().map(|each| each.as_str()).collect::<Vec<_>>();
    json!({
        "type": "call",
        "func": {
            "name": call.function,
            "argTypes": types(function.map_or(&[], |found| found.args)),
            "variadic": function.map_or(0, |found| found.variadic),
            "returnType": function.map_or("none", |found| found.returns.as_str()),
        },
        "args": call.args.iter().map(tree_json).collect::<Vec<_>>(),
    })
}

fn binary_json(binary: &Binary) -> Value {
    let matching = binary.matching.as_ref().map(|matching| {
        json!({
            "card": match matching.card {
                Cardinality::OneToOne => "one-to-one",
                Cardinality::ManyToOne => "many-to-one",
                Cardinality::OneToMany => "one-to-many",
                Cardinality::ManyToMany => "many-to-many",
            },
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": {
                "lhs": matching.fill_left.map(float_json),
                "rhs": matching.fill_right.map(float_json),
            },
        })
    });
    json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "lhs": tree_json(&binary.lhs),
        "rhs": tree_json(&binary.rhs),
        "matching": matching,
        "bool": binary.return_bool,
    })
}

/// Go writes whole numbers without a fraction.
fn float_json(value: f64) -> Value {
    /// Above, not every whole number is a float.
    const WHOLE_MAX: f64 = (1_u64 << 53) as f64;
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        (value as i64).into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::parse;
    use super::*;

    fn tree(text: &str) -> Value {
        tree_json(&parse(text).unwrap())
    }

    /// Compared as values: the order of the fields means nothing.
    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn selectors_show_every_field() {
        assert_eq!(
            tree("x{a!='b'}[5m] @ 1.5 offset -(1m) smoothed"),
            read(
                r#"{"anchored":false,"matchers":[{"name":"a","type":"!=","value":"b"},{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":0,"offsetExpr":{"lhs":null,"op":"-","rhs":{"lhs":null,"op":"+","rhs":{"duration":true,"type":"numberLiteral","val":"60"},"type":"durationExpr","wrapped":true},"type":"durationExpr","wrapped":false},"range":300000,"rangeExpr":null,"smoothed":true,"startOrEnd":null,"timestamp":1500,"type":"matrixSelector"}"#
            )
        );
        let subquery = tree("{'x'}[(step() + 1):2m] @ end()");
        assert_eq!(subquery["type"], "subquery");
        assert_eq!(subquery["step"], 120_000);
        assert_eq!(subquery["range"], 0);
        assert_eq!(subquery["rangeExpr"]["wrapped"], true);
        assert_eq!(subquery["rangeExpr"]["lhs"]["op"], "step");
        assert_eq!(subquery["startOrEnd"], "end");
        assert_eq!(subquery["expr"]["name"], "");
    }

    #[test]
    fn operations_show_every_field() {
        assert_eq!(
            tree("a > bool on (x) group_left fill_left (0) b")["matching"],
            read(
                r#"{"card":"many-to-one","fillValues":{"lhs":0,"rhs":null},"include":[],"labels":["x"],"on":true}"#
            )
        );
        assert_eq!(
            tree("-(1 + 5m)"),
            read(
                r#"{"expr":{"expr":{"bool":false,"lhs":{"type":"numberLiteral","val":"1"},"matching":null,"op":"+","rhs":{"type":"numberLiteral","val":"300"},"type":"binaryExpr"},"type":"parenExpr"},"op":"-","type":"unaryExpr"}"#
            )
        );
        assert_eq!(
            tree("count_values without (b) ('a', rate(x[1m]))")["param"],
            read(r#"{"type":"stringLiteral","val":"a"}"#)
        );
        assert_eq!(
            tree("round(vector(1))")["func"],
            read(
                r#"{"argTypes":["vector","scalar"],"name":"round","returnType":"vector","variadic":1}"#
            )
        );
    }
}
