//! The index of a block with edits behind true checksums: each question is answered or refused with a typed
//! error.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use nines_fuzz::{Source, overwrite, put_crc};
use nines_storage::disk::sim::SimDisk;
use nines_storage::disk::{Bytes, Disk};
use nines_storage::index::{EntityId, INDEX_FOOTER_BYTES, INDEX_HEADER_BYTES, IndexFile};
use nines_storage::model::{Labels, MatchOp, Matcher, SeriesOrd};
use nines_storage::{ErrorKind, Result, Store, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;

fn find_index(disk: &SimDisk, dir: &Path) -> Option<PathBuf> {
    disk.list_dir(dir).expect("a folder").into_iter().find_map(|entry| {
        let path = dir.join(&entry.name);
        if entry.is_dir { find_index(disk, &path) } else { (entry.name == "index").then_some(path) }
    })
}

/// The index of a block with some forty series of three targets.
static INTACT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let disk = SimDisk::new();
    let options = StoreOptions { wal_segment_bytes: 64 << 10, ..StoreOptions::default() };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new("/data"), options, &|_| {})
        .expect("opens");
    let db = store.db("a").expect("a tenant");
    let mut appender = db.appender();
    for i in 0..40u32 {
        let (code, instance) = ((200 + i % 7).to_string(), format!("host{}:9100", i % 3));
        let labels = Labels::from_pairs([
            ("__name__", ["up", "http_requests_total", "go_threads"][i as usize % 3]),
            ("job", "api"),
            ("instance", &instance),
            ("code", if i % 5 == 0 { "" } else { &code }),
            ("id", &i.to_string()),
        ]);
        let series = appender.resolve(db.series_key(&i.to_le_bytes()), &labels).expect("taken");
        appender.sample(series, NOW_MS - 1000, 1.0, 0);
    }
    appender.commit(NOW_MS).expect("written");
    db.compact_all(NOW_MS).expect("flushed");
    let path = find_index(&disk, Path::new("/data/tenants/a/blocks")).expect("a block");
    disk.read(&path).expect("its index").to_vec()
});

/// Makes the checksums of all sections and of the footer true again.
fn mend(file: &mut [u8]) {
    const ENTRY_BYTES: usize = 20;
    let Some(footer) = file.len().checked_sub(INDEX_FOOTER_BYTES) else { return };
    for section in 0..8 {
        let entry = footer + section * ENTRY_BYTES;
        let number = |at: usize| {
            let bytes = file[at..at + 8].try_into().expect("eight bytes");
            usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let (begin, len) = (number(entry), number(entry + 8));
        if let Some(end) = begin.checked_add(len).filter(|end| *end <= file.len()) {
            put_crc(file, begin..end, entry + 16);
        }
    }
    let checked = [&file[..INDEX_HEADER_BYTES], &file[footer..file.len() - 12]].concat();
    let place = file.len() - 12;
    file[place..place + 4].copy_from_slice(&crc32fast::hash(&checked).to_le_bytes());
}

fn ask(index: &IndexFile) -> Result<()> {
    index.verify()?;
    let up = Matcher::equal("__name__", "up");
    let code = Matcher::new("code", MatchOp::Regex, "20[0-3]").expect("a matcher");
    let not = Matcher::new("instance", MatchOp::NotEqual, "host1:9100").expect("a matcher");
    for matchers in [&[up.clone()][..], &[code.clone()], &[up, code, not]] {
        let found = index.resolve(matchers)?;
        assert!(found.max().is_none_or(|ord| ord < index.n_series()));
        index.label_names(Some(&found))?;
        index.label_values("id", Some(&found))?;
    }
    index.label_values("instance", None)?;
    index.label_names(None)?;
    let cardinality = index.cardinality(10)?;
    assert!(cardinality.series_by_metric.len() <= 10);
    for ord in 0..index.n_series().min(100) {
        index.labels(SeriesOrd(ord))?;
        let entity = index.entity_of(SeriesOrd(ord))?;
        index.entity_labels(entity)?;
    }
    for entity in 0..index.n_entities().min(100) {
        index.series_of_entity(EntityId(entity))?;
        let _last = index.pages_of_entity(EntityId(entity))?.take(1000).last();
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut file = INTACT.clone();
    if data.is_empty() {
        let index = IndexFile::open(Bytes::from(file), Path::new("index")).expect("opens");
        return ask(&index).expect("an intact index answers");
    }
    overwrite(&mut file, &mut Source(data), 12);
    mend(&mut file);
    let asked =
        IndexFile::open(Bytes::from(file), Path::new("index")).and_then(|index| ask(&index));
    if let Err(refused) = asked {
        let kind = refused.kind();
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Invalid), "{refused}");
    }
});
