//! Copy-on-write disks: the few bytes that an empty one consists of.
//!
//! The format is QEMU's (`docs/interop/qcow2.txt`, version 3): a header that names the file underneath, a table of reference counts for the clusters
//! that the file has so far, and a table of mappings with nothing in it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// How many bytes of the disk one entry of the first table covers: a cluster of mappings, eight bytes each.
const L1_COVERS: u64 = CLUSTER / 8 * CLUSTER;
const HEADER_BYTES: u32 = 104;
/// Names the format of the file underneath, without which QEMU would guess it.
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const BACKING_FORMAT: &[u8; 3] = b"raw";

/// Makes a disk at `path` that reads like the raw file `base`, as long as nothing is written.
pub(super) fn create_over(path: &Path, base: &Path) -> io::Result<()> {
    let size = base.metadata()?.len();
    let base = base.canonicalize()?;
    let name = base.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let mut file = File::create_new(path)?;
    // Clusters 0 to 3: header, table of blocks of counts, the one block, first table of mappings.
    file.write_all(&header(size, name.as_bytes())?)?;
    file.seek(SeekFrom::Start(CLUSTER))?;
    file.write_all(&(2 * CLUSTER).to_be_bytes())?;
    file.seek(SeekFrom::Start(2 * CLUSTER))?;
    file.write_all(&[1_u16.to_be_bytes(); 4].concat())?;
    file.set_len(4 * CLUSTER)
}

fn header(size: u64, base: &[u8]) -> io::Result<Vec<u8>> {
    let mut extensions = EXTENSION_BACKING_FORMAT.to_be_bytes().to_vec();
    extensions.extend(3_u32.to_be_bytes());
    extensions.extend(BACKING_FORMAT);
    // Padded to eight bytes; then the extension that ends the list.
    extensions.extend([0; 5]);
    extensions.extend([0; 8]);
    let base_at = u64::from(HEADER_BYTES) + extensions.len() as u64;
    let l1_entries = u32::try_from(size.div_ceil(L1_COVERS)).unwrap_or(u32::MAX);
    // QEMU's own bound on the name, and ours on the one cluster of the first table.
    if base.len() > 1023 || u64::from(l1_entries) * 8 > CLUSTER {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut bytes = b"QFI\xfb".to_vec();
    let mut put = |field: &[u8]| bytes.extend(field);
    put(&3_u32.to_be_bytes());
    put(&base_at.to_be_bytes());
    put(&(base.len() as u32).to_be_bytes());
    put(&CLUSTER_BITS.to_be_bytes());
    put(&size.to_be_bytes());
    put(&0_u32.to_be_bytes()); // not encrypted
    put(&l1_entries.to_be_bytes());
    put(&(3 * CLUSTER).to_be_bytes());
    put(&CLUSTER.to_be_bytes());
    put(&1_u32.to_be_bytes()); // clusters of the table of blocks of counts
    put(&0_u32.to_be_bytes()); // snapshots
    put(&0_u64.to_be_bytes()); // where they would be
    put(&[0; 24]); // features: none
    put(&4_u32.to_be_bytes()); // counts of 16 bits
    put(&HEADER_BYTES.to_be_bytes());
    put(&extensions);
    put(base);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_header_is_where_the_format_has_it() {
        let bytes = header(3 << 30, b"/base").unwrap();
        let at = |offset: usize| u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
        assert_eq!((&bytes[..4], at(4), at(20)), (&b"QFI\xfb"[..], 3, 16));
        assert_eq!((at(12), at(16)), (128, 5));
        assert_eq!(&bytes[128..], b"/base");
        // Three gigabytes, half a gigabyte an entry.
        assert_eq!((at(36), at(96), at(100)), (6, 4, 104));
        assert!(header(1 << 50, b"/base").is_err() && header(1, &[b'x'; 2000]).is_err());
    }

    /// Where QEMU's own tool is at hand, it must find nothing wrong and read the base through it.
    #[test]
    fn qemu_reads_the_base_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let (base, disk) = (dir.path().join("base"), dir.path().join("disk"));
        let content: Vec<u8> = (0..3_u32 << 18).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&base, &content).unwrap();
        create_over(&disk, &base).unwrap();
        assert!(create_over(&disk, &base).is_err(), "one that is there is not overwritten");
        let Ok(checked) = Command::new("qemu-img").arg("check").arg(&disk).output() else { return };
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let flat = dir.path().join("flat");
        let convert =
            Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&disk).arg(&flat).status();
        assert!(convert.unwrap().success());
        assert!(std::fs::read(flat).unwrap() == content);
    }
}
