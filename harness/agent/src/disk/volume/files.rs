//! Files as programs open, read, write and sync them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::fcntl::FallocateFlags;

use super::{Open, Volume, errno};
use crate::disk::fault::DiskOp;
use crate::disk::model::{Ino, SECTOR_BYTES};

impl Volume {
    pub fn open_file(&self, ino: Ino) -> io::Result<()> {
        let mut state = self.lock();
        state.model()?;
        if let Some(open) = state.open.get_mut(&ino) {
            open.count += 1;
            return Ok(());
        }
        let file = Arc::new(self.backing.file(&state.path(ino)?)?);
        state.open.insert(ino, Open { file, count: 1, synced_by_write: false });
        Ok(())
    }

    pub fn close_file(&self, ino: Ino) {
        let mut state = self.lock();
        if let Some(open) = state.open.get_mut(&ino) {
            open.count -= 1;
            if open.count == 0 {
                state.open.remove(&ino);
            }
        }
    }

    pub fn read(&self, ino: Ino, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.strike(DiskOp::Read, ino)?;
        self.peek(ino, offset, size)
    }

    /// Writes; `sync` when the file was opened to be synced by every write.
    pub fn write(&self, ino: Ino, offset: u64, bytes: &[u8], sync: bool) -> io::Result<()> {
        self.counters.writes.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let strike = self.strike(DiskOp::Write, ino)?;
        let bytes = if strike.tear { &bytes[..bytes.len() / 2] } else { bytes };
        let length = bytes.len() as u64;
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        state.scars.written(ino, &(offset..offset + length));
        let offset = if strike.misdirect {
            state.misdirected(ino, &file, offset, bytes)?;
            offset + SECTOR_BYTES
        } else {
            offset
        };
        state.save(ino, &file, offset..offset + length)?;
        let written = file.write_all_at(bytes, offset);
        let end = match &written {
            Ok(()) => offset + length,
            // Some of it, perhaps.
            Err(_) => file.metadata()?.len().max(offset),
        };
        if let Some(content) = state.model()?.content(ino) {
            content.written(offset..end);
        }
        state.mark_synced(ino, false);
        drop(state);
        written?;
        if strike.tear {
            return Err(errno(libc::EIO));
        }
        if sync {
            self.sync_now(ino, true)?;
            self.lock().mark_synced(ino, true);
        }
        Ok(())
    }

    /// Reserves, zeroes or frees a range, as `fallocate(2)`.
    pub fn allocate(&self, ino: Ino, range: Range<u64>, flags: i32) -> io::Result<()> {
        self.strike(DiskOp::Write, ino)?;
        let flags = FallocateFlags::from_bits_truncate(flags);
        let zeroes = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        let keeps = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if !(zeroes | keeps).contains(flags) {
            return Err(errno(libc::EOPNOTSUPP));
        }
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        if flags.intersects(zeroes) {
            state.save(ino, &file, range.clone())?;
        }
        let signed = |n: u64| i64::try_from(n).map_err(|_| errno(libc::EFBIG));
        let (offset, length) = (signed(range.start)?, signed(range.end - range.start)?);
        nix::fcntl::fallocate(&*file, flags, offset, length)?;
        state.mark_synced(ino, false);
        if let Some(content) = state.model()?.content(ino) {
            let end =
                if flags.contains(keeps) { range.end.min(content.length()) } else { range.end };
            let start = if flags.intersects(zeroes) { range.start.min(end) } else { end };
            content.written(start..end);
        }
        state.scars.written(ino, &range);
        Ok(())
    }

    /// A program syncs a file. After a write that was synced with it the kernel asks for the same again, if it is a recent one.
    pub fn sync_file(&self, ino: Ino, data_only: bool) -> io::Result<()> {
        if self.lock().mark_synced(ino, false) {
            return Ok(());
        }
        self.sync_now(ino, data_only)
    }

    fn sync_now(&self, ino: Ino, data_only: bool) -> io::Result<()> {
        self.counters.sync(|| self.do_sync(ino, data_only))
    }

    fn do_sync(&self, ino: Ino, data_only: bool) -> io::Result<()> {
        let synced = self.strike(DiskOp::Sync, ino).and_then(|strike| {
            if strike.ignore_sync {
                return Ok(false);
            }
            let file = self.file(&mut self.lock(), ino)?;
            // The real disk takes its time; the kernel lets nobody write to this file meanwhile.
            let synced = if data_only { file.sync_data() } else { file.sync_all() };
            synced.map(|()| true)
        });
        match synced {
            Ok(true) => self.with_effects(|model| Ok(model.sync_file(ino))),
            Ok(false) => Ok(()),
            Err(error) => {
                if let Some(content) = self.lock().model()?.content(ino) {
                    content.sync_failed();
                }
                Err(error)
            }
        }
    }

    pub fn sync_directory(&self, ino: Ino) -> io::Result<()> {
        self.counters.sync(|| {
            if self.strike(DiskOp::Sync, ino)?.ignore_sync {
                return Ok(());
            }
            let path = self.backing.at(&self.lock().path(ino)?);
            File::open(path)?.sync_all()?;
            self.with_effects(|model| Ok(model.sync_directory(ino)))
        })
    }
}
