//! Packages whose bytes are computed, so that a gigabyte file costs no memory and both sides know its SHA-256.
//!
//! One random block is made once per process. Every 64 KiB piece of a file is a window into that block, at a place that
//! depends on the content id, the file's name, its size and the piece's number. Handing out a piece therefore copies
//! nothing, and a piece that arrives in the wrong place is seen in the hash.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use bytes::Bytes;
use bytesize::ByteSize;
use sha2::{Digest, Sha256};

use crate::mix::{mix, mix_text};
use crate::spread::Sizes;

const PIECE: u64 = 64 * 1024;
const WINDOWS: u64 = 1024 * 1024;
const MAX_FILES: u32 = 10_000;
const MAX_DIGITS: usize = 1024 * 1024;
/// A family has no more packages: a distribution point is made for as many.
const MAX_PACKAGES: u32 = 10_000;
/// A package of a family is no larger, in bytes.
const MAX_PACKAGE: u64 = 1 << 40;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// Lower-case hexadecimal form of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The random block that every piece is a window of.
pub(crate) fn block() -> &'static Bytes {
    static BLOCK: OnceLock<Bytes> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let words = (WINDOWS + PIECE) / 8;
        (0..words).flat_map(|word| mix(word ^ 0x726f_6c65_6761_7465).to_le_bytes()).collect::<Vec<u8>>().into()
    })
}

/// Random digits in hexadecimal, which are the same for the same seed, at most a million: a piece of text that is made once.
pub(crate) fn digits(seed: u64, number: usize) -> &'static str {
    static DIGITS: OnceLock<String> = OnceLock::new();
    let all = DIGITS.get_or_init(|| hex(block()));
    let number = number.min(MAX_DIGITS);
    let start = usize::try_from(mix(seed) % (all.len() - number) as u64).unwrap_or_default();
    &all[start..start + number]
}

/// One file of a package.
#[derive(Debug)]
pub struct ContentFile {
    name: String,
    size: u64,
    seed: u64,
    hash: OnceLock<Hash>,
}

impl ContentFile {
    /// A file whose bytes follow from the content id, its name and its size.
    #[must_use]
    pub fn new(content_id: &str, name: &str, size: u64) -> Self {
        let seed = mix_text(mix_text(size, content_id), name);
        Self { name: name.to_owned(), size, seed, hash: OnceLock::new() }
    }

    /// The name as the administrator sees it, with blanks and all.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The SHA-256 of the whole file, computed when first asked for.
    #[must_use]
    pub fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| {
            let mut hasher = Sha256::new();
            for piece in self.pieces(0, self.size) {
                hasher.update(&piece);
            }
            hasher.finalize().into()
        })
    }

    /// The bytes from `offset`, at most `len` of them and never past the end, in pieces that share one block of memory.
    #[must_use]
    pub fn pieces(&self, offset: u64, len: u64) -> Pieces {
        let offset = offset.min(self.size);
        Pieces { seed: self.seed, offset, end: offset + len.min(self.size - offset) }
    }
}

/// The bytes of a part of a file, piece by piece.
#[derive(Debug, Clone)]
pub struct Pieces {
    seed: u64,
    offset: u64,
    end: u64,
}

impl Pieces {
    /// How many bytes are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.end - self.offset
    }

    /// Whether `data` is what these begin with, so many bytes further on.
    #[must_use]
    pub fn is_at(&self, further: u64, data: &[u8]) -> bool {
        let mut rest = data;
        let offset = self.offset.saturating_add(further).min(self.end);
        let mut own = Self { offset, ..self.clone() };
        while let Some(piece) = own.next_up_to(rest.len() as u64) {
            let (now, later) = rest.split_at(piece.len());
            if now != piece {
                return false;
            }
            rest = later;
        }
        rest.is_empty()
    }

    /// The next piece, cut to `most` bytes.
    pub fn next_up_to(&mut self, most: u64) -> Option<Bytes> {
        let within = self.offset % PIECE;
        let len = (PIECE - within).min(self.remaining()).min(most);
        if len == 0 {
            return None;
        }
        let window = mix(self.seed ^ (self.offset / PIECE)) % WINDOWS;
        self.offset += len;
        let start = usize::try_from(window + within).expect("the block is little more than a megabyte");
        let len = usize::try_from(len).expect("a piece is at most 64 KiB");
        Some(block().slice(start..start + len))
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.next_up_to(u64::MAX)
    }
}

fn check_id(id: &str, form: &str) -> Result<(), String> {
    let cannot = id.is_empty() || id.contains(['/', '?', '%', ' ', '*']);
    if cannot { Err(format!("'{id}' cannot be a content id; {form}")) } else { Ok(()) }
}

/// A package: a content id and its files.
#[derive(Debug)]
pub struct Package {
    id: String,
    version: u32,
    files: Vec<ContentFile>,
    // Names in lower case: a package has thousands of files, and every request looks for one.
    places: HashMap<String, usize>,
}

impl Package {
    /// A package from names and sizes.
    #[must_use]
    pub fn new<'a>(id: &str, files: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        Self::of(id, files.into_iter().map(|(name, size)| ContentFile::new(id, name, size)).collect())
    }

    fn of(id: &str, files: Vec<ContentFile>) -> Self {
        let mut places = HashMap::with_capacity(files.len());
        for (place, file) in files.iter().enumerate() {
            places.entry(file.name.to_ascii_lowercase()).or_insert(place);
        }
        Self { id: id.to_owned(), version: 1, files, places }
    }

    /// Parses `PKG00001:5x10MiB`: five files of ten mebibytes, called `file 1.bin` to `file 5.bin`.
    ///
    /// # Errors
    /// Says what is wrong with the text, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "expected ID:COUNTxSIZE, for example PKG00001:5x10MiB";
        let (id, files) = text.split_once(':').ok_or_else(|| format!("'{text}' has no ':'; {form}"))?;
        check_id(id, form)?;
        let (count, size) = files.split_once(['x', 'X']).ok_or_else(|| format!("'{files}' has no 'x'; {form}"))?;
        let count = count.parse::<u32>().map_err(|_| format!("'{count}' is not a number of files; {form}"))?;
        if count == 0 || count > MAX_FILES {
            return Err(format!("{count} files is outside 1 to {MAX_FILES}"));
        }
        let size = size.parse::<ByteSize>().map_err(|_| format!("'{size}' is not a size such as 10MiB"))?.as_u64();
        let files = (1..=count).map(|number| ContentFile::new(id, &format!("file {number}.bin"), size)).collect();
        Ok(Self::of(id, files))
    }

    /// Parses what [`Package::parse`] does, or a family, `APP*20:1MiB..64MiB`: twenty packages `APP00001` to `APP00020` of a
    /// file each, from the smallest to the largest, of which each doubling of the size has as many.
    ///
    /// # Errors
    /// Says what is wrong with the text, in one sentence.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let family = text.split_once(':').and_then(|(name, sizes)| Some((name.split_once('*')?, sizes)));
        let Some(((name, count), sizes)) = family else { return Self::parse(text).map(|package| vec![package]) };
        let form = "expected NAME*COUNT:SIZE..SIZE, for example APP*20:1MiB..64MiB";
        check_id(name, form)?;
        let number = count.parse::<u32>().map_err(|_| format!("'{count}' is not a number of packages; {form}"))?;
        if number == 0 || number > MAX_PACKAGES {
            return Err(format!("{number} packages is outside 1 to {MAX_PACKAGES}"));
        }
        let sizes = Sizes::parse(sizes, &(1..=MAX_PACKAGE))?;
        let package = |place: u32| {
            let size = sizes.at((f64::from(place) - 0.5) / f64::from(number));
            Self::new(&format!("{name}{place:05}"), [("package.bin", size)])
        };
        Ok((1..=number).map(package).collect())
    }

    /// The content id: `PKG00001` or `Content_<GUID>.1`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The files in their order.
    #[must_use]
    pub fn files(&self) -> &[ContentFile] {
        &self.files
    }

    /// The file of that name, whatever its case.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&ContentFile> {
        self.places.get(&name.to_ascii_lowercase()).map(|place| &self.files[*place])
    }

    /// The name of the signature file: `<id>.<version>.tar`, or `<id>.tar` when the id ends with its version already.
    #[must_use]
    pub fn signature_name(&self) -> String {
        let versioned = self.id.rsplit_once('.').is_some_and(|(_, end)| end.parse::<u32>().is_ok());
        if versioned { format!("{}.tar", self.id) } else { format!("{}.{}.tar", self.id, self.version) }
    }
}

/// Everything that a site distributes.
#[derive(Debug, Default)]
pub struct Content {
    packages: BTreeMap<String, Package>,
}

impl Content {
    /// Content of these packages.
    #[must_use]
    pub fn new(packages: impl IntoIterator<Item = Package>) -> Self {
        Self { packages: packages.into_iter().map(|package| (package.id.to_ascii_lowercase(), package)).collect() }
    }

    /// The package of that id, whatever its case.
    #[must_use]
    pub fn package(&self, id: &str) -> Option<&Package> {
        // Looking up as written first keeps the common case free of a copy.
        self.packages.get(id).or_else(|| self.packages.get(&id.to_ascii_lowercase()))
    }

    /// All packages, by id.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// The package that a signature file `<id>.<version>.tar` belongs to.
    #[must_use]
    pub fn by_signature(&self, name: &str) -> Option<&Package> {
        self.packages.values().find(|package| package.signature_name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bytes(pieces: Pieces) -> Vec<u8> {
        pieces.flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn a_range_has_the_bytes_of_the_whole() {
        let file = ContentFile::new("PKG00001", "setup.msi", 300_001);
        let whole = bytes(file.pieces(0, u64::MAX));
        assert_eq!(whole.len(), 300_001);
        for (offset, len) in [(0, 1), (65_535, 2), (65_536, 70_000), (300_000, 10), (300_001, 5), (999_999, 1)] {
            let from = usize::try_from(offset).unwrap().min(whole.len());
            let to = usize::try_from(offset + len).unwrap().min(whole.len());
            assert_eq!(bytes(file.pieces(offset, len)), whole[from..to], "{offset}+{len}");
        }
        assert_eq!(file.hash(), <[u8; 32]>::from(Sha256::digest(&whole)));
    }

    #[test]
    fn contents_differ_by_id_name_and_size() {
        let files = [("A", "x", 100_000), ("B", "x", 100_000), ("A", "y", 100_000), ("A", "x", 100_001)];
        let hashes: std::collections::HashSet<_> =
            files.iter().map(|(id, name, size)| ContentFile::new(id, name, *size).hash()).collect();
        assert_eq!(hashes.len(), 4);
    }

    #[test]
    fn a_large_file_costs_nothing_to_start_in_the_middle() {
        let file = ContentFile::new("PKG00001", "big.wim", 1 << 40);
        assert_eq!(bytes(file.pieces((1 << 40) - 10, 100)).len(), 10);
    }

    #[test]
    fn each_of_very_many_files_is_found_at_once() {
        let package = Package::parse("PKG00001:10000x1KiB").unwrap();
        for (place, file) in package.files().iter().enumerate() {
            let found = package.file(&file.name().to_ascii_uppercase()).unwrap();
            assert!(std::ptr::eq(found, file), "{place}");
        }
        let twice = Package::new("PKG00002", [("a", 1), ("A", 2)]);
        assert_eq!(twice.file("A").unwrap().size(), 1, "the first of two names that are the same");
    }

    #[test]
    fn a_family_has_as_many_packages_in_each_doubling() {
        let family = Package::parse_all("APP*20:1MiB..1GiB").unwrap();
        let sizes: Vec<_> = family.iter().map(|package| package.files()[0].size()).collect();
        assert_eq!((family[0].id(), family[19].id(), sizes.len()), ("APP00001", "APP00020", 20));
        assert!(sizes.is_sorted() && sizes[0] >= 1 << 20 && sizes[19] <= 1 << 30, "{sizes:?}");
        assert_eq!(sizes.iter().filter(|size| **size < 32 << 20).count(), 10, "half of all are below the middle");
        assert_eq!(Package::parse_all("PKG00001:2x1KiB").unwrap().len(), 1);
        for wrong in ["APP*0:1MiB..2MiB", "APP*x:1MiB", "*3:1MiB", "APP*3:2MiB..1MiB", "A B*3:1MiB", "APP*99999:1MiB"] {
            assert!(Package::parse_all(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn packages_are_parsed_and_found_in_any_case() {
        let content = Content::new([Package::parse("PKG00001:5x10KiB").unwrap(), Package::new("Content_a.1", [])]);
        let package = content.package("pkg00001").unwrap();
        assert_eq!((package.files().len(), package.files()[0].size()), (5, 10 * 1024));
        assert!(package.file("FILE 5.bin").is_some());
        assert_eq!(content.by_signature("pkg00001.1.TAR").unwrap().id(), "PKG00001");
        assert_eq!(content.by_signature("Content_a.1.tar").unwrap().id(), "Content_a.1");
        for wrong in ["PKG", "PKG:5", "PKG:0x1", "PKG:axb", "a/b:1x1", "PKG:1xlots", ":1x1"] {
            assert!(Package::parse(wrong).is_err(), "{wrong}");
        }
    }
}
