//! Rules that a machine can hold: who may import whom, how long a file may be, where `unsafe` may stand,
//! that documents tell the numbers of the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 600;
/// Lines of a file of tests.
const TEST_LINES_MAX: usize = 900;

/// Floors of the storage crate, as in ARCHITECTURE.md: a module imports from lower floors only.
const STORAGE_FLOORS: &[(&str, u32)] = &[
    ("store", 7),
    ("db", 6),
    ("compact", 5),
    ("rollup", 5),
    ("query", 4),
    ("head", 3),
    ("block", 3),
    ("history", 3),
    ("imports", 3),
    ("wal", 2),
    ("chunk", 2),
    ("index", 2),
    ("stats", 3),
    ("options", 3),
    ("disk", 1),
    ("append", 1),
    ("flat", 1),
    ("codec", 0),
    ("model", 0),
    ("error", 0),
    ("heap", 0),
];
/// Modules of one floor that may know each other, and why.
const STORAGE_NEIGHBOURS: &[(&str, &str)] = &[
    // Labels are a run of bytes in the crate's one integer coding.
    ("model", "codec"),
    ("model", "error"),
    ("error", "codec"),
    // Settings name tables and the object store.
    ("options", "history"),
    // Numbers of its tables.
    ("stats", "history"),
];

/// Floors of the root crate.
const ROOT_FLOORS: &[(&str, u32)] = &[
    ("main", 7),
    ("cli", 6),
    ("http", 5),
    ("scheduler", 5),
    ("ui", 4),
    ("slo", 3),
    ("import", 2),
    ("objects", 2),
    ("promql", 1),
    ("ingest", 1),
    ("clock", 0),
    ("config", 0),
    ("queries", 0),
    ("senders", 0),
    ("telemetry", 0),
];
const ROOT_NEIGHBOURS: &[(&str, &str)] = &[
    ("telemetry", "config"),
    // Maintenance counts its failures in the state that the server shows.
    ("scheduler", "http"),
];

/// The floors that ARCHITECTURE.md tells: storage in the first two columns, root in the last two.
fn floors_told(document: &str, columns: [usize; 2]) -> BTreeMap<String, u32> {
    let table = document.split("\n## Floors").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let mut told = BTreeMap::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [floor, modules] = columns.map(|column| cells[column]);
        let Some(floor) = floor.split(' ').next().and_then(|n| n.parse().ok()) else { continue };
        for module in modules.split(", ") {
            told.insert(module.trim_matches('`').to_owned(), floor);
        }
    }
    told
}

#[test]
fn the_architecture_tells_the_floors_of_the_code() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (columns, floors) in [([1, 2], STORAGE_FLOORS), ([4, 5], ROOT_FLOORS)] {
        let held = floors.iter().map(|(module, floor)| ((*module).to_owned(), *floor)).collect();
        assert_eq!(floors_told(&document, columns), held);
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let dirs = [
        "src",
        "storage/src",
        "proto/src",
        "tests",
        "storage/tests",
        "benches",
        "storage/benches",
        "proto/benches",
        "fuzz/targets",
    ];
    for dir in dirs {
        if root().join(dir).is_dir() {
            sources(&root().join(dir), &mut files);
        }
    }
    files
}

/// The text before the file's test module.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// Whether the file holds nothing but tests.
fn is_tests(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
}

/// First path segment below `src`: the module a file belongs to.
fn module_of(file: &Path, src: &Path) -> String {
    let inside = file.strip_prefix(src).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn check_floors(src: &Path, floors: &[(&str, u32)], neighbours: &[(&str, &str)]) -> Vec<String> {
    let floors: BTreeMap<&str, u32> = floors.iter().copied().collect();
    let mut files = Vec::new();
    sources(src, &mut files);
    let mut breaches = Vec::new();
    for file in files {
        let from = module_of(&file, src);
        if from == "lib" {
            continue;
        }
        let Some(own) = floors.get(from.as_str()) else {
            breaches.push(format!("{}: module {from} has no floor", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in without_tests(&text).match_indices("crate::") {
            let name: String = text[at + 7..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let Some(other) = floors.get(name.as_str()) else { continue };
            let allowed =
                name == from || other < own || neighbours.contains(&(from.as_str(), &name));
            if !allowed {
                breaches.push(format!("{}: {from} imports {name}", file.display()));
            }
        }
    }
    breaches
}

#[test]
fn modules_import_from_lower_floors_only() {
    let mut breaches =
        check_floors(&root().join("storage/src"), STORAGE_FLOORS, STORAGE_NEIGHBOURS);
    breaches.extend(check_floors(&root().join("src"), ROOT_FLOORS, ROOT_NEIGHBOURS));
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn crates_do_not_know_what_they_must_not() {
    let forbidden = [
        ("storage/src", &["tokio", "axum", "nines_proto", "serde_saphyr"][..]),
        ("storage/src/db", &["parquet"]),
        ("storage/src/rollup", &["parquet"]),
        ("proto/src", &["nines_storage", "tokio", "axum"][..]),
        ("src/promql", &["axum", "tokio", "nines_proto"][..]),
        ("src/slo", &["axum", "tokio", "nines_proto"][..]),
        ("src/ui", &["axum", "tokio"][..]),
    ];
    for (dir, names) in forbidden {
        let mut files = Vec::new();
        sources(&root().join(dir), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for name in names {
                assert!(!text.contains(&format!("{name}::")), "{} uses {name}", file.display());
            }
        }
    }
}

#[test]
fn files_hold_one_subject() {
    let long: Vec<String> = all_sources()
        .into_iter()
        .filter_map(|file| {
            let lines = without_tests(&fs::read_to_string(&file).unwrap()).lines().count();
            let max = if is_tests(&file) { TEST_LINES_MAX } else { FILE_LINES_MAX };
            (lines > max).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "split what has two subjects:\n{}", long.join("\n"));
}

#[test]
fn unsafe_stands_in_two_files() {
    for file in all_sources() {
        let text = fs::read_to_string(&file).unwrap();
        let allowed = ["storage/src/disk/mmap.rs", "storage/src/heap.rs", "tests/it/tidy.rs"];
        let allowed = allowed.iter().any(|name| file.ends_with(name));
        let uses = text.contains("unsafe {") || text.contains("unsafe fn");
        assert!(allowed || !uses, "{} has an unsafe block", file.display());
    }
}

#[test]
fn modules_say_what_they_are() {
    for file in all_sources() {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().find(|line| !line.starts_with("#![")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{} begins without a header", file.display());
    }
}

#[test]
fn versions_stand_in_the_workspace_only() {
    for manifest in ["storage/Cargo.toml", "proto/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap();
        for line in dependencies.lines().filter(|l| l.contains('=') && !l.starts_with('[')) {
            let shared = line.contains(".workspace = true") || line.contains("workspace = true");
            let own = ["name =", "path =", "harness =", "bench ="]
                .iter()
                .any(|key| line.starts_with(key));
            assert!(shared || own, "{manifest}: {line}");
        }
    }
}

/// Every `NAME = value` line of the format document is a constant of the code with that value.
#[test]
fn the_format_document_tells_the_numbers_of_the_code() {
    let document = fs::read_to_string(root().join("storage/FORMAT.md")).unwrap();
    let mut files = Vec::new();
    sources(&root().join("storage/src"), &mut files);
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut checked = 0;
    for line in document.lines() {
        let Some((name, value)) = line.trim().split_once(" = ") else { continue };
        if name.is_empty()
            || !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        {
            continue;
        }
        let value = value.split_whitespace().next().unwrap_or_default();
        let Some(said) = written(&code, name) else {
            panic!("FORMAT.md names {name}, which the code does not have")
        };
        assert_eq!(
            number(&code, said),
            number("", value),
            "{name}: code {said}, FORMAT.md {value}"
        );
        checked += 1;
    }
    assert!(checked >= 20, "only {checked} constants are told by FORMAT.md");
}

/// What the code says a constant is.
fn written<'a>(code: &'a str, name: &str) -> Option<&'a str> {
    let (_, declaration) = code.split_once(&format!("const {name}: "))?;
    let (_, value) = declaration.split_once(" = ")?;
    Some(value.split(';').next()?.trim())
}

/// Integers, their sums, products and shifts, constants by name; the bytes of a magic as they stand.
fn number(code: &str, text: &str) -> String {
    if let Some((_, magic)) = text.split_once('"') {
        return magic.trim_end_matches('"').to_owned();
    }
    let text = text.trim_start_matches("Self(").trim_end_matches(')');
    value(code, text).map_or(text.to_owned(), |n| n.to_string())
}

fn value(code: &str, text: &str) -> Option<u128> {
    let text = text.trim();
    if let Some((a, b)) = text.split_once(" + ") {
        return Some(value(code, a)? + value(code, b)?);
    }
    if let Some((a, b)) = text.split_once(" << ") {
        return Some(value(code, a)? << value(code, b)?);
    }
    if let Some((a, b)) = text.split_once(" * ") {
        return Some(value(code, a)? * value(code, b)?);
    }
    let plain = text.replace('_', "");
    match plain.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None => plain.parse().ok().or_else(|| value(code, written(code, text)?)),
    }
}
