//! Tests of trees: places, limits, what is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn one(text: &str) -> Node {
    let (mut documents, faults) = read(text);
    assert_eq!(faults, [], "{text}");
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).root
}

fn at(line: usize, column: usize) -> Spot {
    Spot { line, column }
}

fn faults(text: &str) -> Vec<(usize, usize, &'static str, String)> {
    read(text).1.into_iter().map(|f| (f.spot.line, f.spot.column, f.code, f.message)).collect()
}

#[test]
fn keys_and_values_know_their_places_in_characters() {
    let text = "# größe ☃\nä: {ü: 'ß', x: \"☃\"}\nlist:\n  - ö ☃ # ☃\n  - b\nblock: |\n  ☃ one\n  two\nlast: 1.50\n";
    let root = one(text);
    let Content::Map(entries) = &root.content else { panic!() };
    let keys: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.spot, e.value.spot)).collect();
    assert_eq!(
        keys,
        [
            ("ä", at(2, 1), at(2, 4)),
            ("list", at(3, 1), at(4, 3)),
            ("block", at(6, 1), at(7, 3)),
            ("last", at(9, 1), at(9, 7)),
        ]
    );
    let flow = root.get("ä").unwrap();
    assert_eq!(flow.get("ü").unwrap().spot, at(2, 8));
    assert_eq!(flow.get("x").unwrap().spot, at(2, 16));
    assert_eq!(&text[flow.span.clone()], "{ü: 'ß', x: \"☃\"}");
    let Content::List(items) = &root.get("list").unwrap().content else { panic!() };
    assert_eq!((items[0].spot, items[1].spot), (at(4, 5), at(5, 5)));
    assert_eq!(items[0].text(), Some("ö ☃"));
    assert_eq!(root.get("block").unwrap().text(), Some("☃ one\ntwo\n"));
    assert_eq!(root.get("last").unwrap().text(), Some("1.50"));
    assert_eq!(&text[root.get("last").unwrap().span.clone()], "1.50");
    for written in ["\"a\\\"b\"", "'it''s'", "\"\"", "''", "\"a\\\\\""] {
        for text in [
            format!("k: {written}  # comment\nl: 1\n"),
            format!("[{written} , 1]"),
            format!("k: {written}"),
        ] {
            let root = one(&text);
            let node = match &root.content {
                Content::List(items) => &items[0],
                _ => root.get("k").unwrap(),
            };
            assert_eq!(&text[node.span.clone()], written, "{text}");
        }
    }
}

#[test]
fn json_is_yaml() {
    let root = one("{\n\t\"a\": [1, 2.50, \"x\\ny\"],\n\t\"b\": {\"c\": null, \"d\": true}\n}\n");
    let Content::List(items) = &root.get("a").unwrap().content else { panic!() };
    assert_eq!(items[1].text(), Some("2.50"));
    assert_eq!(items[2].text(), Some("x\ny"));
    assert_eq!(items[1].spot, at(2, 11));
    assert!(root.get("b").unwrap().get("c").unwrap().is_null());
    assert_eq!(root.get("b").unwrap().get("c").unwrap().spot, at(3, 8));
}

#[test]
fn a_broken_document_costs_no_other() {
    let text = "a: 1\n---\nb: [1, 2\n---\nc: 3\n--- # nothing\n---\nd: 4\n";
    let (documents, faults) = read(text);
    let roots: Vec<String> = documents.iter().map(|d| bare(&d.root)).collect();
    assert_eq!(
        roots,
        [
            "[(\"a\", \"a number:\\\"1\\\"\")]",
            "[(\"c\", \"a number:\\\"3\\\"\")]",
            "[(\"d\", \"a number:\\\"4\\\"\")]"
        ]
    );
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].code, faults[0].spot.line), ("yaml-syntax", 3));
    assert_eq!(documents[1].root.get("c").unwrap().spot, at(5, 4));
    assert_eq!(&text[documents[1].span.clone()], "---\nc: 3\n");
}

#[test]
fn directives_and_a_byte_order_mark_are_no_documents() {
    let (documents, faults) = read("\u{feff}%YAML 1.2\n---\na: 1\n...\n");
    assert_eq!((documents.len(), faults.len()), (1, 0));
    assert_eq!(documents[0].root.get("a").unwrap().spot, at(3, 4));
    assert_eq!(one("\u{feff}a: 1\n").get("a").unwrap().spot, at(1, 4));
    assert_eq!(read("").0, []);
    assert_eq!(read("# only\n\n").0, []);
}

#[test]
fn the_second_value_of_a_key_is_told() {
    assert_eq!(
        faults("a: 1\nb: 2\na: 3\n"),
        [(3, 1, "duplicate-key", "the key \"a\" is there already, in line 1".to_owned())]
    );
    let (documents, _) = read("a: 1\na: 3\n");
    assert_eq!(documents[0].root.get("a").unwrap().text(), Some("1"));
}

#[test]
fn aliases_repeat_and_merge_within_bounds() {
    let root = one("base: &b {x: 1, y: 2}\nuse: *b\nmore:\n  <<: *b\n  y: 3\n");
    assert_eq!(root.get("use").unwrap().get("y").unwrap().text(), Some("2"));
    assert_eq!(root.get("more").unwrap().get("x").unwrap().text(), Some("1"));
    assert_eq!(root.get("more").unwrap().get("y").unwrap().text(), Some("3"));

    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..30 {
        let repeated = vec![format!("*a{}", i - 1); 9].join(", ");
        laughs.push_str(&format!("a{i}: &a{i} [{repeated}]\n"));
    }
    let told = faults(&laughs);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].2, "too-large");
    assert_eq!(told[0].3, "there are more than 500000 values");

    let many = format!("a: &a 1\nb: [{}]\n", vec!["*a"; ALIASES_MAX + 1].join(","));
    assert_eq!(faults(&many)[0].3, "there are more than 1000 aliases");
    assert_eq!(faults("a: *nothing\n")[0].2, "yaml-syntax");
    // An anchor ends with its document.
    assert_eq!(faults("a: &a 1\n---\nb: *a\n")[0].2, "yaml-syntax");
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    assert_eq!(
        faults(&deep),
        [(1, 65, "too-large", "values are nested deeper than 64".to_owned())]
    );
    assert!(faults(&format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))).is_empty());
    let long = format!("a: {}", "x".repeat(TEXT_BYTES_MAX));
    assert_eq!(faults(&long)[0].3, "the text is longer than 4194304 bytes");
    assert!(read(&"- - - - - - - - - -\n".repeat(10_000)).0.len() < 2);
}

#[test]
fn tags_and_keys_that_are_no_texts_are_refused() {
    assert_eq!(faults("a: !include x\n")[0].2, "yaml-tag");
    assert_eq!(one("a: !!str 5\n").get("a").unwrap().kind(), "a text");
    assert_eq!(faults("? [a]\n: 1\n"), [(1, 3, "yaml-syntax", "a key must be a text".to_owned())]);
}

#[test]
fn kinds_are_those_of_yaml() {
    for (text, kind) in [
        ("1", "a number"),
        ("-0.5e3", "a number"),
        (".5", "a number"),
        ("0x1f", "a number"),
        ("1.2.3", "a text"),
        ("2026-01-01", "a text"),
        ("true", "a truth value"),
        ("'1'", "a text"),
        ("~", "nothing"),
        ("'~'", "a text"),
        ("[]", "a list"),
        ("{}", "a mapping"),
        ("1m", "a text"),
        ("-", "a list"),
    ] {
        assert_eq!(
            one(&format!("a: {text}\n").replace("a: -\n", "a:\n  -\n")).get("a").unwrap().kind(),
            kind,
            "{text}"
        );
    }
}

#[test]
fn places_inside_of_scalars() {
    for (text, offset, place) in [
        ("a: sum(x\n", 4, at(1, 8)),
        ("a: 'it''s b'\n", 5, at(1, 11)),
        ("a: \"x\\ny \\\"z\\\" !\"\n", 8, at(1, 16)),
        ("a: \"\\u00e4b\"\n", 2, at(1, 11)),
        ("a: |\n    one\n    two x\n", 8, at(3, 9)),
        ("a: |-\n    one\n      two x\n", 6, at(3, 7)),
        ("a: >\n  one\n  two\n", 4, at(3, 3)),
        ("a: one\n  two\n", 4, at(2, 3)),
        ("a: 'one\n  two'\n", 4, at(2, 3)),
        ("a: sum(\n", 4, at(1, 8)),
    ] {
        let root = one(text);
        assert_eq!(inner_place(text, root.get("a").unwrap(), offset), place, "{text}");
    }
}

#[test]
fn what_is_printed_is_read_again() {
    let text = "a: 1.50\nb: ['x: y', \"it's\", 'true', '5', '', ' x', true]\nc:\n  - d: {e: [], f: {}}\n    g: |\n      one\n      two # 2\n  - [1, [2]]\nh: 'rate(x{a=~\"b\"}[5m])'\n'#i': \"a\\nb\"\n";
    let printed = print(&[one(text), one("x: 1\n")]);
    let (documents, faults) = read(&printed);
    assert_eq!(faults, [], "{printed}");
    assert_eq!(documents.len(), 2);
    assert_eq!(bare(&documents[0].root), bare(&one(text)), "{printed}");
    assert_eq!(print(&[documents[0].root.clone(), documents[1].root.clone()]), printed);
}

/// A tree without places and styles, but with the kinds of its scalars.
fn bare(node: &Node) -> String {
    match &node.content {
        Content::Scalar { text, .. } => format!("{}:{text:?}", node.kind()),
        Content::List(items) => format!("{:?}", items.iter().map(bare).collect::<Vec<_>>()),
        Content::Map(entries) => {
            format!("{:?}", entries.iter().map(|e| (&e.key, bare(&e.value))).collect::<Vec<_>>())
        }
    }
}
