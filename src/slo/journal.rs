//! What was decided about SLOs, and when, and by whom: lines that are appended and never changed.
//!
//! A line is on disk before it is acknowledged. Who reads sees a [`Book`], which is what the lines say together.
//! `JOURNAL.md` tells the format.

mod book;
mod line;
mod record;
mod tenants;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nines_storage::disk::{Disk, DiskFile, create_dir_durable, parent_of};
use parking_lot::{Mutex, RwLock};

pub use book::{Book, Closed, Journaled, Known};
pub use line::{JOURNAL_VERSION, Kind, LINE_BYTES_MAX};
pub use record::{Changed, Changes, ExclusionRecord, Recorded, Revoked, StatementRecord};
pub use tenants::{Journals, SYSTEM, TENANTS_MAX};

use line::{Faulty, Line};

/// Entries of a journal at most.
pub const ENTRIES_MAX: usize = 1 << 20;
/// Bytes of an author's name at most.
pub const AUTHOR_BYTES_MAX: usize = 256;
/// Read at once.
const READ_BYTES: usize = 1 << 20;
/// Bytes that are read without an end of a line, at most.
const TORN_BYTES_MAX: usize = LINE_BYTES_MAX + READ_BYTES;
/// Torn ends that are kept of one journal at most.
const TORN_KEPT_MAX: usize = 100;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk.
    #[error(transparent)]
    Storage(#[from] nines_storage::Error),
    /// A line is not what was written.
    #[error("{path}: entry {entry}, which begins at byte {offset}, is damaged: {what}; restore the file from a copy, or take the line out if the copy lacks it as well", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which entry, from 1.
        entry: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A limit.
    #[error("{what} (limit {max})")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        max: usize,
    },
    /// An earlier line may not be on disk.
    #[error("{path}: an entry could not be brought to disk: nothing more is written before a restart", path = .0.display())]
    Broken(PathBuf),
    /// A journal that cannot be read, or could not when it was opened.
    #[error("{0}")]
    Unreadable(String),
    /// What is to be written makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// Result of reading or writing a journal.
pub type Result<T> = std::result::Result<T, JournalError>;

/// An entry without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1 on without gaps.
    pub seq: u64,
    /// When it was written.
    pub at_ms: i64,
    /// What happened.
    pub kind: Kind,
    /// Who did it.
    pub author: String,
    offset: u64,
    bytes: usize,
}

impl Entry {
    /// Bytes of its line.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The end of the file, for whoever appends.
struct Tail {
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
    broken: bool,
}

/// See the module.
pub struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    tail: Mutex<Tail>,
    now: RwLock<Arc<Book>>,
}

impl Journal {
    /// Reads the journal of the file `path`, which need not be there. A torn end, of a line that was never
    /// acknowledged, is put aside; a last line that lacks nothing but its end gets it.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self> {
        let mut book = Book::default();
        let mut tail = Tail { file: None, bytes: 0, broken: false };
        if disk.exists(path)? {
            let len = disk.file_len(path)?;
            tail.bytes = read(&*disk, path, len, &mut book)?;
            let file = disk.open_write(path)?;
            if tail.bytes > len {
                file.write_at(len, b"\n")?;
                file.sync_all()?;
            }
            if tail.bytes < len {
                put_aside(&*disk, path, tail.bytes, len)?;
                file.set_len(tail.bytes)?;
                file.sync_all()?;
            }
            // A crash may have come before the name was durable.
            disk.sync_dir(parent_of(path))?;
            tail.file = Some(file);
        }
        let now = RwLock::new(Arc::new(book));
        Ok(Self { disk, path: path.to_owned(), tail: Mutex::new(tail), now })
    }

    /// What the lines say together.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.now.read())
    }

    /// Appends what `decide` says, which sees the book as it is then. Answers when it is on disk.
    pub fn append<E: From<JournalError>>(
        &self,
        at_ms: i64,
        author: &str,
        decide: impl FnOnce(&Book) -> std::result::Result<Recorded, E>,
    ) -> std::result::Result<Entry, E> {
        let mut tail = self.tail.lock();
        let recorded = decide(&self.book())?;
        Ok(self.add(&mut tail, (at_ms, author), recorded)?)
    }

    /// The same, where there may be nothing to say.
    pub fn append_if<E: From<JournalError>>(
        &self,
        at_ms: i64,
        author: &str,
        decide: impl FnOnce(&Book) -> std::result::Result<Option<Recorded>, E>,
    ) -> std::result::Result<Option<Entry>, E> {
        let mut tail = self.tail.lock();
        let Some(recorded) = decide(&self.book())? else { return Ok(None) };
        Ok(Some(self.add(&mut tail, (at_ms, author), recorded)?))
    }

    fn add(
        &self,
        tail: &mut Tail,
        (at_ms, author): (i64, &str),
        recorded: Recorded,
    ) -> Result<Entry> {
        let before = self.book();
        if author.is_empty()
            || author.len() > AUTHOR_BYTES_MAX
            || author.contains(['\n', '\r', '\0'])
        {
            let why = format!("an author is a text of one line and 1 to {AUTHOR_BYTES_MAX} bytes");
            return Err(JournalError::Invalid(why));
        }
        if before.entries.len() >= ENTRIES_MAX {
            let what = "the journal of SLOs is full";
            return Err(JournalError::Limit { what, max: ENTRIES_MAX });
        }
        let seq = before.entries.len() as u64 + 1;
        let line = Line { seq, at_ms, kind: recorded.kind(), author: author.to_owned() };
        let text = line.write(&recorded)?;
        // What could not be read again would cost all that comes behind it.
        Line::read(text.trim_end().as_bytes()).map_err(|why| JournalError::Invalid(why.0))?;
        let entry = Entry {
            seq,
            at_ms: line.at_ms,
            kind: line.kind,
            author: line.author,
            offset: tail.bytes,
            bytes: text.len(),
        };
        let mut book = (*before).clone();
        drop(before);
        book.apply(entry.clone(), recorded).map_err(JournalError::Invalid)?;
        self.write(tail, text.as_bytes())?;
        *self.now.write() = Arc::new(book);
        Ok(entry)
    }

    fn write(&self, tail: &mut Tail, text: &[u8]) -> Result<()> {
        if tail.broken {
            return Err(JournalError::Broken(self.path.clone()));
        }
        if tail.file.is_none() {
            tail.file = Some(self.make(tail)?);
        }
        let Some(file) = &tail.file else { return Ok(()) };
        if let Err(error) = file.write_at(tail.bytes, text) {
            // A full disk may have room again; but nothing may stand behind half a line.
            tail.broken = file.set_len(tail.bytes).and_then(|()| file.sync_data()).is_err();
            return Err(error.into());
        }
        if let Err(error) = file.sync_data() {
            tail.broken = true;
            return Err(error.into());
        }
        tail.bytes += text.len() as u64;
        Ok(())
    }

    /// Makes the file, or opens the one that an append before has made. When a name may be there that is not on
    /// disk, the journal is broken: that a sync works the next time says nothing of what the first one lost.
    fn make(&self, tail: &mut Tail) -> Result<Box<dyn DiskFile>> {
        let (disk, dir) = (&*self.disk, parent_of(&self.path));
        let had_parent = disk.exists(parent_of(dir))?;
        if let Err(error) = create_dir_durable(disk, dir) {
            let is_there = |dir: &Path| disk.exists(dir).unwrap_or(true);
            tail.broken = is_there(dir) || (!had_parent && is_there(parent_of(dir)));
            return Err(error.into());
        }
        let file = if disk.exists(&self.path)? {
            let (found, read) = (disk.file_len(&self.path)?, tail.bytes);
            if found != read {
                return Err(JournalError::Unreadable(format!(
                    "{}: it has {found} bytes, and {read} are known: somebody else has written it; start nines anew, which reads it",
                    self.path.display()
                )));
            }
            disk.open_write(&self.path)?
        } else {
            disk.create(&self.path)?
        };
        if let Err(error) = disk.sync_dir(dir) {
            tail.broken = true;
            return Err(error.into());
        }
        Ok(file)
    }

    /// What an entry says.
    pub fn recorded(&self, entry: &Entry) -> Result<Recorded> {
        let bytes = self.disk.read_range(&self.path, entry.offset, entry.bytes)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let (_, recorded) =
            Line::read(text).map_err(|why| damaged(&self.path, entry.seq, entry.offset, why))?;
        Ok(recorded)
    }

    /// Entries behind number `seq` that were written after `since_ms`, in their order, `max` at most.
    #[must_use]
    pub fn behind(&self, seq: u64, since_ms: i64, max: usize) -> Vec<Entry> {
        let book = self.book();
        let from = usize::try_from(seq).unwrap_or(usize::MAX);
        let entries = book.entries.get(from..).unwrap_or_default().iter();
        entries.filter(|entry| entry.at_ms > since_ms).take(max).cloned().collect()
    }
}

fn damaged(path: &Path, entry: u64, offset: u64, why: Faulty) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), entry, offset, what: why.0 }
}

/// Reads all lines into `book`; answers where the last whole one ends, with the line feed that it may lack.
fn read(disk: &dyn Disk, path: &Path, len: u64, book: &mut Book) -> Result<u64> {
    let (mut offset, mut read_to) = (0u64, 0u64);
    let mut held: Vec<u8> = Vec::new();
    loop {
        let mut searched = 0;
        let end = loop {
            if let Some(at) =
                held.get(searched..).and_then(|rest| rest.iter().position(|b| *b == b'\n'))
            {
                break Some(searched + at);
            }
            searched = held.len();
            if read_to >= len {
                break None;
            }
            let piece = disk.read_range(path, read_to, READ_BYTES)?;
            if piece.is_empty() {
                break None;
            }
            read_to += piece.len() as u64;
            held.extend_from_slice(&piece);
            if held.len() > TORN_BYTES_MAX {
                let what = Faulty(format!("it has more than {LINE_BYTES_MAX} bytes"));
                return Err(damaged(path, book.entries.len() as u64 + 1, offset, what));
            }
        };
        let seq = book.entries.len() as u64 + 1;
        let Some(end) = end else {
            let place = (offset, held.len() + 1);
            return Ok(match Line::read(&held).and_then(|found| take(found, seq, place, book)) {
                Ok(()) => len + 1,
                Err(_) => offset,
            });
        };
        let (text, bytes) = (held.get(..end).unwrap_or_default(), end + 1);
        let is_last = offset + bytes as u64 == len;
        match Line::read(text).and_then(|found| take(found, seq, (offset, bytes), book)) {
            Ok(()) => {}
            // Of the last line some sectors may never have arrived; they read as zeros.
            Err(_) if is_last && text.contains(&0) => return Ok(offset),
            Err(why) => return Err(damaged(path, seq, offset, why)),
        }
        offset += bytes as u64;
        held.drain(..bytes);
    }
}

fn take(
    (line, recorded): (Line, Recorded),
    seq: u64,
    (offset, bytes): (u64, usize),
    book: &mut Book,
) -> std::result::Result<(), Faulty> {
    if line.seq != seq {
        return Err(Faulty(format!("its number is {}, and {seq} is due", line.seq)));
    }
    if book.entries.len() >= ENTRIES_MAX {
        return Err(Faulty(format!("there are more than {ENTRIES_MAX} entries")));
    }
    let Line { at_ms, kind, author, .. } = line;
    let entry = Entry { seq, at_ms, kind, author, offset, bytes };
    book.apply(entry, recorded).map_err(Faulty)
}

/// Copies the bytes of a torn end to a file of their own.
fn put_aside(disk: &dyn Disk, path: &Path, from: u64, len: u64) -> Result<()> {
    let name = |n: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".torn-{from}-{n}"));
        PathBuf::from(name)
    };
    for aside in (1..=TORN_KEPT_MAX).map(name) {
        if disk.exists(&aside)? {
            continue;
        }
        let bytes = usize::try_from(len - from).unwrap_or(usize::MAX).min(TORN_BYTES_MAX);
        let torn = disk.read_range(path, from, bytes)?;
        let file = disk.create(&aside)?;
        file.write_at(0, &torn)?;
        file.sync_all()?;
        disk.sync_dir(parent_of(path))?;
        tracing::warn!(file = %aside.display(), bytes = torn.len(), "the journal of SLOs ended in a torn line, which was never acknowledged: it is kept aside");
        return Ok(());
    }
    Err(JournalError::Unreadable(format!(
        "{}: it ends at byte {from} in a torn line, and {TORN_KEPT_MAX} of those are kept beside it: move the files *.torn-{from}-* elsewhere",
        path.display()
    )))
}
