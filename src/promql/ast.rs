//! The syntax tree of PromQL, every node with its place in the source.
//!
//! The tree keeps what was written (grouping, modifiers, durations) so that it can be printed back;
//! what a node *means* is decided in `eval`.

use std::borrow::Cow;

use nines_storage::model::Matcher;

/// A half-open range of bytes in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// Series with one sample each per evaluation time.
    Vector,
    /// Series with a window of samples each.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// The word Prometheus uses for the type in its API (`parser/value.go`, `ValueType`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// The word Prometheus uses for the type in its error messages (`parser/value.go`, `DocumentedType`).
    #[must_use]
    pub const fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }
}

/// An expression and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

impl Expr {
    /// Shows the matchers of every selector in it, in the order in which they are written.
    pub fn each_selector(&self, show: &mut dyn FnMut(&[Matcher])) {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::String(_) => {}
            ExprKind::VectorSelector(selector) => show(&selector.matchers),
            ExprKind::MatrixSelector(matrix) => show(&matrix.selector.matchers),
            ExprKind::Subquery(subquery) => subquery.expr.each_selector(show),
            ExprKind::Call(call) => call.args.iter().for_each(|arg| arg.each_selector(show)),
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter().for_each(|param| param.each_selector(show));
                aggregate.expr.each_selector(show);
            }
            ExprKind::Binary(binary) => {
                binary.lhs.each_selector(show);
                binary.rhs.each_selector(show);
            }
            ExprKind::Unary(unary) => unary.expr.each_selector(show),
            ExprKind::Paren(inner) => inner.each_selector(show),
        }
    }
}

/// The kinds of expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number; durations outside brackets count as seconds.
    Number(NumberLiteral),
    /// A text, unquoted.
    String(Text),
    /// `name{matchers}` with modifiers.
    VectorSelector(VectorSelector),
    /// A vector selector with a range.
    MatrixSelector(MatrixSelector),
    /// `expr[range:step]` with modifiers.
    Subquery(Box<Subquery>),
    /// A function call.
    Call(Call),
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// A binary operation.
    Binary(Box<Binary>),
    /// `-expr` or `+expr`.
    Unary(Box<Unary>),
    /// `(expr)`.
    Paren(Box<Expr>),
}

/// The content of a string literal. Its escapes can spell bytes that are not UTF-8, which no label holds;
/// what such a text is good for is decided where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    /// The text of these bytes.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes as they are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text with a replacement character for every byte that is not UTF-8, as Go's JSON writes it.
    #[must_use]
    pub fn to_lossy(&self) -> Cow<'_, str> {
        if let Some(text) = self.as_str() {
            return Cow::Borrowed(text);
        }
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        Cow::Owned(text)
    }
}

/// A number as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberLiteral {
    /// Its value; a duration in seconds.
    pub value: f64,
    /// Whether it was written as a duration (`5m`).
    pub is_duration: bool,
}

/// A length of time inside brackets or after `offset`.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// Known when parsed, in milliseconds.
    Millis(i64),
    /// Arithmetic that needs the query's step or range; evaluated before the query runs, in seconds.
    Computed {
        /// The arithmetic.
        expr: Box<DurationNode>,
        /// Where it stands.
        span: Span,
    },
}

/// Arithmetic over durations, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationNode {
    /// A number or duration.
    Number(NumberLiteral),
    /// `step()`: the step of the range query, 0 for an instant query.
    Step,
    /// `range()`: end minus start of the range query.
    Range,
    /// `-x` or `+x`.
    Unary {
        /// Whether the sign is a minus.
        negate: bool,
        /// What it applies to.
        expr: Box<DurationNode>,
    },
    /// `a op b`.
    Binary {
        /// One of `+ - * / % ^`.
        op: BinaryOp,
        /// Left side.
        lhs: Box<DurationNode>,
        /// Right side.
        rhs: Box<DurationNode>,
    },
    /// `min_of(a, b)` or `max_of(a, b)`.
    Extremum {
        /// Whether it is `max_of`.
        max: bool,
        /// Left side.
        lhs: Box<DurationNode>,
        /// Right side.
        rhs: Box<DurationNode>,
    },
    /// `(x)`.
    Paren(Box<DurationNode>),
}

/// What `@` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtModifier {
    /// A fixed time in milliseconds since the epoch.
    Timestamp(i64),
    /// `start()`.
    Start,
    /// `end()`.
    End,
}

/// `offset` and `@` of a selector or subquery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TimeShift {
    /// `offset`; a positive one looks into the past.
    pub offset: Option<DurationExpr>,
    /// `@`.
    pub at: Option<AtModifier>,
}

/// How the edges of a window are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EdgeMode {
    /// As ever: extrapolated.
    #[default]
    Plain,
    /// `anchored`: from the last sample at or before the window's beginning.
    Anchored,
    /// `smoothed`: interpolated at both edges.
    Smoothed,
}

/// An instant vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name when it was written before the braces; it is the last of `matchers` too. A name inside
    /// the braces, quoted or as `__name__`, is only a matcher, as in Prometheus.
    pub name: Option<String>,
    /// All matchers, that of the name included.
    pub matchers: Vec<Matcher>,
    /// Modifiers.
    pub shift: TimeShift,
    /// `anchored` or `smoothed`.
    pub edges: EdgeMode,
}

/// A range vector selector; its modifiers are those of `selector`.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// What is selected.
    pub selector: VectorSelector,
    /// Where the vector selector stands.
    pub selector_span: Span,
    /// How far back.
    pub range: DurationExpr,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// How far back.
    pub range: DurationExpr,
    /// How often; the engine's default when absent.
    pub step: Option<DurationExpr>,
    /// Modifiers.
    pub shift: TimeShift,
}

/// A function call. The parser has checked name, number and types of the arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the function, as in the table of `functions`.
    pub function: &'static str,
    /// Arguments.
    pub args: Vec<Expr>,
}

/// Aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Group,
    Count,
    CountValues,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    Limitk,
    LimitRatio,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// First argument of `topk`, `quantile`, `count_values`, ...
    pub param: Option<Expr>,
    /// Labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether `grouping` is that of `without`.
    pub without: bool,
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eql,
    Neq,
    Lss,
    Lte,
    Gtr,
    Gte,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinaryOp {
    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Eql | Self::Neq | Self::Lss | Self::Lte | Self::Gtr | Self::Gte)
    }

    /// `and`, `or`, `unless`.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How many elements of each side may share a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One and one.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// Vector matching between two instant vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorMatching {
    /// Cardinality.
    pub card: Cardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` is that of `on`.
    pub on: bool,
    /// Labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// `fill`/`fill_left`: value of a missing left element.
    pub fill_left: Option<f64>,
    /// `fill`/`fill_right`: value of a missing right element.
    pub fill_right: Option<f64>,
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// `bool` behind a comparison.
    pub return_bool: bool,
    /// Matching, set when both sides are vectors.
    pub matching: Option<VectorMatching>,
}

/// A sign.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// Whether the sign is a minus.
    pub negate: bool,
    /// What it applies to.
    pub expr: Expr,
}

impl AggregateOp {
    /// Every operator.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Count,
        Self::CountValues,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Count => "count",
            Self::CountValues => "count_values",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The operator of a name in lower case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }

    /// Whether the operator takes an argument before the expression.
    #[must_use]
    pub const fn takes_parameter(self) -> bool {
        matches!(
            self,
            Self::CountValues
                | Self::Topk
                | Self::Bottomk
                | Self::Quantile
                | Self::Limitk
                | Self::LimitRatio
        )
    }
}

impl BinaryOp {
    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eql => "==",
            Self::Neq => "!=",
            Self::Lss => "<",
            Self::Lte => "<=",
            Self::Gtr => ">",
            Self::Gte => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }
}
