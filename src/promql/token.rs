//! The words of PromQL.

use super::ast::{AggregateOp, BinaryOp, Span};
use super::quote::quote;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the word of its name")]
pub(crate) enum TokenKind {
    Eof,
    Comma,
    Colon,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    /// `=`
    Assign,
    /// `=~`
    MatchRegex,
    /// `!~`
    MatchNotRegex,
    At,
    Number,
    Duration,
    String,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    /// A binary operator; `!=` also between braces.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// A token and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Where it stands.
    pub(crate) span: Span,
}

impl TokenKind {
    /// The keyword that `word` is; upper and lower case mean the same.
    pub(crate) fn keyword(word: &str) -> Option<Self> {
        /// Length of `group_right`, `limit_ratio` and the like, rounded up.
        const KEYWORD_BYTES_MAX: usize = 16;
        if word.len() > KEYWORD_BYTES_MAX {
            return None;
        }
        let lower = word.to_ascii_lowercase();
        Some(match lower.as_str() {
            "and" => Self::Op(BinaryOp::And),
            "or" => Self::Op(BinaryOp::Or),
            "unless" => Self::Op(BinaryOp::Unless),
            "atan2" => Self::Op(BinaryOp::Atan2),
            "offset" => Self::Offset,
            "smoothed" => Self::Smoothed,
            "anchored" => Self::Anchored,
            "by" => Self::By,
            "without" => Self::Without,
            "on" => Self::On,
            "ignoring" => Self::Ignoring,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "bool" => Self::Bool,
            "start" => Self::Start,
            "end" => Self::End,
            "inf" | "nan" => Self::Number,
            other => {
                return Self::duration_keyword(other)
                    .or_else(|| AggregateOp::named(other).map(Self::Aggregate));
            }
        })
    }

    /// The word that may stand in a duration expression.
    pub(crate) fn duration_keyword(word: &str) -> Option<Self> {
        [
            ("step", Self::Step),
            ("range", Self::Range),
            ("max_of", Self::MaxOf),
            ("min_of", Self::MinOf),
        ]
        .into_iter()
        .find_map(|(name, kind)| name.eq_ignore_ascii_case(word).then_some(kind))
    }

    /// Whether the word may be the name of a metric.
    pub(crate) const fn is_metric_name(self) -> bool {
        matches!(
            self,
            Self::Identifier
                | Self::MetricIdentifier
                | Self::Aggregate(_)
                | Self::By
                | Self::Without
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
                | Self::Offset
                | Self::Start
                | Self::End
                | Self::Step
                | Self::Range
                | Self::MaxOf
                | Self::MinOf
                | Self::Anchored
                | Self::Smoothed
        )
    }

    /// Whether the word may be a label's name in `by`, `on` and the like. `without` may not, as in Prometheus.
    pub(crate) const fn is_label_name(self) -> bool {
        match self {
            Self::Without => false,
            Self::Bool | Self::GroupLeft | Self::GroupRight | Self::Ignoring | Self::On => true,
            Self::Op(BinaryOp::Atan2) => true,
            _ => self.is_metric_name(),
        }
    }

    /// Whether an expression can begin with it.
    pub(crate) const fn starts_expression(self) -> bool {
        self.is_metric_name()
            || matches!(
                self,
                Self::Op(BinaryOp::Add | BinaryOp::Sub)
                    | Self::Number
                    | Self::Duration
                    | Self::String
                    | Self::LeftParen
                    | Self::LeftBrace
            )
    }

    /// How an error names the token written as `text`.
    pub(crate) fn describe(self, text: &str) -> String {
        match self {
            Self::Eof => "end of input".to_owned(),
            Self::Identifier => format!("identifier {}", quote(text)),
            Self::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Self::Number => format!("number {}", quote_short(text)),
            Self::Duration => format!("duration {}", quote_short(text)),
            Self::String => format!("string {}", quote_short(text)),
            Self::Op(_) | Self::MatchRegex | Self::MatchNotRegex | Self::At => {
                format!("<op:{text}>")
            }
            Self::Aggregate(_) => format!("<aggr:{text}>"),
            Self::Bool
            | Self::By
            | Self::GroupLeft
            | Self::GroupRight
            | Self::Fill
            | Self::FillLeft
            | Self::FillRight
            | Self::Ignoring
            | Self::Offset
            | Self::Smoothed
            | Self::Anchored
            | Self::On
            | Self::Without => format!("<{text}>"),
            _ => quote_short(text),
        }
    }
}

/// Quoted, cut after ten characters.
fn quote_short(text: &str) -> String {
    const CHARS_MAX: usize = 10;
    if text.len() <= CHARS_MAX {
        return quote(text);
    }
    let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(at, _)| at);
    format!("{}...", quote(&text[..end]))
}
