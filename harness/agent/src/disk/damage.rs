//! Damage to what a disk has stored: where it strikes, and how it is mended.

use std::io;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fault::{Damaged, DiskDamage};
use super::model::{Ino, index};
use super::mounted::Disk;

/// The longest chunk that is copied, and the longest end that is cut off.
const CHUNK_BYTES_MAX: u64 = 1 << 20;
/// How often a place is drawn anew that holds nothing: stores reserve space in advance, and a bit there is nobody's.
const PLACE_TRIES: u32 = 64;

/// A part of a file as it was once.
#[derive(Debug)]
pub(super) struct OldChunk {
    path: String,
    offset: u64,
    bytes: Vec<u8>,
    /// It ended where the file did.
    at_end: bool,
}

/// A file with content: its number, path and length.
type Chosen = (Ino, String, u64);

impl Disk {
    /// Damages what is stored; answers where. Bytes that stay the same do not count, and what was damaged before can no longer be
    /// mended: programs may have found their way around it.
    pub fn damage(
        &mut self,
        damage: &DiskDamage,
        path_contains: &str,
        seed: u64,
    ) -> io::Result<Vec<Damaged>> {
        self.volume.forget_damage();
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut files: Vec<Chosen> = Vec::new();
        for (ino, path) in self.volume.files(path_contains)? {
            let length = self.volume.attributes(ino)?.1.len();
            if length > 0 {
                files.push((ino, path, length));
            }
        }
        let done = match damage {
            DiskDamage::FlipBits { count } => self.flip_bits(&files, *count, &mut dice),
            DiskDamage::Truncate { bytes } => self.truncate(&files, *bytes),
            DiskDamage::CopyWithin { bytes } => self.copy_within(&files, *bytes, &mut dice),
            DiskDamage::CopyChunk { bytes } => self.copy_chunks(&files, *bytes, &mut dice),
            DiskDamage::RestoreChunks => self.restore_chunks(&files),
        };
        for (ino, ..) in files {
            self.forget(ino.0)?;
        }
        done
    }

    /// Gives back what was damaged, where no program has written since; answers where.
    pub fn mend(&mut self) -> io::Result<Vec<Damaged>> {
        let mut done = Vec::new();
        for (scar, path) in self.volume.mend()? {
            self.forget(scar.ino.0)?;
            done.push(Damaged::new(path, scar.offset, &scar.was));
        }
        Ok(done)
    }

    fn flip_bits(
        &self,
        files: &[Chosen],
        count: u32,
        dice: &mut ChaCha8Rng,
    ) -> io::Result<Vec<Damaged>> {
        let mut done = Vec::new();
        for _ in 0..count {
            let Some((ino, path, length)) = chosen(files, dice) else { break };
            let (mut offset, mut byte) = (0, Vec::new());
            for _ in 0..PLACE_TRIES {
                offset = dice.random_range(0..*length);
                byte = self.volume.peek(*ino, offset, 1)?;
                if byte != [0] {
                    break;
                }
            }
            let flipped: Vec<u8> =
                byte.iter().map(|byte| byte ^ (1 << dice.random_range(0..8))).collect();
            done.extend(self.overwrite(*ino, path, offset, &flipped)?);
        }
        Ok(done)
    }

    fn truncate(&self, files: &[Chosen], bytes: u64) -> io::Result<Vec<Damaged>> {
        let mut done = Vec::new();
        for (ino, path, length) in files {
            let offset = length.saturating_sub(bytes.min(CHUNK_BYTES_MAX));
            let was = self.volume.cut_short(*ino, offset)?;
            done.push(Damaged::new(path.clone(), offset, &was));
        }
        Ok(done)
    }

    fn copy_within(
        &self,
        files: &[Chosen],
        bytes: u64,
        dice: &mut ChaCha8Rng,
    ) -> io::Result<Vec<Damaged>> {
        let mut done = Vec::new();
        let bytes = bytes.min(CHUNK_BYTES_MAX);
        for (ino, path, length) in files.iter().filter(|file| file.2 > bytes) {
            let places = 0..=length - bytes;
            let (from, to) = (dice.random_range(places.clone()), dice.random_range(places));
            let chunk = self.volume.peek(*ino, from, index(bytes))?;
            done.extend(self.overwrite(*ino, path, to, &chunk)?);
        }
        Ok(done)
    }

    fn copy_chunks(
        &mut self,
        files: &[Chosen],
        bytes: u64,
        dice: &mut ChaCha8Rng,
    ) -> io::Result<Vec<Damaged>> {
        let mut done = Vec::new();
        for (ino, path, length) in files {
            let offset = dice.random_range(0..*length);
            let chunk = self.volume.peek(*ino, offset, index(bytes.min(CHUNK_BYTES_MAX)))?;
            done.push(Damaged::new(path.clone(), offset, &chunk));
            let at_end = offset + chunk.len() as u64 == *length;
            self.chunks.push(OldChunk { path: path.clone(), offset, bytes: chunk, at_end });
        }
        Ok(done)
    }

    fn restore_chunks(&mut self, files: &[Chosen]) -> io::Result<Vec<Damaged>> {
        let mut done = Vec::new();
        for OldChunk { path, offset, bytes, at_end } in std::mem::take(&mut self.chunks) {
            let Some((ino, _, length)) = files.iter().find(|file| file.1 == path) else { continue };
            let count = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let part = &bytes[..bytes.len().min(count)];
            done.extend(self.overwrite(*ino, &path, offset, part)?);
            let end = offset + bytes.len() as u64;
            if at_end && end < *length && length - end <= CHUNK_BYTES_MAX {
                let was = self.volume.cut_short(*ino, end)?;
                done.push(Damaged::new(path, end, &was));
            }
        }
        Ok(done)
    }

    /// Answers what it changed, if anything.
    fn overwrite(
        &self,
        ino: Ino,
        path: &str,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<Option<Damaged>> {
        let was = self.volume.damage(ino, offset, bytes)?;
        Ok(was.map(|was| {
            // Told from the first byte that is another one, so that whoever looks there sees it.
            let same = was.iter().zip(bytes).take_while(|(was, is)| was == is).count();
            Damaged::new(path.to_owned(), offset + same as u64, &was[same..])
        }))
    }
}

fn chosen<'a>(files: &'a [Chosen], dice: &mut ChaCha8Rng) -> Option<&'a Chosen> {
    if files.is_empty() { None } else { files.get(dice.random_range(0..files.len())) }
}
