//! PromQL: text in, numbers out. Imports std, regex and the storage face only.
//!
//! [`parse`] makes a tree ([`ast`]) of a text. [`Engine`] plans the tree (`plan.rs`: durations, `@`, what
//! does not depend on the step) and evaluates the plan (`eval.rs` and beside it), series by series, instant
//! and range queries by one path: a range query has many steps, an instant query one. The engine keeps no
//! state; everything of a query in flight is borrowed from its caller, the budget above all, whose deadline
//! and cancellation every long loop asks for.

mod aggregate;
mod annotations;
pub mod ast;
mod binary;
mod call;
mod classic;
mod duration;
mod edges;
mod engine;
mod error;
mod eval;
mod folds;
pub mod functions;
mod info;
mod lexer;
mod matching;
pub mod notation;
mod number;
mod order;
mod parse_error;
mod parser;
mod plan;
mod pretty;
mod printer;
mod quote;
mod rank;
mod row;
mod selector;
mod steps;
mod tiled;
mod token;
mod touched;
mod tree_json;
mod value;
mod window;
mod workers;

pub use engine::{Engine, EngineOptions, QueryOptions};
pub use error::QueryError;
pub use parse_error::ParseError;
pub use parser::{
    DEPTH_MAX, NODES_MAX, QUERY_BYTES_MAX, REGEXES_MAX, parse, parse_selector, value_type,
};
pub use pretty::pretty;
pub(crate) use quote::quote;
pub use tree_json::tree_json;
pub use value::{MatrixSeries, QueryResult, QueryStats, SampleValue, Value, VectorSample};
