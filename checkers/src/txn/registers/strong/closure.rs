//! Who leads to whom in a graph without cycles: a bit for every pair of nodes.

/// Bits of a row's word.
const WORD_BITS: usize = u64::BITS as usize;

pub(super) struct Closure {
    /// Words of a row.
    width: usize,
    bits: Vec<u64>,
}

impl Closure {
    /// Bytes that the closure of so many nodes takes.
    pub fn bytes(nodes: usize) -> usize {
        nodes.div_ceil(WORD_BITS).saturating_mul(nodes).saturating_mul(size_of::<u64>())
    }

    /// The closure of edges by node, or nothing if there is a cycle.
    pub fn new(out: &[Vec<u32>]) -> Option<Self> {
        let order = sorted(out)?;
        let width = out.len().div_ceil(WORD_BITS);
        let mut bits = vec![0u64; width * out.len()];
        let mut row = vec![0u64; width];
        for node in order.iter().rev().map(|node| *node as usize) {
            row.fill(0);
            for target in out[node].iter().map(|target| *target as usize) {
                if row[target / WORD_BITS] >> (target % WORD_BITS) & 1 == 1 {
                    continue;
                }
                row[target / WORD_BITS] |= 1 << (target % WORD_BITS);
                let theirs = &bits[target * width..][..width];
                row.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
            }
            bits[node * width..][..width].copy_from_slice(&row);
        }
        Some(Self { width, bits })
    }

    /// Whether there is a path, of one edge at least.
    pub fn leads(&self, from: u32, to: u32) -> bool {
        let to = to as usize;
        self.bits[from as usize * self.width + to / WORD_BITS] >> (to % WORD_BITS) & 1 == 1
    }
}

/// Nodes in an order into which all edges fit, those of low numbers early; nothing if there is none.
pub(super) fn sorted(out: &[Vec<u32>]) -> Option<Vec<u32>> {
    let mut waits = vec![0u32; out.len()];
    out.iter().flatten().for_each(|target| waits[*target as usize] += 1);
    let free = (0..out.len() as u32).filter(|node| waits[*node as usize] == 0);
    let mut free: std::collections::BinaryHeap<std::cmp::Reverse<u32>> =
        free.map(std::cmp::Reverse).collect();
    let mut order = Vec::with_capacity(out.len());
    while let Some(std::cmp::Reverse(node)) = free.pop() {
        order.push(node);
        for target in &out[node as usize] {
            let waits = &mut waits[*target as usize];
            *waits -= 1;
            if *waits == 0 {
                free.push(std::cmp::Reverse(*target));
            }
        }
    }
    (order.len() == out.len()).then_some(order)
}
