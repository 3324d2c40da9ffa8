//! Files, in chunks that fit a frame.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

/// Longest chunk that is read or written at once; well below the longest frame.
pub const CHUNK_BYTES_MAX: u64 = 1024 * 1024;

/// Writes a chunk. The first chunk makes directories and the file, and empties it.
pub(crate) fn write(path: &str, offset: u64, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = absolute(path)?;
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    if offset == 0 {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        options.create(true).truncate(true);
    }
    let mut file = options.open(path)?;
    // The mode of an existing file, or one that the umask took bits from.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Reads a chunk, and says how long the whole file is.
pub(crate) fn read(path: &str, offset: u64, limit: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(absolute(path)?)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(limit.min(CHUNK_BYTES_MAX)).read_to_end(&mut bytes)?;
    Ok((bytes, size))
}

/// How many microseconds it takes to make a small write durable in a directory.
pub(crate) fn time_sync(dir: &Path) -> io::Result<u64> {
    /// Hidden: nobody is to take it for a log.
    const NAME: &str = ".sync";

    fs::create_dir_all(dir)?;
    let path = dir.join(NAME);
    let mut file = File::create(&path)?;
    file.write_all(b"written to be synced")?;
    let begun = Instant::now();
    file.sync_data()?;
    let took = begun.elapsed();
    fs::remove_file(path)?;
    Ok(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

fn absolute(path: &str) -> io::Result<&Path> {
    let path = Path::new(path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the path does not begin with a slash"))
}
