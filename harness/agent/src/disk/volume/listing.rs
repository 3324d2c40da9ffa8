//! Directories as programs list them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Volume, errno};
use crate::disk::model::Ino;

/// One name in a directory.
#[derive(Clone, Debug)]
pub(in crate::disk) struct Entry {
    pub ino: Ino,
    pub kind: fs::FileType,
    pub name: OsString,
}

/// Directories that are being listed, by the listing's number.
pub(super) type Listings = BTreeMap<u64, Arc<Vec<Entry>>>;

impl Volume {
    /// A directory was opened to be listed; answers the listing's number.
    pub fn open_listing(&self) -> u64 {
        let mut listings = self.lock_listings();
        let number = listings.last_key_value().map_or(1, |(number, _)| number + 1);
        listings.insert(number, Arc::default());
        number
    }

    /// What is in a directory, as of when it was `fresh` last: entries that come and go meanwhile move nobody else's place.
    pub fn listing(&self, dir: Ino, number: u64, fresh: bool) -> io::Result<Arc<Vec<Entry>>> {
        if fresh {
            let entries = Arc::new(self.list(dir)?);
            self.lock_listings().insert(number, Arc::clone(&entries));
            return Ok(entries);
        }
        self.lock_listings().get(&number).cloned().ok_or_else(|| errno(libc::EBADF))
    }

    /// The listing is not needed any more.
    pub fn close_listing(&self, number: u64) {
        self.lock_listings().remove(&number);
    }

    fn list(&self, dir: Ino) -> io::Result<Vec<Entry>> {
        let mut state = self.lock();
        let path = self.backing.at(&state.path(dir)?);
        let itself = fs::symlink_metadata(&path)?.file_type();
        let fixed = [".", ".."].map(|name| Entry { ino: dir, kind: itself, name: name.into() });
        let mut listing = Vec::from(fixed);
        for (name, &ino) in state.model()?.entries(dir).ok_or_else(|| errno(libc::ENOTDIR))? {
            let kind = fs::symlink_metadata(path.join(name))?.file_type();
            listing.push(Entry { ino, kind, name: name.clone() });
        }
        Ok(listing)
    }

    fn lock_listings(&self) -> MutexGuard<'_, Listings> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
