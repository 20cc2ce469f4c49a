//! Service level objectives: what is defined, what was counted, and what that says.
//!
//! Counts are a pure function of raw samples, a definition and its exclusions. `count` reads and folds samples into
//! slices, which add up over any partition of time; `evaluate` makes a report of them; the page, the API and the
//! commands all show that one.

pub mod amend;
pub mod calendar;
pub mod contributors;
pub mod count;
pub mod decimal;
pub mod define;
pub mod definition;
pub mod desk;
pub mod diagnostic;
pub mod diff;
pub mod error;
pub mod evaluate;
pub mod exclusions;
pub mod explain;
mod fold;
pub mod fraction;
pub mod journal;
pub mod ledger;
mod parallel;
pub mod portfolio;
pub mod published;
pub mod report;
pub mod rows;
pub mod series;
pub mod sla;
pub mod slices;
pub mod suggest;
pub mod sum;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod versions;
pub mod yaml;
