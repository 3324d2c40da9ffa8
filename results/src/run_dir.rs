//! Where a run keeps what it leaves behind: `runs/STORE-WORKLOAD/TIME-SEED/`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Runs begun in one second with one seed are told apart by a number; more than this many mean that something else
/// is wrong.
const NAMESAKES_MAX: u32 = 10_000;

/// A file operation that failed, with the path that it concerned.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct FileError {
    /// What was attempted, e.g. `write`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.into(), source }
    }
}

/// The directory of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes a fresh directory under `root` and points `root/latest` at it. `time` names the start of the run, for
    /// example `20260131T120000`; what a file name cannot hold is replaced.
    ///
    /// # Errors
    /// A directory or the link cannot be made.
    pub fn create(
        root: &Path,
        store: &str,
        workload: &str,
        time: &str,
        seed: u64,
    ) -> Result<Self, FileError> {
        let family = format!("{}-{}", file_name(store), file_name(workload));
        let parent = root.join(&family);
        fs::create_dir_all(&parent).map_err(FileError::at("create the directory", &parent))?;
        let (name, path) = fresh(&parent, &format!("{}-{seed}", file_name(time)))?;
        let nodes = path.join("nodes");
        fs::create_dir(&nodes).map_err(FileError::at("create the directory", &nodes))?;
        link_latest(root, &Path::new(&family).join(name))?;
        Ok(Self { path })
    }

    /// The directory of an earlier run.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was to be run, complete.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// The faults that were planned, so that another run can have them.
    #[must_use]
    pub fn schedule(&self) -> PathBuf {
        self.path.join("schedule.json")
    }

    /// What happened.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// What was proved, for machines.
    #[must_use]
    pub fn verdict(&self) -> PathBuf {
        self.path.join("verdict.json")
    }

    /// What was proved, for people.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Latency over time.
    #[must_use]
    pub fn latency_plot(&self) -> PathBuf {
        self.path.join("latency.svg")
    }

    /// Throughput over time.
    #[must_use]
    pub fn rate_plot(&self) -> PathBuf {
        self.path.join("rate.svg")
    }

    /// The command that runs it again, as a script.
    #[must_use]
    pub fn replay(&self) -> PathBuf {
        self.path.join("replay.sh")
    }

    /// Logs and other leavings of a node; made when asked for.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn node(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.path.join("nodes").join(file_name(name));
        fs::create_dir_all(&path).map_err(FileError::at("create the directory", &path))?;
        Ok(path)
    }

    /// The files under `nodes/`, relative to the run directory and sorted: what a report links to. At most `max`.
    #[must_use]
    pub fn node_files(&self, max: usize) -> Vec<String> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            paths
        };
        let nodes = list(&self.path.join("nodes"));
        let files = nodes.iter().flat_map(|node| list(node)).filter(|path| path.is_file());
        let relative = files.filter_map(|path| {
            path.strip_prefix(&self.path).ok().and_then(Path::to_str).map(String::from)
        });
        relative.take(max).collect()
    }

    /// Creates a file to be written bit by bit, such as the history. An existing one is refused.
    ///
    /// # Errors
    /// It exists, or cannot be made.
    pub fn create_file(&self, path: &Path) -> Result<fs::File, FileError> {
        fs::File::create_new(path).map_err(FileError::at("create", path))
    }

    /// Opens a file to be read, such as the history.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_file(&self, path: &Path) -> Result<fs::File, FileError> {
        fs::File::open(path).map_err(FileError::at("open", path))
    }

    /// Writes a whole file so that a reader sees the old content or the new, never a part.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let mut name = OsString::from(path);
        name.push(".part");
        let part = PathBuf::from(name);
        let written = fs::write(&part, content).map_err(FileError::at("write", path));
        let result =
            written.and_then(|()| fs::rename(&part, path).map_err(FileError::at("write", path)));
        if result.is_err() {
            // The part is of no use to anyone; that it cannot be removed either adds nothing to the error.
            let _ = fs::remove_file(&part);
        }
        result
    }

    /// Writes `replay.sh`, which runs `command`, a line of shell.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_replay(&self, command: &str) -> Result<(), FileError> {
        use std::os::unix::fs::PermissionsExt;

        let path = self.replay();
        let script = format!(
            "#!/bin/sh\n# Runs this test again, with the same plan and seed.\nexec {command}\n"
        );
        self.write(&path, script.as_bytes())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(FileError::at("make executable", &path))
    }
}

/// Makes `parent/name`, or `parent/name-2` and so on where that exists.
fn fresh(parent: &Path, name: &str) -> Result<(String, PathBuf), FileError> {
    let mut tried = 1;
    loop {
        let name = if tried == 1 { name.to_owned() } else { format!("{name}-{tried}") };
        let path = parent.join(&name);
        match fs::create_dir(&path) {
            Ok(()) => return Ok((name, path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tried < NAMESAKES_MAX => {
                tried += 1;
            }
            Err(e) => return Err(FileError::at("create the directory", &path)(e)),
        }
    }
}

/// Points `root/latest` at `target`, in one step, so that it never dangles for a reader.
fn link_latest(root: &Path, target: &Path) -> Result<(), FileError> {
    let latest = root.join("latest");
    let fresh = root.join(format!(".latest-{}", std::process::id()));
    // Left over from a run with this process id that was killed here; if it stays, the next line says so.
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(target, &fresh).map_err(FileError::at("link", &fresh))?;
    fs::rename(&fresh, &latest).map_err(|source| {
        let _ = fs::remove_file(&fresh);
        FileError::at("link", &latest)(source)
    })
}

/// A text as one component of a path: letters, digits, `.`, `_`, `-` and `+` stay.
fn file_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '-' };
    let name: String = text.chars().map(safe).collect();
    if name.chars().all(|c| c == '.') { "-".repeat(name.len().max(1)) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second() {
        let root = tempfile::tempdir().unwrap();
        let create =
            || RunDir::create(root.path(), "raft", "register", "20260131T120000", 7).unwrap();
        let (first, second) = (create(), create());
        assert!(first.path().ends_with("raft-register/20260131T120000-7"));
        assert!(second.path().ends_with("raft-register/20260131T120000-7-2"));
        let latest = fs::canonicalize(root.path().join("latest")).unwrap();
        assert_eq!(latest, fs::canonicalize(second.path()).unwrap());
        let link = fs::read_link(root.path().join("latest")).unwrap();
        assert!(link.is_relative(), "the runs directory can be moved");
    }

    #[test]
    fn names_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::create(root.path(), "../x", "a/b", "..", 1).unwrap();
        assert!(dir.path().ends_with("..-x-a-b/---1"), "{}", dir.path().display());
        assert!(dir.node("..").unwrap().ends_with("nodes/--"));
        assert_eq!(file_name(""), "-");
    }

    #[test]
    fn writes_whole_files_and_names_the_path() {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::create(root.path(), "raft", "register", "t", 1).unwrap();
        dir.write(&dir.plan(), b"{}").unwrap();
        dir.write(&dir.plan(), b"{\"a\":1}").unwrap();
        assert_eq!(fs::read(dir.plan()).unwrap(), b"{\"a\":1}");
        let error = dir.write(&dir.path().join("none/plan.json"), b"").unwrap_err();
        assert!(error.to_string().contains("none/plan.json"), "{error}");
        dir.create_file(&dir.history()).unwrap();
        let error = dir.create_file(&dir.history()).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        fs::write(dir.node("n1").unwrap().join("raft.log"), b"").unwrap();
        assert_eq!(dir.node_files(10), ["nodes/n1/raft.log"]);
        assert!(
            fs::read_dir(dir.path())
                .unwrap()
                .flatten()
                .all(|e| e.path().extension() != Some("part".as_ref()))
        );
    }

    #[test]
    fn replay_is_executable() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::create(root.path(), "raft", "register", "t", 1).unwrap();
        dir.write_replay("keelhaul run --seed 1").unwrap();
        assert!(
            fs::read_to_string(dir.replay()).unwrap().ends_with("exec keelhaul run --seed 1\n")
        );
        assert_eq!(fs::metadata(dir.replay()).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
