//! `nines slo suggest`: SLOs for what a server or a data directory holds.

use std::io::Write as _;

use clap::Args;
use serde_json::Value;

use super::place::PlaceArgs;
use super::print_line;
use crate::promql::parse_selector;
use crate::slo::error::SloError;
use crate::slo::suggest::{LIMIT_DEFAULT, suggest};

#[derive(Debug, Args)]
pub(super) struct SuggestArgs {
    /// Only for series that satisfy this selector
    #[arg(long = "match", value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    only: String,
    /// How many
    #[arg(long, default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Prints the documents, and beside them why there is none for a metric; says whether there are some.
pub(super) fn run(args: &SuggestArgs) -> anyhow::Result<bool> {
    let limit = args.limit.to_string();
    let query = [("match", args.only.as_str()), ("limit", limit.as_str())];
    let found = args.place.open()?.look(&["suggest"], &query, |desk| {
        let only = match args.only.as_str() {
            "" => Vec::new(),
            text => parse_selector(text).map_err(|error| SloError::Invalid(error.render(text)))?,
        };
        let found = suggest(desk, &only, args.limit)?;
        serde_json::to_value(found).map_err(|error| SloError::Invalid(error.to_string()))
    })?;
    let list = |name: &str| found[name].as_array().map(Vec::as_slice).unwrap_or_default();
    if args.place.json {
        print_line(&found.to_string());
    } else {
        // Nothing more can be said when stdout or stderr is closed.
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let _ = write!(std::io::stdout(), "{}", text(&found["documents"]));
        for one in list("passed") {
            let (metric, service, why) =
                (text(&one["metric"]), text(&one["service"]), text(&one["why"]));
            let _ = writeln!(std::io::stderr(), "none for {metric} of {service}: {why}");
        }
        if list("items").is_empty() && list("passed").is_empty() {
            let _ = writeln!(
                std::io::stderr(),
                "no series looks like requests, latencies, states or probes"
            );
        }
    }
    Ok(!list("items").is_empty())
}
