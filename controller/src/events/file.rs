//! The event log's file: appended to, and set aside when it is large.
//!
//! Invariant: several processes of one home append to the same file, and each line ends up whole in it or in one of
//! those set aside; there are never more than [`KEPT`] of these.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest file, in bytes.
const LARGEST: u64 = 16 << 20;
/// Files set aside: `events.jsonl.1` is the newest.
const KEPT: usize = 4;

/// A file that is rotated.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    largest: u64,
}

impl RotatingFile {
    /// Opens, or makes, a file with mode 0600.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self { path: path.to_owned(), file: open(path)?, largest: LARGEST })
    }

    /// Appends whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.follow()?;
        let length = self.file.metadata()?.len();
        if length > 0 && length + lines.len() as u64 > self.largest {
            self.rotate()?;
        }
        self.file.write_all(lines)
    }

    /// Another process may have set the file aside.
    fn follow(&mut self) -> io::Result<()> {
        match self.in_place()? {
            true => Ok(()),
            false => self.reopen(),
        }
    }

    /// Whether the file that is open is the one at its path.
    fn in_place(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Whoever has the lock on the file that is in place sets it aside; it is given back when that file is closed.
        flock(&self.file, FlockOperation::LockExclusive)?;
        if self.in_place()? {
            let aside = |number: usize| self.path.with_added_extension(number.to_string());
            for number in (1..KEPT).rev() {
                rename_if_there(&aside(number), &aside(number + 1))?;
            }
            rename_if_there(&self.path, &aside(1))?;
        }
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(path: &Path) -> RotatingFile {
        RotatingFile { largest: 64, ..RotatingFile::open(path).unwrap() }
    }

    #[test]
    fn a_large_file_is_set_aside_and_a_few_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/events.jsonl");
        let mut file = small(&path);
        for number in 0..100 {
            file.write(format!("line {number:03} {}\n", "x".repeat(20)).as_bytes()).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder.path().join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let aside = (1..=KEPT).map(|number| format!("events.jsonl.{number}"));
        assert_eq!(names, std::iter::once("events.jsonl".to_owned()).chain(aside).collect::<Vec<_>>());
        assert!(fs::read_to_string(&path).unwrap().contains("line 099"));
        assert!(fs::metadata(folder.path().join("log/events.jsonl.1")).unwrap().len() <= 64);
    }

    #[test]
    fn several_writers_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let write = |writer: usize| {
            // Large enough for all to be kept.
            let mut file = RotatingFile { largest: 4000, ..RotatingFile::open(&path).unwrap() };
            (0..100).for_each(|number| file.write(format!("{writer} {number}\n").as_bytes()).unwrap());
        };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || write(writer));
            }
        });
        let mut lines: Vec<String> = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.sort();
        let mut expected: Vec<_> =
            (0..4).flat_map(|writer| (0..100).map(move |number| format!("{writer} {number}"))).collect();
        expected.sort();
        assert_eq!(lines, expected);
    }
}
