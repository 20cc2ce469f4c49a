//! Prometheus remote write as bytes: what a sender puts on the wire, and nothing of what becomes of it.
#![forbid(unsafe_code)]
