//! The rows of a block's index while the block is written: each as what it changes of the row before, since
//! series that follow each other share labels. What fills a page goes to a file beside the block and is read back
//! when the index is written: in memory ten bytes of each series would be most of what a merge takes.

use std::path::PathBuf;
use std::sync::Arc;

use super::builder::too_large;
use crate::codec::{Malformed, Reader, crc32, put_uvarint, unzigzag, zigzag};
use crate::disk::{Disk, DiskFile};
use crate::error::{Corruption, Error, Result};

/// Bytes from which on a page is full.
const PAGE_BYTES: usize = 64 << 10;
/// Room that a page has beyond, so that the last row does not let it grow.
const PAGE_MARGIN_BYTES: usize = 1 << 10;

/// Where full pages go.
pub(super) struct Spill {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    /// Length and checksum of each page, one behind the other.
    pages: Vec<(usize, u32)>,
    end: u64,
}

impl Spill {
    /// Into a file `path`, which is made when it is needed.
    pub(super) const fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path, file: None, pages: Vec::new(), end: 0 }
    }

    fn write(&mut self, page: &[u8]) -> Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.disk.create(&self.path)?),
        };
        file.write_at(self.end, page)?;
        self.pages.push((page.len(), crc32(page)));
        self.end += page.len() as u64;
        Ok(())
    }

    fn each(&self, show: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut offset = 0;
        for (len, sum) in &self.pages {
            let page = self.disk.read_range(&self.path, offset, *len)?;
            if page.len() != *len || crc32(&page) != *sum {
                let what = "rows of an index that were set aside";
                return Err(Corruption::new(&self.path, offset, what).into());
            }
            show(&page)?;
            offset += *len as u64;
        }
        Ok(())
    }
}

/// Rows in their order: of each the shape, then the values for the names of the shape.
#[derive(Default)]
pub(super) struct WrittenRows {
    /// Of each row how many numbers it shares with the one before, how many others it has, and these: the one
    /// in the same place of the row before plus a zigzag difference.
    page: Vec<u8>,
    last: Vec<u32>,
    spill: Option<Spill>,
}

impl WrittenRows {
    /// Keeps one page in memory and the others there.
    pub(super) fn spilling(spill: Spill) -> Self {
        Self { spill: Some(spill), ..Self::default() }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, shape: u32, values: &[u32]) -> Result<()> {
        let Self { page, last, spill } = self;
        if let Some(spill) = spill.as_mut().filter(|_| page.len() >= PAGE_BYTES) {
            spill.write(page)?;
            page.clear();
        }
        if spill.is_some() && page.capacity() == 0 {
            page.reserve_exact(PAGE_BYTES + PAGE_MARGIN_BYTES);
        }
        let row = || std::iter::once(&shape).chain(values);
        let same = row().zip(last.iter()).take_while(|(a, b)| a == b).count();
        put_uvarint(page, same as u64);
        put_uvarint(page, (1 + values.len() - same) as u64);
        for (i, number) in row().enumerate().skip(same) {
            let before = last.get(i).copied().unwrap_or(0);
            put_uvarint(page, zigzag(i64::from(*number) - i64::from(before)));
        }
        last.clear();
        last.extend(row());
        Ok(())
    }

    /// Shows every row.
    pub(super) fn each(&self, show: &mut dyn FnMut(u32, &[u32]) -> Result<()>) -> Result<()> {
        let mut row: Vec<u32> = Vec::new();
        let mut read = |page: &[u8]| {
            let mut reader = Reader::new(page);
            while !reader.is_empty() {
                next(&mut reader, &mut row)?;
                let (shape, values) = row.split_first().ok_or_else(too_large)?;
                show(*shape, values)?;
            }
            Ok(())
        };
        if let Some(spill) = &self.spill {
            spill.each(&mut read)?;
        }
        read(&self.page)
    }

    /// Removes the file with all rows that are in it.
    pub(super) fn remove_file(&mut self) -> Result<()> {
        match self.spill.take().filter(|spill| spill.file.is_some()) {
            Some(spill) => spill.disk.remove_file(&spill.path),
            None => Ok(()),
        }
    }
}

/// The row behind `row`, in its place.
fn next(reader: &mut Reader<'_>, row: &mut Vec<u32>) -> Result<()> {
    let same = own(reader.uvarint("same"))? as usize;
    let others = own(reader.uvarint("others"))? as usize;
    let before = row.len();
    row.resize(same + others, 0);
    for (i, place) in row.iter_mut().enumerate().skip(same) {
        let last = if i < before { i64::from(*place) } else { 0 };
        let difference = unzigzag(own(reader.uvarint("difference"))?);
        *place = u32::try_from(last + difference).map_err(|_| too_large())?;
    }
    Ok(())
}

/// A number that the builder wrote for itself.
pub(super) fn own(read: std::result::Result<u64, Malformed>) -> Result<u64> {
    debug_assert!(read.is_ok(), "the builder's own bytes");
    read.map_err(|cause| Error::Invalid { what: format!("the index of a block: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back(
            rows in prop::collection::vec(
                (any::<u32>(), prop::collection::vec(prop_oneof![0u32..4, any::<u32>()], 0..6)),
                0..100,
            ),
            times in 1usize..400,
        ) {
            let disk = Arc::new(SimDisk::new());
            let spill = Spill::new(disk.clone(), "/rows".into());
            let mut tables = [WrittenRows::default(), WrittenRows::spilling(spill)];
            let mut expected = Vec::new();
            for _ in 0..times {
                for (shape, values) in &rows {
                    tables.iter_mut().try_for_each(|table| table.push(*shape, values))?;
                    expected.push((*shape, values.clone()));
                }
            }
            for mut written in tables {
                let mut told = Vec::new();
                written.each(&mut |shape, values| {
                    told.push((shape, values.to_vec()));
                    Ok(())
                })?;
                prop_assert_eq!(&told, &expected);
                written.remove_file()?;
            }
            prop_assert_eq!(disk.list_dir("/".as_ref())?.len(), 0);
        }
    }
}
