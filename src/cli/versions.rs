//! `nines slo versions`: what an SLO was over time.

use clap::Args;
use serde_json::Value;

use super::place::PlaceArgs;
use super::print_line;

#[derive(Debug, Args)]
pub(super) struct VersionsArgs {
    /// Name of the SLO
    slo: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Prints what the journal recorded of a definition, and its targets.
pub(super) fn run(args: &VersionsArgs) -> anyhow::Result<()> {
    let told = args.place.open()?.versions(&args.slo)?;
    if args.place.json {
        print_line(&told.to_string());
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    if let Some(earlier) = told["earlier"].as_u64().filter(|earlier| *earlier > 0) {
        print_line(&format!("{earlier} older versions are left out"));
    }
    print_line(&format!(
        "{:>7} {:<24} {:<16} {:<10} {:<16} {:<20} FILE",
        "VERSION", "SINCE", "HASH", "TARGET", "GIT REF", "AUTHOR"
    ));
    for one in list("items") {
        let file = if one["removed"] == true { "removed".to_owned() } else { text(&one["file"]) };
        print_line(&format!(
            "{:>7} {:<24} {:<16} {:<10} {:<16} {:<20} {file}",
            one["version"].to_string(),
            text(&one["since"]),
            text(&one["hash"]),
            text(&one["target"]),
            text(&one["gitRef"]),
            text(&one["author"]),
        ));
    }
    let definition = &told["definition"];
    if definition["version"].is_null() && definition["hash"].is_string() {
        print_line(&format!(
            "The definition in {} ({}) is not recorded: no server has seen it yet.",
            text(&definition["file"]),
            text(&definition["hash"])
        ));
    }
    for one in list("targets") {
        let objective = one["objective"].as_str().map(|of| format!(" of {of}")).unwrap_or_default();
        let since = one["from"].as_str().map(|from| format!("from {from} on"));
        print_line(&format!(
            "target {}{objective} {}, definitionVersion {}",
            one["target"],
            since.unwrap_or_else(|| "from the beginning".to_owned()),
            text(&one["definitionVersion"])
        ));
    }
    Ok(())
}
