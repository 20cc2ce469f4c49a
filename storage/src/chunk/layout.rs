//! Numbers of the page layout; `storage/FORMAT.md` explains them.

/// First byte of a page: `9` for a page, `1` for the version of its layout.
pub(super) const MAGIC_VERSION: u8 = 0x91;

/// Second byte: columns and payload as they are.
pub(super) const COMPRESSION_NONE: u8 = 0;
/// The whole page as one block of lz4.
pub(super) const COMPRESSION_LZ4: u8 = 1;
/// The whole page as one frame of zstd.
pub(super) const COMPRESSION_ZSTD: u8 = 2;
/// Longer pages are not compressed, and nothing is inflated to more.
pub(super) const INFLATED_PAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of the checksum at the end.
pub(super) const CHECKSUM_LEN: usize = 4;

/// Third byte, bits 0 and 1: the ordinals of the entries follow without a gap and are not written.
pub(super) const ORDS_DENSE: u8 = 0;
/// Ordinals as two bytes above the first.
pub(super) const ORDS_16: u8 = 1;
/// Ordinals as four bytes above the first.
pub(super) const ORDS_32: u8 = 2;
/// The bits of the ordinals' layout.
pub(super) const ORDS: u8 = 3;
/// Third byte, bit 2: offsets take four bytes instead of two.
pub(super) const OFFSETS_WIDE: u8 = 1 << 2;

/// First byte of an entry: a head; without this bit it is the tag of values at every slot of column 0.
pub(super) const ENTRY_HEAD: u8 = 1 << 7;
/// In a head: histograms instead of floats.
pub(super) const HISTOGRAMS: u8 = 1;
/// In a head, two bits: kind of presence.
pub(super) const PRESENCE_SHIFT: u32 = 1;
/// In a head: start timestamps come before the values.
pub(super) const START_TIMESTAMPS: u8 = 1 << 3;
/// In a head: column 0, no column number follows.
pub(super) const COLUMN_0: u8 = 1 << 4;
/// All bits of a head.
pub(super) const HEAD: u8 =
    ENTRY_HEAD | HISTOGRAMS | 3 << PRESENCE_SHIFT | START_TIMESTAMPS | COLUMN_0;

/// Bytes of an ordinal in the directory.
pub(super) const fn ord_width(ords: u8) -> usize {
    match ords & ORDS {
        ORDS_16 => 2,
        ORDS_32 => 4,
        _ => 0,
    }
}
