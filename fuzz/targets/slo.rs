//! Any text as definitions: a tree whose places lie in the text, definitions or diagnostics with a place, and a
//! printed tree that is read as the same.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use nines::slo::define::convert::{Tool, import};
use nines::slo::define::{load_texts, set_target};
use nines::slo::yaml::{Content, Node, inner_place, print, read};

/// Checks the places of a tree.
fn check(text: &str, node: &Node) {
    assert!(node.spot.line >= 1 && node.spot.column >= 1);
    assert!(text.get(node.span.clone()).is_some(), "{:?}", node.span);
    match &node.content {
        Content::Scalar { text: value, .. } => {
            for offset in [0, value.len() / 2, value.len()] {
                assert!(inner_place(text, node, offset).line >= 1);
            }
        }
        Content::List(items) => items.iter().for_each(|item| check(text, item)),
        Content::Map(entries) => entries.iter().for_each(|entry| check(text, &entry.value)),
    }
}

/// A tree as a text without places and styles.
fn bare(node: &Node) -> String {
    match &node.content {
        Content::Scalar { text, .. } => format!("{}:{text:?}", node.kind()),
        Content::List(items) => format!("{:?}", items.iter().map(bare).collect::<Vec<_>>()),
        Content::Map(entries) => {
            format!("{:?}", entries.iter().map(|e| (&e.key, bare(&e.value))).collect::<Vec<_>>())
        }
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let (documents, _) = read(text);
    for document in &documents {
        check(text, &document.root);
        let printed = print(std::slice::from_ref(&document.root));
        let (again, faults) = read(&printed);
        assert!(faults.is_empty(), "{text:?} became {printed:?}: {faults:?}");
        let bares: Vec<String> = again.iter().map(|document| bare(&document.root)).collect();
        assert_eq!(bares, [bare(&document.root)], "{text:?} became {printed:?}");
    }
    let (definitions, diagnostics) = load_texts(&[("f", text)]);
    assert!(diagnostics.iter().all(|told| told.line >= 1 && told.column >= 1));
    for slo in definitions.slos.values() {
        assert!(slo.objectives.iter().all(|one| !one.targets.is_empty()));
        let Ok(target) = "0.12345".parse() else { continue };
        if let Ok(Some(changed)) = set_target("f", text, &slo.name, target, "2200-01-01") {
            assert!(load_texts(&[("f", &changed)]).0.slos.contains_key(&slo.name));
        }
    }
    for tool in [Tool::Sloth, Tool::Pyrra, Tool::OpenSlo] {
        let (documents, _) = import(tool, "f", text);
        assert!(read(&documents).1.is_empty());
    }
    Corpus::Keep
});
