//! Samples from blocks into the rows of the history.
//!
//! Owns: which days are due (pure), rows from samples (pure), a day of all series with bounded memory. Writes
//! through `history`, reads through `query`, where the samples of several blocks become one sequence.

mod build;
mod day;
mod due;
mod known;
mod parts;
#[cfg(test)]
mod tests;

pub(crate) use day::{Metrics, Progress, roll_up};
pub(crate) use due::{due, months_due};
