//! The write-ahead log as it is found. SQLite takes the first frame with a wrong checksum for the log's end, and
//! writes over what is behind it: right for a transaction that its process did not live to finish, and a silent loss of
//! committed ones where the log is damaged in the middle.
//!
//! Invariant: a log in which whole transactions stand behind a broken frame is never opened, and never written to. A
//! frame's checksum goes on from the one before it, as that is written there, so that what is behind a broken frame can
//! still be told from what is left of an older log. Reading the log beside SQLite is harmless: its locks lie on other files.

use super::LedgerError;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Followed by 0 where words are little-endian and by 1 where they are big-endian.
const MAGIC: u32 = 0x377f_0682;
/// Scans before a log that changes each time is left to those who are writing it.
const SCANS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);

/// An error where the log of the database at `path` is damaged.
pub(super) fn check(path: &Path) -> Result<(), LedgerError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let scanned = || match File::open(&log).and_then(|file| scan(BufReader::new(file))) {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let what = "cannot read its -wal; make it readable for this user";
            Err(LedgerError::Io { path: path.to_owned(), what, error: Box::new(error) })
        }
    };
    let mut before = None;
    for _ in 0..SCANS {
        let Some(found) = scanned()? else { return Ok(()) };
        // Who writes it at this moment is seen half-way, and not like that again.
        if before.as_ref() == Some(&found) {
            return Err(LedgerError::Damaged { path: path.to_owned(), why: found.words(&log) });
        }
        before = Some(found);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// What is wrong with a log.
#[derive(Debug, Eq, PartialEq)]
enum Damage {
    Header,
    /// At this frame, with so many transactions from there on.
    Frame {
        salt: u64,
        frame: u64,
        lost: u64,
    },
}

impl Damage {
    fn words(&self, log: &Path) -> String {
        match self {
            Self::Header => format!("its log {} has a broken header", log.display()),
            Self::Frame { frame, lost, .. } => format!(
                "its log {} is broken at frame {frame}, and at least {lost} transactions from there on would be lost",
                log.display()
            ),
        }
    }
}

/// Reads the whole log; `None` where SQLite will take all that was committed.
fn scan(mut log: impl Read) -> io::Result<Option<Damage>> {
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let [magic, _, page, _, salt_1, salt_2, one, two] = words(&header);
    let sum = Sum { big_endian: magic & 1 == 1, at: (0, 0) };
    let sum = sum.over(header.get(..24).unwrap_or_default());
    if magic & !1 != MAGIC || sum.at != (one, two) || !(512..=65536).contains(&page) {
        // Without a frame behind it there is nothing to lose.
        return Ok(fill(&mut log, &mut [0; FRAME_HEADER])?.then_some(Damage::Header));
    }
    let salt = (u64::from(salt_1) << 32) | u64::from(salt_2);
    let mut frame = vec![0; FRAME_HEADER + usize::try_from(page).unwrap_or_default()];
    let (mut before, mut number, mut broken, mut lost) = (sum, 0, None, 0);
    while fill(&mut log, &mut frame)? {
        number += 1;
        let (head, data) = frame.split_at(FRAME_HEADER);
        let [_, commits, found_1, found_2, one, two] = words(head);
        let is_of_this_log = (found_1, found_2) == (salt_1, salt_2);
        let is_whole =
            is_of_this_log && before.over(head.get(..8).unwrap_or_default()).over(data).at == (one, two);
        // The end that SQLite finds; whether its transaction was whole is told by its own last word.
        let is_first = broken.is_none() && !is_whole;
        if is_first {
            broken = Some(number);
        }
        if broken.is_some() && commits != 0 && (is_whole || is_first && is_of_this_log) {
            lost += 1;
        }
        before = Sum { at: (one, two), ..before };
    }
    // The end of one transaction may be there without its middle: nobody was told that it was committed.
    Ok(broken.filter(|_| lost > 1).map(|frame| Damage::Frame { salt, frame, lost }))
}

/// SQLite's checksum of a log, as far as it has come.
#[derive(Clone, Copy)]
struct Sum {
    big_endian: bool,
    at: (u32, u32),
}

impl Sum {
    fn over(mut self, bytes: &[u8]) -> Self {
        let word = if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let (pairs, _) = bytes.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in pairs.iter().copied() {
            let (one, two) = self.at;
            let one = one.wrapping_add(word([a, b, c, d])).wrapping_add(two);
            self.at = (one, two.wrapping_add(word([e, f, g, h])).wrapping_add(one));
        }
        self
    }
}

/// The first words of a header: always big-endian.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    let (chunks, _) = bytes.as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

/// `false` where the log ends before `buffer` is full.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
