//! The kernel's questions, answered from a [`Volume`].
//!
//! Every write reaches us when it is made (no write-back cache), except those through a shared mapping, which reach us when they are
//! synced, when the mapping ends, or when the kernel cleans its pages. Reads may be answered from the kernel's page
//! cache. Nobody but the kernel changes what is below the mount, so it may keep names and attributes as long as it likes.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use nix::sys::stat::SFlag;
use nix::sys::time::TimeSpec;

use super::model::Ino;
use super::volume::{Attributes, Changes, New, Volume, errno};

/// How long the kernel may keep names and attributes.
const TTL: Duration = Duration::from_secs(86_400);
/// The largest write that the kernel hands over in one piece, as far as it can.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Inode numbers are never used twice.
const GENERATION: Generation = Generation(0);
/// Handles of files are not told apart: all share one descriptor.
const HANDLE: FileHandle = FileHandle(0);

/// One mount's answers.
#[derive(Debug)]
pub(super) struct Server(pub Arc<Volume>);

impl Filesystem for Server {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // It answers the nearest that it takes, which is then in force.
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.0.lookup(ino(parent), name));
    }

    fn getattr(&self, _req: &Request, inode: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.0.attributes(ino(inode)));
    }

    fn setattr(
        &self,
        _req: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let times =
            (atime.is_some() || mtime.is_some()).then(|| (time_spec(atime), time_spec(mtime)));
        let changes = Changes { mode, uid, gid, length: size, times };
        attributes(reply, self.0.change(ino(inode), changes));
    }

    fn readlink(&self, _req: &Request, inode: INodeNo, reply: ReplyData) {
        match self.0.read_link(ino(inode)) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(e) => reply.error(e.into()),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
        let new = match kind {
            SFlag::S_IFREG => New::File,
            SFlag::S_IFIFO | SFlag::S_IFSOCK => New::Special(kind),
            _ => return reply.error(Errno::EPERM),
        };
        entry(reply, self.0.make((ino(parent), name), new, mode, owner(req)));
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        entry(reply, self.0.make((ino(parent), name), New::Directory, mode, owner(req)));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.0.remove(ino(parent), name));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.0.remove(ino(parent), name));
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        entry(reply, self.0.make((ino(parent), name), New::Symlink(target), 0o777, owner(req)));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        let (from, to) = ((ino(parent), name), (ino(new_parent), new_name));
        done(reply, self.0.rename(from, to, flags.is_empty()));
    }

    fn link(
        &self,
        _req: &Request,
        inode: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        entry(reply, self.0.link(ino(inode), ino(new_parent), new_name));
    }

    fn open(&self, _req: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.0.open_file(ino(inode)) {
            Ok(()) => reply.opened(HANDLE, FopenFlags::FOPEN_NOFLUSH),
            Err(e) => reply.error(e.into()),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.0.make((ino(parent), name), New::File, mode, owner(req));
        match made.and_then(|made| self.0.open_file(made.0).map(|()| made)) {
            Ok(made) => {
                reply.created(&TTL, &shown(&made), GENERATION, HANDLE, FopenFlags::FOPEN_NOFLUSH);
            }
            Err(e) => reply.error(e.into()),
        }
    }

    fn read(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(ino(inode), offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(e.into()),
        }
    }

    fn write(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // O_SYNC holds the bit of O_DSYNC.
        let sync = flags.0 & libc::O_DSYNC != 0;
        match self.0.write(ino(inode), offset, bytes, sync) {
            Ok(()) => reply.written(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            Err(e) => reply.error(e.into()),
        }
    }

    fn release(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.close_file(ino(inode));
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        done(reply, self.0.sync_file(ino(inode), data_only));
    }

    fn opendir(&self, _req: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(self.0.open_listing()), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _req: &Request,
        inode: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = match self.0.listing(ino(inode), fh.0, offset == 0) {
            Ok(listing) => listing,
            Err(e) => return reply.error(e.into()),
        };
        for (place, entry) in (1..).zip(listing.iter()).skip(usize::try_from(offset).unwrap_or(0)) {
            let kind = FileType::from_std(entry.kind).unwrap_or(FileType::RegularFile);
            if reply.add(INodeNo(entry.ino.0), place, kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _inode: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.close_listing(fh.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        done(reply, self.0.sync_directory(ino(inode)));
    }

    fn statfs(&self, _req: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        match self.0.space() {
            Ok(space) => reply.statfs(
                space.blocks(),
                space.blocks_free(),
                space.blocks_available(),
                space.files(),
                space.files_free(),
                u32::try_from(space.block_size()).unwrap_or(4096),
                u32::try_from(space.name_max()).unwrap_or(255),
                u32::try_from(space.fragment_size()).unwrap_or(4096),
            ),
            Err(e) => reply.error(e.into()),
        }
    }

    fn fallocate(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let end = offset.checked_add(length).ok_or_else(|| errno(libc::EFBIG));
        done(reply, end.and_then(|end| self.0.allocate(ino(inode), offset..end, mode)));
    }
}

fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

fn owner(req: &Request) -> (u32, u32) {
    (req.uid(), req.gid())
}

fn entry(reply: ReplyEntry, result: io::Result<Attributes>) {
    match result {
        Ok(found) => reply.entry(&TTL, &shown(&found), GENERATION),
        Err(e) => reply.error(e.into()),
    }
}

fn attributes(reply: ReplyAttr, result: io::Result<Attributes>) {
    match result {
        Ok(found) => reply.attr(&TTL, &shown(&found)),
        Err(e) => reply.error(e.into()),
    }
}

fn done(reply: ReplyEmpty, result: io::Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(e.into()),
    }
}

/// The backing file's attributes under our number.
fn shown((number, meta): &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(number.0),
        size: meta.len(),
        blocks: meta.blocks(),
        atime: time(meta.atime(), meta.atime_nsec()),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
        ctime: time(meta.ctime(), meta.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind: FileType::from_std(meta.file_type()).unwrap_or(FileType::RegularFile),
        perm: u16::try_from(meta.mode() & 0o7777).unwrap_or_default(),
        nlink: links(meta),
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn links(meta: &Metadata) -> u32 {
    u32::try_from(meta.nlink()).unwrap_or(u32::MAX)
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let nanoseconds = Duration::from_nanos(nanoseconds.unsigned_abs());
    let whole = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH - whole + nanoseconds } else { UNIX_EPOCH + whole + nanoseconds }
}

fn time_spec(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => {
            TimeSpec::from_duration(time.duration_since(UNIX_EPOCH).unwrap_or_default())
        }
    }
}
