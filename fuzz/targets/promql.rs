//! Any text as a query: a tree or an error with a place; a tree is printed to a text that means the same.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use nines::promql::{parse, parse_selector, pretty, tree_json, value_type};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let _selector = parse_selector(text);
    let tree = match parse(text) {
        Ok(tree) => tree,
        Err(refused) => {
            assert!(refused.render(text).contains("parse error: "));
            return Corpus::Keep;
        }
    };
    let printed = tree.to_string();
    // As in Prometheus infinity is printed with a sign, which is read as an operator before `^`.
    if printed.contains("Inf") {
        return Corpus::Keep;
    }
    for printed_so in [printed.clone(), pretty(&tree)] {
        let again = parse(&printed_so).unwrap_or_else(|e| {
            panic!("{text:?} became {printed_so:?}: {}", e.render(&printed_so))
        });
        assert_eq!(again.to_string(), printed, "of {text:?} by {printed_so:?}");
        assert_eq!(value_type(&again), value_type(&tree), "{printed_so}");
        assert_eq!(tree_json(&again)["type"], tree_json(&tree)["type"], "{printed_so}");
    }
    Corpus::Keep
});
