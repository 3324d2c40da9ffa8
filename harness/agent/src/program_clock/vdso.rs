//! The vDSO: the small library that the kernel maps into every process, with the functions that tell the time.
//!
//! Every program asks it, whatever it is written in and however it is linked: glibc, musl, Go's runtime and the Java machine look its functions up by their names. Its
//! pages are shared by all processes until somebody writes to one's; from then on that process has its own.
//!
//! Source: `vdso(7)`; the ELF specification, *Sections* and *Symbol Table*.

use std::io;
use std::ops::Range;

use super::code::{COURSE_BYTES, Course, Label, code};

/// The functions, by the names that programs look up, and what takes their place.
const FUNCTIONS: [(&str, Label); 3] = [
    ("__vdso_clock_gettime", Label::GetTime),
    ("__vdso_gettimeofday", Label::GetTimeOfDay),
    ("__vdso_time", Label::Time),
];
/// A jump to anywhere within two gigabytes.
const JUMP: u8 = 0xe9;
pub(super) const JUMP_BYTES: usize = 5;
/// Where the code lies: as processors like to jump to.
const ALIGNMENT: usize = 16;
/// ELF: what a section of symbols of dynamic linking is called, and how long the entries of its tables are.
const SHT_DYNSYM: u64 = 11;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;

/// The vDSO of one process, as it is there.
#[derive(Debug)]
pub(super) struct Vdso {
    /// Where the process has it.
    base: u64,
    image: Vec<u8>,
    /// Where its functions begin, as distances from its start; in the order of [`FUNCTIONS`].
    functions: [usize; 3],
}

/// What must be written where so that a clock runs in another way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patch {
    /// Addresses and bytes, in the order in which they are written: nobody jumps to what is not there yet.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// No thread may be about to execute anything here.
    pub forbidden: Vec<Range<u64>>,
}

impl Vdso {
    /// Where a process has it, in what `/proc/PID/maps` says.
    pub(super) fn range(maps: &str) -> io::Result<Range<u64>> {
        let line = maps.lines().find(|line| line.ends_with("[vdso]"));
        let range = line.and_then(|line| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            let address = |text| u64::from_str_radix(text, 16).ok();
            Some(address(from)?..address(to)?)
        });
        range.ok_or_else(|| unusable("the kernel gives the process none"))
    }

    pub(super) fn new(base: u64, image: Vec<u8>) -> io::Result<Self> {
        let mut functions = [0; 3];
        for (at, (name, _)) in functions.iter_mut().zip(FUNCTIONS) {
            let found = symbol(&image, name).filter(|at| *at + JUMP_BYTES <= image.len());
            *at = found.ok_or_else(|| unusable(&format!("it has no function {name}")))?;
        }
        Ok(Self { base, image, functions })
    }

    /// The function by which a process asks for the time of any clock.
    pub(super) fn gettime(&self) -> u64 {
        self.base + self.functions[0] as u64
    }

    /// Where a label of our code is, if it is there.
    pub(super) fn label(&self, label: Label) -> Option<u64> {
        Some(self.base + (self.ours()? + label.offset()) as u64)
    }

    /// What the process' clocks show, if they are ours.
    pub(super) fn course(&self) -> Option<Course> {
        Course::of_bytes(&self.image[self.ours()?..])
    }

    /// What must be written so that its clocks run so.
    pub(super) fn patch(&self, course: &Course) -> io::Result<Patch> {
        let length = Label::End.offset();
        let at = |offset: usize| self.base + offset as u64;
        if let Some(ours) = self.ours() {
            return Ok(Patch {
                writes: vec![(at(ours), course.to_bytes().to_vec())],
                forbidden: std::iter::once(at(ours)..at(ours + length)).collect(),
            });
        }
        let room = self.room(length)?;
        let mut writes = vec![(at(room), code(course))];
        let mut forbidden = Vec::new();
        for (function, (_, label)) in self.functions.into_iter().zip(FUNCTIONS) {
            let distance = (room + label.offset()) as i64 - (function + JUMP_BYTES) as i64;
            let distance = i32::try_from(distance).map_err(|_| unusable("it is too large"))?;
            let jump = [&[JUMP][..], &distance.to_le_bytes()].concat();
            writes.push((at(function), jump));
            // At its first byte a thread may be: it goes where the jump leads.
            forbidden.push(at(function + 1)..at(function + JUMP_BYTES));
        }
        Ok(Patch { writes, forbidden })
    }

    /// Where our code begins, if the first function jumps to it.
    fn ours(&self) -> Option<usize> {
        let function = self.functions[0];
        let [JUMP, distance @ ..] = self.image[function..].first_chunk::<JUMP_BYTES>()? else {
            return None;
        };
        let distance = i64::from(i32::from_le_bytes(*distance));
        let target = usize::try_from((function + JUMP_BYTES) as i64 + distance).ok()?;
        let start = target.checked_sub(COURSE_BYTES)?;
        Course::of_bytes(self.image.get(start..)?).map(|_| start)
    }

    /// Where nothing is up to the end of the last page.
    fn room(&self, length: usize) -> io::Result<usize> {
        let said = self.image.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // The last entry of the table of sections may end in zeros that mean something.
        let sections = sections(&self.image).map_or(0, |sections| sections.end);
        let start = said.max(sections).next_multiple_of(ALIGNMENT);
        let fits = start + length <= self.image.len();
        fits.then_some(start).ok_or_else(|| unusable("there is no room behind it"))
    }
}

fn unusable(why: &str) -> io::Error {
    io::Error::other(format!("the kernel's vDSO cannot be used: {why}"))
}

/// The table of sections of an ELF file of 64 bits.
fn sections(image: &[u8]) -> Option<Range<usize>> {
    let start = word(image, 0x28, 8)?;
    let (each, count) = (word(image, 0x3a, 2)?, word(image, 0x3c, 2)?);
    (each == SECTION_BYTES).then(|| start..start + each * count)
}

/// The value of a symbol of dynamic linking.
fn symbol(image: &[u8], name: &str) -> Option<usize> {
    let section = |at: usize| -> Option<(Range<usize>, usize)> {
        let (start, length) = (word(image, at + 0x18, 8)?, word(image, at + 0x20, 8)?);
        Some((start..start + length, word(image, at + 0x28, 4)?))
    };
    let table = sections(image)?;
    let of_symbols = |at: &usize| word(image, at + 4, 4) == Some(SHT_DYNSYM as usize);
    let (symbols, names) = section(table.clone().step_by(SECTION_BYTES).find(of_symbols)?)?;
    let (names, _) = section(table.start + names * SECTION_BYTES)?;
    let named = |at: usize| {
        let found = image.get(names.start + word(image, at, 4)?..names.end)?;
        found.strip_prefix(name.as_bytes())?.starts_with(&[0]).then(|| word(image, at + 8, 8))?
    };
    symbols.step_by(SYMBOL_BYTES).find_map(named)
}

/// A number of so many bytes.
fn word(image: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let mut number = [0; 8];
    number[..bytes].copy_from_slice(image.get(at..at + bytes)?);
    usize::try_from(u64::from_le_bytes(number)).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::super::code::Record;
    use super::*;

    /// This process' own.
    fn own() -> Vdso {
        let range = Vdso::range(&std::fs::read_to_string("/proc/self/maps").unwrap()).unwrap();
        let mut image = vec![0; (range.end - range.start) as usize];
        File::open("/proc/self/mem").unwrap().read_exact_at(&mut image, range.start).unwrap();
        Vdso::new(range.start, image).unwrap()
    }

    fn apply(vdso: &mut Vdso, patch: &Patch) {
        for (address, bytes) in &patch.writes {
            let start = (address - vdso.base) as usize;
            vdso.image[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }

    #[test]
    fn what_was_written_is_found_again() {
        let mut vdso = own();
        assert_eq!((vdso.course(), vdso.label(Label::Ask)), (None, None));
        let first = Course { ahead_ms: 5, wall: Record::straight(7), ..Course::default() };
        let patch = vdso.patch(&first).unwrap();
        assert_eq!(patch.writes.len(), 4, "the code, and a jump in each function");
        apply(&mut vdso, &patch);
        assert_eq!(vdso.course(), Some(first));
        let (ask, end) = (vdso.label(Label::Ask).unwrap(), vdso.label(Label::End).unwrap());
        assert!(vdso.base < ask && ask < end && end <= vdso.base + vdso.image.len() as u64);
        // A second time only the course is written.
        let second = Course { ahead_ms: 6, ..first };
        let patch = vdso.patch(&second).unwrap();
        assert_eq!(patch.writes.len(), 1);
        apply(&mut vdso, &patch);
        assert_eq!(vdso.course(), Some(second));
    }

    #[test]
    fn what_is_no_vdso_or_has_no_room_is_refused() {
        let why = |vdso: io::Result<Vdso>| vdso.unwrap_err().to_string();
        assert!(why(Vdso::new(0, vec![0; 8192])).contains("no function __vdso_clock_gettime"));
        assert!(why(Vdso::new(0, own().image[..70].to_vec())).contains("no function"));
        let full = Vdso { image: own().image.iter().map(|b| b | 1).collect(), ..own() };
        assert!(full.room(16).unwrap_err().to_string().contains("no room"));
        assert!(Vdso::range("00400000-00452000 r-xp 00000000 08:02 173521 /bin/sh\n").is_err());
    }
}
