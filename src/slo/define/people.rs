//! `kind: Service`, `kind: Team` and `kind: DataSource`.

use super::metadata::{self, refuse_annotations};
use super::reader::{Fields, Report};
use crate::slo::definition::{Service, Team};

fn described(document: &Fields<'_>) -> String {
    let mut description = String::new();
    if let Some(spec) = document.get("spec").and_then(|field| field.fields()) {
        let told = spec.get("description").and_then(|field| field.text());
        description = told.unwrap_or_default().to_owned();
        spec.finish();
    }
    document.finish();
    description
}

/// Reads a service.
pub(super) fn service(document: &Fields<'_>, report: &Report<'_>) -> Option<Service> {
    let metadata = metadata::read(document);
    let description = described(document);
    let metadata = metadata?;
    refuse_annotations(&metadata, &[], report);
    Some(Service {
        name: metadata.name,
        display_name: metadata.display_name,
        description,
        labels: metadata.labels,
        place: metadata.place,
    })
}

/// Reads a team.
pub(super) fn team(document: &Fields<'_>) -> Option<Team> {
    let metadata = metadata::read(document);
    let description = described(document);
    let metadata = metadata?;
    Some(Team {
        name: metadata.name,
        display_name: metadata.display_name,
        description,
        place: metadata.place,
    })
}

/// Checks a data source and gives its name.
pub(super) fn data_source(document: &Fields<'_>) -> Option<String> {
    let metadata = metadata::read_any(document);
    if let Some(spec) = document.need("spec").and_then(|field| field.fields()) {
        if let Some(field) = spec.get("description") {
            field.text();
        }
        if let Some(field) = spec.need("type") {
            field.word();
        }
        spec.free("connectionDetails");
        spec.finish();
    }
    document.finish();
    Some(metadata?.name)
}
