//! Texts against their trees, errors against Prometheus's words, printing against parsing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::super::ast::{
    AtModifier, Binary, Cardinality, DurationExpr, EdgeMode, MatrixSelector, ValueType,
    VectorMatching, VectorSelector,
};
use super::super::{pretty, tree_json};
use super::*;

fn tree(text: &str) -> Expr {
    parse(text).unwrap_or_else(|error| panic!("{text}: {}", error.render(text)))
}

fn error(text: &str) -> String {
    match parse(text) {
        Ok(expr) => panic!("{text} was read as {expr}"),
        Err(error) => error.render(text),
    }
}

fn selector(text: &str) -> VectorSelector {
    match tree(text).kind {
        ExprKind::VectorSelector(selector) => selector,
        other => panic!("{text}: {other:?}"),
    }
}

fn matrix(text: &str) -> MatrixSelector {
    match tree(text).kind {
        ExprKind::MatrixSelector(matrix) => matrix,
        other => panic!("{text}: {other:?}"),
    }
}

fn binary(text: &str) -> Binary {
    match tree(text).kind {
        ExprKind::Binary(binary) => *binary,
        other => panic!("{text}: {other:?}"),
    }
}

/// The operators of a tree with every operand in brackets.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary(binary) => {
            format!("[{} {} {}]", shape(&binary.lhs), binary.op.as_str(), shape(&binary.rhs))
        }
        ExprKind::Unary(unary) => {
            format!("{}[{}]", if unary.negate { "-" } else { "+" }, shape(&unary.expr))
        }
        ExprKind::Paren(inner) => format!("({})", shape(inner)),
        _ => expr.to_string(),
    }
}

#[test]
fn operators_bind_as_documented() {
    for (text, expected) in [
        ("a + b * c", "[a + [b * c]]"),
        ("a * b + c", "[[a * b] + c]"),
        ("a - b - c", "[[a - b] - c]"),
        ("a ^ b ^ c", "[a ^ [b ^ c]]"),
        ("a * b atan2 c % d / e", "[[[[a * b] atan2 c] % d] / e]"),
        ("a or b and c unless d", "[a or [[b and c] unless d]]"),
        ("a and b or c", "[[a and b] or c]"),
        ("a > b + c", "[a > [b + c]]"),
        ("a == b != c", "[[a == b] != c]"),
        ("a and b > c", "[a and [b > c]]"),
        ("a </ 1 >/ 2 + 3", "[[a </ 1] >/ [2 + 3]]"),
        ("-a ^ b", "-[[a ^ b]]"),
        ("-a * b", "[-[a] * b]"),
        ("-1 ^ 2", "-[[1 ^ 2]]"),
        ("2 ^ -a * b", "[[2 ^ -[a]] * b]"),
        ("2 ^ -a ^ b", "[2 ^ -[[a ^ b]]]"),
        ("a + -b - +c", "[[a + -[b]] - +[c]]"),
        ("- - a", "-[-[a]]"),
        ("-a offset 5m", "-[a offset 5m]"),
        ("a + b offset 5m * 2", "[a + [b offset 5m * 2]]"),
        ("a * (b + c)", "[a * ([b + c])]"),
        ("-1 + -5m", "[-1 + -5m]"),
        ("- -1", "1"),
    ] {
        assert_eq!(shape(&tree(text)), expected, "{text}");
    }
}

#[test]
fn numbers_have_their_values() {
    for (text, value, is_duration) in [
        ("1", 1.0, false),
        ("-0755", -493.0, false),
        ("0x1f", 31.0, false),
        ("1_000.5", 1000.5, false),
        (".5e-3", 0.0005, false),
        ("+Inf", f64::INFINITY, false),
        ("-inf", f64::NEG_INFINITY, false),
        ("5m", 300.0, true),
        ("-1h30m", -5400.0, true),
        ("1ms", 0.001, true),
    ] {
        match tree(text).kind {
            ExprKind::Number(number) => {
                assert_eq!((number.value, number.is_duration), (value, is_duration), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(tree("nan").kind, ExprKind::Number(number) if number.value.is_nan()));
}

#[test]
fn strings_are_unquoted() {
    for text in [r#""a\"\u00e4\x41""#, r#"'a"\u00e4\101'"#, "`a\"äA`"] {
        assert_eq!(tree(text).kind, ExprKind::String(Text::new("a\"äA".into())));
    }
}

#[test]
fn spans_cover_the_source() {
    let text = "sum by (a) (rate(foo{b='c'}[5m] offset 1m)) + -max(x) ";
    let spanned = |span: Span| &text[span.start..span.end];
    let sum = tree(text);
    assert_eq!(spanned(sum.span), text.trim_end());
    let ExprKind::Binary(sum) = sum.kind else { panic!("not binary") };
    assert_eq!(spanned(sum.rhs.span), "-max(x)");
    let ExprKind::Aggregate(aggregate) = sum.lhs.kind else { panic!("no aggregation") };
    assert_eq!(spanned(sum.lhs.span), "sum by (a) (rate(foo{b='c'}[5m] offset 1m))");
    let ExprKind::Call(call) = aggregate.expr.kind else { panic!("no call") };
    assert_eq!(spanned(aggregate.expr.span), "rate(foo{b='c'}[5m] offset 1m)");
    assert_eq!(spanned(call.args[0].span), "foo{b='c'}[5m] offset 1m");
    let ExprKind::MatrixSelector(matrix) = &call.args[0].kind else { panic!("no range") };
    assert_eq!(spanned(matrix.selector_span), "foo{b='c'}");
}

#[test]
fn selectors_keep_their_matchers() {
    let written = |text: &str| {
        selector(text).matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(written("foo"), r#"__name__="foo""#);
    assert_eq!(
        written("foo{a='b',c!='d',e=~`f.*`,g!~'h',}"),
        r#"a="b" c!="d" e=~"f.*" g!~"h" __name__="foo""#
    );
    assert_eq!(written("{'a.b', \"l.x\"='v'}"), r#"__name__="a.b" l.x="v""#);
    assert_eq!(written("{__name__=~'a.+',on='x'}"), r#"__name__=~"a.+" on="x""#);
    assert_eq!(selector("foo{}").name.as_deref(), Some("foo"));
    assert_eq!(selector("{'foo'}").name, None);
    assert_eq!(selector("a:b:c").name.as_deref(), Some("a:b:c"));
}

#[test]
fn keywords_are_names_where_nothing_else_fits() {
    for name in [
        "sum",
        "by",
        "without",
        "offset",
        "and",
        "or",
        "unless",
        "start",
        "end",
        "step",
        "range",
        "max_of",
        "min_of",
        "anchored",
        "smoothed",
        "fill",
        "fill_left",
        "fill_right",
        "topk",
        "limit_ratio",
        "SUM",
    ] {
        assert_eq!(selector(name).name.as_deref(), Some(name));
        assert_eq!(selector(&format!("{name}{{a='b'}} offset 1m")).name.as_deref(), Some(name));
    }
    assert_eq!(shape(&tree("or or or")), "[or or or]");
    assert_eq!(shape(&tree("fill + fill")), "[fill + fill]");
    let labels = "on, by, bool, sum, group_left, atan2, offset, end, fill, 'a.b'";
    let ExprKind::Aggregate(aggregate) = tree(&format!("sum by ({labels},) (x)")).kind else {
        panic!("no aggregation");
    };
    assert_eq!(aggregate.grouping.join(", "), labels.replace('\'', ""));
}

#[test]
fn time_modifiers_are_read() {
    let offset = |text: &str| selector(text).shift.offset;
    assert_eq!(offset("x offset 1h30m"), Some(DurationExpr::Millis(5_400_000)));
    assert_eq!(offset("x offset -5m"), Some(DurationExpr::Millis(-300_000)));
    assert_eq!(offset("x offset 1.5"), Some(DurationExpr::Millis(1500)));
    assert_eq!(offset("x offset 0s"), None);
    let at = |text: &str| selector(text).shift.at;
    assert_eq!(at("x @ 1603774568.5"), Some(AtModifier::Timestamp(1_603_774_568_500)));
    assert_eq!(at("x @ -5m"), Some(AtModifier::Timestamp(-300_000)));
    assert_eq!(at("x @ start()"), Some(AtModifier::Start));
    assert_eq!(at("x offset 1m @ END ( )"), Some(AtModifier::End));
    let both = matrix("x[5m] @ 10 offset 1m anchored");
    assert_eq!(both.range, DurationExpr::Millis(300_000));
    assert_eq!(both.selector.shift.at, Some(AtModifier::Timestamp(10_000)));
    assert_eq!(both.selector.shift.offset, Some(DurationExpr::Millis(60_000)));
    assert_eq!(both.selector.edges, EdgeMode::Anchored);
    assert_eq!(selector("x smoothed").edges, EdgeMode::Smoothed);
}

#[test]
fn durations_are_arithmetic() {
    for text in [
        "x[5m + 1h * 2]",
        "x[step()]",
        "x[max_of(step(), 5s + 8)]",
        "x[(5m)]",
        "x[-(-5m) ^ 2 % 7]",
        "x offset (5m + 1h) * 2",
        "x offset -(5m + 1h)",
        "x offset -min_of(5s, range())",
        "x[range() / 2:step() * 2] @ end()",
        "x[5m:]",
    ] {
        assert_eq!(tree(text).to_string(), text);
    }
    assert_eq!(shape(&tree("x offset -1 ^ 1")), "[x offset -1s ^ 1]");
    assert_eq!(shape(&tree("x offset step() + 1")), "[x offset step() + 1]");
    assert_eq!(tree("x[((5m))]").to_string(), "x[(5m)]");
    assert_eq!(tree("x[0x1f]").to_string(), "x[31s]");
}

#[test]
fn vector_matching_is_kept_between_vectors() {
    let matching = |text: &str| binary(text).matching;
    assert_eq!(matching("1 + 2"), None);
    assert_eq!(matching("a + 2"), None);
    assert_eq!(matching("a + b"), Some(VectorMatching::default()));
    assert_eq!(matching("a or b").unwrap().card, Cardinality::ManyToMany);
    let all = matching("a * on (x, y) group_left (z) fill_left (-1) fill_right (1m) b").unwrap();
    assert_eq!(
        all,
        VectorMatching {
            card: Cardinality::ManyToOne,
            labels: vec!["x".to_owned(), "y".to_owned()],
            on: true,
            include: vec!["z".to_owned()],
            fill_left: Some(-1.0),
            fill_right: Some(60.0),
        }
    );
    let bare = matching("a / ignoring (x) group_right b").unwrap();
    assert_eq!((bare.card, bare.on, bare.include.len()), (Cardinality::OneToMany, false, 0));
    assert_eq!(matching("a + fill (0) b").unwrap().fill_right, Some(0.0));
    assert!(binary("a > bool b").return_bool);
}

#[test]
fn errors_read_as_those_of_prometheus() {
    for (text, expected) in [
        ("", "unknown position: parse error: no expression found in input"),
        (" # nothing\n", "1:1: parse error: no expression found in input"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("(1))", "1:5: parse error: unexpected right parenthesis ')'"),
        ("foo[5m", "1:7: parse error: unclosed left bracket"),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        ("1 +\n  * 2", "2:3: parse error: unexpected <op:*>"),
        ("1 2", "1:3: parse error: unexpected number \"2\""),
        ("foo 'a long string'", "1:5: parse error: unexpected string \"'a long st\"..."),
        ("sum(1 2)", "1:7: parse error: unexpected number \"2\" in aggregation"),
        ("rate(sum(x) y)", "1:13: parse error: unexpected identifier \"y\""),
        ("sum(rate(x y))", "1:12: parse error: unexpected identifier \"y\" in aggregation"),
        (
            "sum by x (y)",
            "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\"",
        ),
        (
            "sum by (1) (y)",
            "1:9: parse error: unexpected number \"1\" in grouping opts, expected label",
        ),
        (
            "sum by (a b) (y)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        ("sum by ('') (y)", "1:9: parse error: invalid label name for grouping: \"\""),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "topk(x)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum(x, y)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        ("rate(x[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("foo(up)", "1:1: parse error: unknown function with name \"foo\""),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        (
            "label_join(x)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        (
            "round(x, 1, 2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        (
            "sum(5)",
            "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "topk('a', x)",
            "1:6: parse error: expected type scalar in aggregation parameter, got string",
        ),
        (
            "count_values(1, x)",
            "1:14: parse error: expected type string in aggregation parameter, got scalar",
        ),
        (
            "info(x, y)",
            "1:9: parse error: expected label selectors only, got vector selector instead",
        ),
        (
            "info(x, 1)",
            "1:1: parse error: expected type instant vector in call to function \"info\", got scalar",
        ),
        (
            "{job=\"\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{x=~'.*'}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        ("a{__name__='b'}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        (
            "x{a='b' c}",
            "1:9: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "x{,}",
            "1:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\"",
        ),
        (
            "x{a}",
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "x{a=b}",
            "1:5: parse error: unexpected identifier \"b\" in label matching, expected string",
        ),
        ("x{a='\\q'}", "1:5: parse error: unknown escape sequence U+0071 'q'"),
        (
            "x offset y",
            "1:10: parse error: unexpected identifier \"y\" in offset, expected number, duration, step(), or range()",
        ),
        ("x @ y", "1:5: parse error: unexpected identifier \"y\" in @, expected timestamp"),
        (
            "x[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        (
            "x[5m 1]",
            "1:6: parse error: unexpected number \"1\" in subquery or range, expected \":\" or \"]\"",
        ),
        (
            "x[5m:1m 1]",
            "1:9: parse error: unexpected number \"1\" in subquery selector, expected \"]\"",
        ),
        (
            "x[5m:(]",
            "1:7: parse error: unexpected \"]\" in subquery selector, expected number, duration, step(), range(), or \"]\"",
        ),
        ("x[y]", "1:3: parse error: unexpected character in duration expression: 'y'"),
        ("x[0s]", "1:3: parse error: duration must be greater than 0"),
        ("x[5m1h]", "1:3: parse error: not a valid duration string: \"5m1h\""),
        ("x[5m/0]", "1:5: parse error: division by zero"),
        ("x[1e10]", "1:3: parse error: duration out of range"),
        ("1[5m]", "1:2: parse error: ranges only allowed for vector selectors"),
        ("x offset 1m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
        ("x @ 1 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
        ("x offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("x @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("x @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        (
            "1 offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "x anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        ("x[5m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("1 + bool 1", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a + on (x) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        (
            "a and on (x) group_left b",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on (x) group_left (x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        ("a + on (x) group_left)", "1:23: parse error: unexpected right parenthesis ')'"),
        (
            "a + on (x) group_left",
            "1:22: parse error: unexpected end of input in grouping opts, expected \"(\"",
        ),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a or fill (1) b",
            "1:1: parse error: filling in missing series not allowed for set operators",
        ),
        (
            "x[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-'a'",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        (
            "x[5m][5m:]",
            "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
        ),
        ("a.b", "1:2: parse error: unexpected character: '.'"),
        ("5mx", "1:1: parse error: bad number or duration syntax: \"5mx\""),
        (
            "1e999",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range",
        ),
        ("a !b", "1:3: parse error: unexpected character after '!': 'b'"),
        ("'a", "1:1: parse error: unterminated quoted string"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn types_are_known() {
    for (text, expected) in [
        ("1 + 1", ValueType::Scalar),
        ("-(x)", ValueType::Vector),
        ("x[5m]", ValueType::Matrix),
        ("x[5m:]", ValueType::Matrix),
        ("'a'", ValueType::String),
        ("time()", ValueType::Scalar),
        ("1 > bool x", ValueType::Vector),
    ] {
        assert_eq!(value_type(&tree(text)), expected, "{text}");
    }
}

#[test]
fn regular_expressions_are_counted() {
    let with = |regexes: usize, matcher: &str| format!("up{{{}}}", matcher.repeat(regexes));
    assert!(parse(&with(REGEXES_MAX, "a=~'b',")).is_ok());
    assert!(parse(&with(REGEXES_MAX + 1, "a='b',")).is_ok());
    for matcher in ["a=~'b',", "a!~'b',"] {
        let message = error(&with(REGEXES_MAX + 1, matcher));
        assert!(message.contains("query has more than 256 regular expressions ("), "{message}");
    }
    let large = r"a=~'\\pL{20}',";
    assert!(parse(&with(REGEXES_MAX / 25, large)).is_ok());
    assert!(parse(&with(REGEXES_MAX / 25 + 1, large)).is_err());
    // Three in each operand: a chain of as many operands would be too deep before.
    let relabeled = "label_replace(up{c=~'d',c=~'e'}, 'a', '', 'b', '.*') or ";
    assert!(parse(&(relabeled.repeat(REGEXES_MAX / 3) + "up")).is_ok());
    let message = error(&(relabeled.repeat(REGEXES_MAX / 3 + 1) + "up"));
    assert!(message.contains("query has more than 256 regular expressions ("), "{message}");
}

#[test]
fn texts_may_be_any_bytes() {
    let expr = tree(r#""a\xff\xe2\x82""#);
    assert_eq!(expr.kind, ExprKind::String(Text::new(b"a\xff\xe2\x82".to_vec())));
    assert_eq!(expr.to_string(), r#""a\xff\xe2\x82""#);
    assert_eq!(tree_json(&expr)["val"], "a\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(
        error(r#"sum by ("\xff") (up)"#),
        r#"1:9: parse error: invalid label name for grouping: "\xff""#
    );
    assert!(error(r#"up{a="\xff"}"#).ends_with("invalid UTF-8"));
}

#[test]
fn fill_values_print_as_in_go() {
    for (value, shown) in [
        ("1000000", "1e+06"),
        ("123456789.5", "1.234567895e+08"),
        ("999999", "999999"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e21", "1e+21"),
        ("-0", "-0"),
        ("1m", "60"),
        ("Inf", "+Inf"),
        ("NaN", "NaN"),
    ] {
        let text = tree(&format!("a + fill_left({value}) b")).to_string();
        assert_eq!(text, format!("a + fill_left ({shown}) b"));
    }
}

#[test]
fn limits_are_named() {
    let deep = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse(&deep(DEPTH_MAX - 1)).is_ok());
    assert_eq!(
        error(&deep(DEPTH_MAX)),
        "1:257: parse error: query is nested deeper than 256 levels, a fixed limit: remove parentheses or split it"
    );
    assert!(parse(&"1+".repeat(DEPTH_MAX - 1).add_one()).is_ok());
    assert!(
        error(&"1+".repeat(DEPTH_MAX).add_one())
            .contains("query is nested deeper than 256 levels, a fixed limit")
    );
    assert!(
        error(&"1^".repeat(DEPTH_MAX).add_one())
            .contains("query is nested deeper than 256 levels, a fixed limit")
    );
    assert!(
        error(&"-".repeat(60_000).add_one())
            .contains("query is nested deeper than 256 levels, a fixed limit")
    );
    assert!(
        error(&format!("x[{}1]", "-".repeat(60_000)))
            .contains("query is nested deeper than 256 levels, a fixed limit")
    );
    assert!(
        error(&format!("x[{}1]", "1+".repeat(30_000)))
            .contains("query is nested deeper than 256 levels, a fixed limit")
    );
    let many = |args: usize| format!("label_join(x,'a','b'{})", ",'c'".repeat(args - 3));
    assert!(parse(&many(9_998)).is_ok());
    assert!(error(&many(10_001)).contains("query has more than 10000 nodes, a fixed limit"));
    let long = format!("{}1", " ".repeat(QUERY_BYTES_MAX));
    assert_eq!(
        error(&long),
        "1:1: parse error: query is longer than 65536 bytes, a fixed limit: split it into several queries"
    );
    assert!(parse(&long[1..]).is_ok());
}

trait AddOne {
    fn add_one(self) -> String;
}

impl AddOne for String {
    fn add_one(mut self) -> String {
        self.push('1');
        self
    }
}

#[test]
fn time_is_linear() {
    let begin = std::time::Instant::now();
    for repeated in [
        "1+",
        "(",
        "-",
        "fill ",
        "sum by (a) (",
        "x[",
        "{a='",
        "'",
        "a,",
        "x[5m:",
        "#\n",
        "x offset ",
        "1^",
    ] {
        let text = repeated.repeat(QUERY_BYTES_MAX / repeated.len());
        assert!(parse(&text).is_err(), "{repeated}");
    }
    let wide = format!("label_join(x,'a','b'{})", ",'c'".repeat(9_990));
    assert!(!pretty(&tree(&wide)).is_empty());
    // Generous: debug builds on loaded machines; quadratic time would take minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn selectors_of_the_api_are_read() {
    let matchers = parse_selector("up{a='b'}").unwrap();
    assert_eq!(
        matchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [r#"a="b""#, r#"__name__="up""#]
    );
    assert_eq!(parse_selector("{}").unwrap(), Vec::new());
    for (text, expected) in [
        ("sum(up)", "1:4: parse error: unexpected \"(\""),
        ("{", "1:2: parse error: unexpected end of input inside braces"),
        ("up[5m]", "1:3: parse error: unexpected \"[\""),
        ("1", "1:1: parse error: unexpected number \"1\""),
        ("", "unknown position: parse error: unexpected end of input"),
    ] {
        assert_eq!(parse_selector(text).unwrap_err().render(text), expected);
    }
}

/// Texts of instant vectors, made from everything the language has.
fn vector_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "[0-9]{1,3}",
        "[0-9]{1,2}\\.[0-9]",
        "0x[0-9a-d]{1,3}",
        "[1-9][0-9]?(ms|s|m|h|d|w|y)",
        Just("(Inf)".to_owned())
    ];
    let duration = prop_oneof![
        "[1-9][0-9]?(ms|s|m|h|d|w|y)",
        "1h[1-9]m",
        "\\([1-9]m [+*-] [1-9]s\\)",
        Just("step()".to_owned()),
        Just("max_of(step(), 5s ^ 2)".to_owned()),
    ];
    let name = prop_oneof![
        "[a-zA-Z_][a-z0-9_]{0,4}x",
        "[a-z]:[a-z]",
        Just("sum".to_owned()),
        Just("by".to_owned())
    ];
    let label = prop_oneof!["[a-z]{1,3}", "\"[a-z]\\.[a-z]\""];
    let matcher = (
        label.clone(),
        prop_oneof![
            "=\"[a-z\\n\\x00-\\x1fä]{0,2}\"".prop_map(|text| text.replace(['\n', '\u{fffd}'], "")),
            "!~'(a|b)+'"
        ],
    )
        .prop_map(|(label, condition)| label + &condition);
    let modifier = prop_oneof![
        Just(String::new()),
        duration.clone().prop_map(|duration| format!(" offset {duration}")),
        Just(" offset -5m".to_owned()),
        Just(" @ start()".to_owned()),
        "[1-9][0-9]{0,9}".prop_map(|ts| format!(" @ {ts}.5")),
        Just(" smoothed".to_owned()),
        Just(" @ end() offset 1w".to_owned()),
    ];
    let series = (name, prop::collection::vec(matcher, 0..3))
        .prop_map(|(name, matchers)| format!("{name}{{{}}}", matchers.join(",")));
    let leaf = (series.clone(), modifier.clone()).prop_map(|(series, modifier)| series + &modifier);
    let range = (series, duration.clone(), modifier.clone())
        .prop_map(|(series, range, modifier)| format!("rate({series}[{range}]{modifier})"));
    let labels =
        prop::collection::vec(label, 0..3).prop_map(|labels| format!("({})", labels.join(", ")));
    prop_oneof![leaf, range].prop_recursive(5, 40, 3, move |inner| {
        let operator =
            prop_oneof!["[-+*/%^]", "[<>]/", "(==|!=|<|>|<=|>=)( bool)?", Just("atan2".to_owned())];
        let matching = (
            prop_oneof![Just("on"), Just("ignoring")],
            labels.clone(),
            prop_oneof![
                Just(""),
                Just(" group_left ('q.r.s')"),
                Just(" fill (-1.5)"),
                Just(" fill_right (3)")
            ],
        )
            .prop_map(|(word, labels, group)| format!("{word} {labels}{group}"));
        let set = prop_oneof![Just("and"), Just("or"), Just("unless")];
        prop_oneof![
            (inner.clone(), operator.clone(), number.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} {b}")),
            (inner.clone(), operator, matching, inner.clone())
                .prop_map(|(a, op, matching, b)| format!("({a}) {op} {matching} ({b})")),
            (inner.clone(), set, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            (inner.clone(), labels.clone())
                .prop_map(|(a, labels)| format!("sum by {labels} ({a})")),
            (inner.clone(), labels.clone())
                .prop_map(|(a, labels)| format!("topk(3, {a}) without {labels}")),
            (inner.clone(), duration.clone(), duration.clone()).prop_map(
                |(a, range, step)| format!("max_over_time(({a})[2m * {range}:{step}] @ 5)")
            ),
            inner.prop_map(|a| format!("label_replace({a}, 'a', `$1\\n`, \"b\", '(.*)\\n')")),
        ]
    })
}

/// Printing sorts matchers.
fn sort_matchers(expr: &mut Expr) {
    let sort = |selector: &mut VectorSelector| selector.matchers.sort_by_key(ToString::to_string);
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::VectorSelector(selector) => sort(selector),
        ExprKind::MatrixSelector(matrix) => sort(&mut matrix.selector),
        ExprKind::Subquery(subquery) => sort_matchers(&mut subquery.expr),
        ExprKind::Call(call) => call.args.iter_mut().for_each(sort_matchers),
        ExprKind::Aggregate(aggregate) => sort_matchers(&mut aggregate.expr),
        ExprKind::Binary(binary) => {
            sort_matchers(&mut binary.lhs);
            sort_matchers(&mut binary.rhs);
        }
        ExprKind::Unary(unary) => sort_matchers(&mut unary.expr),
        ExprKind::Paren(inner) => sort_matchers(inner),
    }
}

/// The tree without the places of its expressions, which printing moves.
fn without_spans(expr: &Expr) -> String {
    let mut text = format!("{expr:?}");
    while let Some(start) = text.find("Span { start") {
        let end = start + text[start..].find('}').unwrap();
        text.replace_range(start..=end, "_");
    }
    text
}

proptest! {
    #[test]
    fn printing_loses_nothing(text in vector_text()) {
        let mut expr = parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {}", error.render(&text))))?;
        let printed = [expr.to_string(), pretty(&expr)];
        sort_matchers(&mut expr);
        for printed in printed {
            let mut again = parse(&printed)
                .map_err(|error| TestCaseError::fail(format!("{printed}: {}", error.render(&printed))))?;
            sort_matchers(&mut again);
            prop_assert_eq!(without_spans(&again), without_spans(&expr), "{} became {}", text, printed);
            prop_assert_eq!(tree_json(&again), tree_json(&expr));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.render(&text).is_empty());
        }
        let _ = parse_selector(&text);
    }

    #[test]
    fn no_words_panic(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..24)) {
        let text = words.concat();
        if let Ok(expr) = parse(&text) {
            prop_assert!(parse(&expr.to_string()).is_ok(), "{} became {}", text, expr);
        }
    }
}

const WORDS: [&str; 44] = [
    "x",
    "sum",
    "by",
    "on",
    "group_left",
    "fill",
    "offset",
    "@",
    "start",
    "step",
    "rate",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "=",
    "!",
    "~",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "<",
    ">",
    "bool",
    "and",
    "1",
    "5m",
    ".",
    "0x",
    "'a'",
    "\"\\",
    "\n",
    " ",
    " ",
    "#",
];
