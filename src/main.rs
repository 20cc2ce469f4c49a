//! The `nines` program.
#![forbid(unsafe_code)]

fn main() {}
