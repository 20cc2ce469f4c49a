//! OpenSLO v2alpha: `sli` for `indicator`, metrics with `dataSourceRef` or `dataSourceSpec` instead of
//! `metricSource`. What v1 does not know keeps its name and is told by its reader.

use crate::slo::yaml::{Content, Entry, Node, Style};

/// A document of v1 with the same meaning.
pub(super) fn convert(root: &Node) -> Node {
    let mut root = root.clone();
    let is_sli = root.get("kind").and_then(Node::text) == Some("SLI");
    for entry in entries(&mut root) {
        match entry.key.as_str() {
            "apiVersion" => {
                entry.value = Node::scalar(&entry.value, "openslo/v1", Style::Plain);
            }
            "spec" if is_sli => metrics(&mut entry.value),
            "spec" => spec(&mut entry.value),
            _ => {}
        }
    }
    root
}

fn entries(node: &mut Node) -> &mut [Entry] {
    match &mut node.content {
        Content::Map(entries) => entries,
        _ => &mut [],
    }
}

fn spec(node: &mut Node) {
    indicators(node);
    for entry in entries(node).iter_mut().filter(|entry| entry.key == "objectives") {
        if let Content::List(items) = &mut entry.value.content {
            items.iter_mut().for_each(indicators);
        }
    }
}

/// `sli` and `sliRef` of an SLO or objective.
fn indicators(node: &mut Node) {
    for entry in entries(node) {
        match entry.key.as_str() {
            "sli" => {
                "indicator".clone_into(&mut entry.key);
                for inner in
                    entries(&mut entry.value).iter_mut().filter(|inner| inner.key == "spec")
                {
                    metrics(&mut inner.value);
                }
            }
            "sliRef" => "indicatorRef".clone_into(&mut entry.key),
            _ => {}
        }
    }
}

/// `spec` of an SLI.
fn metrics(node: &mut Node) {
    for entry in entries(node) {
        match entry.key.as_str() {
            "thresholdMetric" => metric(&mut entry.value),
            "ratioMetric" => {
                for inner in entries(&mut entry.value) {
                    if matches!(inner.key.as_str(), "good" | "bad" | "total" | "raw") {
                        metric(&mut inner.value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Puts the fields of a metric into a `metricSource`.
fn metric(node: &mut Node) {
    let like = node.clone();
    let Content::Map(all) = &mut node.content else { return };
    let mut source = Vec::new();
    for mut entry in std::mem::take(all) {
        match entry.key.as_str() {
            "dataSourceRef" => {
                "metricSourceRef".clone_into(&mut entry.key);
                source.push(entry);
            }
            "dataSourceSpec" | "dataSource" => {
                let Content::Map(inner) = entry.value.content else { continue };
                // How to connect is for who connects.
                source.extend(inner.into_iter().filter(|inner| inner.key != "connectionDetails"));
            }
            _ => source.push(entry),
        }
    }
    let value = Node { content: Content::Map(source), ..like };
    let (spot, span) = (value.spot, value.span.clone());
    *all = vec![Entry { key: "metricSource".to_owned(), spot, span, value }];
}
