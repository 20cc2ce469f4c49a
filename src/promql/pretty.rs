//! From syntax tree to indented text (`promql/parser/prettier.go`), for `/api/v1/format_query`.

use std::fmt::Write;

use super::ast::{Expr, ExprKind};
use super::printer::{sign, write_aggregate_head, write_operator, write_subquery_suffix};

/// Longest expression, in bytes, that stays on one line.
const LINE_BYTES_MAX: usize = 100;

/// The query with line breaks and two spaces of indentation where an expression is longer than 100 bytes.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_pretty(&mut out, expr, 0);
    out
}

fn write_pretty(out: &mut String, expr: &Expr, level: usize) -> std::fmt::Result {
    match &expr.kind {
        ExprKind::Unary(unary) => {
            indent(out, level);
            out.push_str(sign(unary));
            let operand_from = out.len();
            write_pretty(out, &unary.expr, level)?;
            trim_from(out, operand_from);
            return Ok(());
        }
        // Prometheus does not indent a subquery that stays on one line.
        ExprKind::Subquery(_) => {}
        ExprKind::Binary(_) if exceeds_line(expr) => {}
        _ => indent(out, level),
    }
    if !can_split(expr) || !exceeds_line(expr) {
        return write!(out, "{expr}");
    }
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            write_aggregate_head(out, aggregate)?;
            out.push_str("(\n");
            if let Some(param) = &aggregate.param {
                write_pretty(out, param, level + 1)?;
                out.push_str(",\n");
            }
            write_pretty(out, &aggregate.expr, level + 1)?;
        }
        ExprKind::Call(call) => {
            out.push_str(call.function);
            out.push_str("(\n");
            for (index, arg) in call.args.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ",\n" });
                write_pretty(out, arg, level + 1)?;
            }
        }
        ExprKind::Paren(inner) => {
            out.push_str("(\n");
            write_pretty(out, inner, level + 1)?;
        }
        ExprKind::Binary(binary) => {
            write_pretty(out, &binary.lhs, level + 1)?;
            out.push('\n');
            indent(out, level);
            write_operator(out, binary)?;
            out.push('\n');
            return write_pretty(out, &binary.rhs, level + 1);
        }
        ExprKind::Subquery(subquery) => {
            write_pretty(out, &subquery.expr, level)?;
            return write_subquery_suffix(out, subquery);
        }
        _ => return write!(out, "{expr}"),
    }
    out.push('\n');
    indent(out, level);
    out.push(')');
    Ok(())
}

const fn can_split(expr: &Expr) -> bool {
    matches!(
        expr.kind,
        ExprKind::Aggregate(_)
            | ExprKind::Call(_)
            | ExprKind::Paren(_)
            | ExprKind::Binary(_)
            | ExprKind::Subquery(_)
    )
}

/// Whether the expression in one line is longer than [`LINE_BYTES_MAX`]; writes no more than that to find out.
fn exceeds_line(expr: &Expr) -> bool {
    struct Room(usize);
    impl Write for Room {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    write!(Room(LINE_BYTES_MAX), "{expr}").is_err()
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// Removes the white space around what was written from `from` on.
fn trim_from(out: &mut String, from: usize) {
    out.truncate(from + out[from..].trim_end().len());
    let blank = out[from..].len() - out[from..].trim_start().len();
    out.replace_range(from..from + blank, "");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::parse;
    use super::*;

    #[test]
    fn long_expressions_are_split() {
        let name = "n".repeat(60);
        for (text, expected) in [
            (
                "sum  by(job)  (rate(foo{a=\"b\"}[5m]))/1".to_owned(),
                "sum by (job) (rate(foo{a=\"b\"}[5m])) / 1".to_owned(),
            ),
            (format!("{name} + on(a) {name}"), format!("  {name}\n+ on (a)\n  {name}")),
            (
                format!("topk by (x) (5, -({name} or {name}))"),
                format!("topk by (x) (\n  5,\n  -(\n      {name}\n    or\n      {name}\n  )\n)"),
            ),
            (
                format!("max_over_time(({name} > {name})[5m:1m] offset 1m)"),
                format!(
                    "max_over_time(\n  (\n      {name}\n    >\n      {name}\n  )[5m:1m] offset 1m\n)"
                ),
            ),
            (
                format!("label_replace({name}, 'a', '{name}', 'b', '')"),
                format!("label_replace(\n  {name},\n  \"a\",\n  \"{name}\",\n  \"b\",\n  \"\"\n)"),
            ),
        ] {
            assert_eq!(pretty(&parse(&text).unwrap()), expected);
        }
    }
}
