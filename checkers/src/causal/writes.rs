//! The writes of each key, chain by chain.

use crate::sessions::order::Sessions;

/// The writes of one chain to one key.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Whose they are.
    pub chain: u32,
    start: u32,
    end: u32,
}

/// The writes of a history in groups.
pub struct Writes {
    ops: Vec<u32>,
    groups: Vec<Group>,
    key_groups: Vec<u32>,
}

impl Writes {
    /// Groups all writes.
    #[must_use]
    pub fn new(sessions: &Sessions<'_>) -> Self {
        let mut writes = Self { ops: Vec::new(), groups: Vec::new(), key_groups: vec![0] };
        for key in 0..sessions.registers().keys.len() as u32 {
            for ops in
                sessions.of_key(key).chunk_by(|a, b| sessions.chain(*a) == sessions.chain(*b))
            {
                let start = writes.ops.len() as u32;
                writes.ops.extend(ops.iter().filter(|op| sessions.writes(**op)));
                let end = writes.ops.len() as u32;
                if end > start {
                    writes.groups.push(Group { chain: sessions.chain(ops[0]), start, end });
                }
            }
            writes.key_groups.push(writes.groups.len() as u32);
        }
        writes
    }

    /// The numbers of a key's groups.
    #[must_use]
    pub fn of_key(&self, key: u32) -> std::ops::Range<usize> {
        self.key_groups[key as usize] as usize..self.key_groups[key as usize + 1] as usize
    }

    /// A group by number.
    #[must_use]
    pub fn group(&self, number: usize) -> Group {
        self.groups[number]
    }

    /// How many groups there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.groups.len()
    }

    /// The writes of a group in their order.
    #[must_use]
    pub fn ops(&self, group: Group) -> &[u32] {
        &self.ops[group.start as usize..group.end as usize]
    }
}
