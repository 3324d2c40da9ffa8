//! What is on the disk itself, looked at and changed past everything that programs do: damage, and how it is mended.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{State, Volume};
use crate::disk::model::{Ino, Kind, SECTOR_BYTES, index};
use crate::disk::scars::Scar;

impl Volume {
    /// All files whose path holds a word, by path.
    pub fn files(&self, path_contains: &str) -> io::Result<Vec<(Ino, String)>> {
        let mut state = self.lock();
        let model = state.model()?;
        let mut files: Vec<(Ino, String)> = model
            .inodes()
            .filter(|&ino| model.kind(ino) == Some(Kind::File) && model.has_name(ino))
            .filter_map(|ino| Some((ino, model.path(ino)?.to_string_lossy().into_owned())))
            .filter(|(_, path)| path.contains(path_contains))
            .collect();
        files.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(files)
    }

    /// Reads past all faults.
    pub fn peek(&self, ino: Ino, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        let file = {
            let mut state = self.lock();
            self.file(&mut state, ino)?
        };
        let mut bytes = vec![0; size];
        let filled = fill(&file, offset, &mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Overwrites bytes of a file on the disk itself: they count as having been there all along. Answers what they replace; nothing
    /// if they are the same.
    pub fn damage(&self, ino: Ino, offset: u64, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        let mut was = vec![0; bytes.len()];
        file.read_exact_at(&mut was, offset)?;
        if was == bytes {
            return Ok(None);
        }
        state.overwrite(ino, &file, offset, bytes)?;
        state.scars.push(Scar { ino, offset, was: was.clone(), cut: false });
        Ok(Some(was))
    }

    /// Cuts a file short on the disk itself; answers what it loses.
    pub fn cut_short(&self, ino: Ino, length: u64) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        let mut was = vec![0; index(file.metadata()?.len().saturating_sub(length))];
        file.read_exact_at(&mut was, length)?;
        file.set_len(length)?;
        if let Some(content) = state.model()?.content(ino) {
            content.cut_short(length);
        }
        state.scars.push(Scar { ino, offset: length, was: was.clone(), cut: true });
        Ok(was)
    }

    /// From now on nothing that was damaged is mended.
    pub fn forget_damage(&self) {
        self.lock().scars.clear();
    }

    /// Mends all damage where no program has written since; answers what it gave back, and in which files.
    pub fn mend(&self) -> io::Result<Vec<(Scar, String)>> {
        let mut state = self.lock();
        let mut mended = Vec::new();
        for scar in state.scars.take() {
            let Scar { ino, offset, ref was, cut } = scar;
            let gone = state.model()?.kind(ino) != Some(Kind::File) || state.path(ino).is_err();
            if gone {
                continue;
            }
            let file = self.file(&mut state, ino)?;
            let length = file.metadata()?.len();
            let fits = if cut { length == offset } else { offset + was.len() as u64 <= length };
            if fits {
                state.overwrite(ino, &file, offset, was)?;
                let path = state.path(ino)?.to_string_lossy().into_owned();
                mended.push((scar, path));
            }
        }
        Ok(mended)
    }
}

impl State {
    /// A write goes a sector too far: what it should have changed, and what it should not.
    pub(super) fn misdirected(
        &mut self,
        ino: Ino,
        file: &File,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        // Beyond the file's end a hole is as good as nothing.
        let start = end.max(offset + SECTOR_BYTES);
        let mut was = vec![0; index(end + SECTOR_BYTES - start)];
        fill(file, start, &mut was)?;
        self.scars.push(Scar { ino, offset: start, was, cut: false });
        self.scars.push(Scar { ino, offset, was: bytes.to_vec(), cut: false });
        Ok(())
    }

    /// Puts bytes on the disk itself, past everything that programs and the system do.
    fn overwrite(&mut self, ino: Ino, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)?;
        if let Some(content) = self.model()?.content(ino) {
            content.grown_back(offset + bytes.len() as u64);
            content.damaged(offset, bytes);
        }
        Ok(())
    }
}

/// Reads as far as the file and the buffer reach; answers how much.
fn fill(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let count @ 1.. = file.read_at(&mut bytes[filled..], offset + filled as u64)? {
        filled += count;
    }
    Ok(filled)
}
