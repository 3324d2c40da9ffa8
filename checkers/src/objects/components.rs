//! Parts of an object that are independent of each other.

use crate::columns::WordMap;

use super::model::{Model, Operation};

/// The rows of each independent part, in order of their first rows; one list if the object cannot be split.
pub fn components<M: Model>(model: &M, ops: &[Operation<M::Op>]) -> Vec<Vec<u32>> {
    let mut forest = Forest(Vec::new());
    let mut nodes: WordMap<u64, u32> = WordMap::default();
    let mut touched = Vec::new();
    let mut node_of_row = Vec::with_capacity(ops.len());
    for operation in ops {
        touched.clear();
        model.parts(&operation.op, &mut touched);
        let mut own = None;
        for part in &touched {
            let node = *nodes.entry(*part).or_insert_with(|| forest.grow());
            match own {
                None => own = Some(node),
                Some(own) => forest.join(own, node),
            }
        }
        // What is about no part at all is independent of everything.
        node_of_row.push(own.unwrap_or_else(|| forest.grow()));
    }
    let mut places: WordMap<u32, usize> = WordMap::default();
    let mut lists: Vec<Vec<u32>> = Vec::new();
    for (row, node) in node_of_row.into_iter().enumerate() {
        let next = lists.len();
        let place = *places.entry(forest.root(node)).or_insert(next);
        if place == next {
            lists.push(Vec::new());
        }
        lists[place].push(row as u32);
    }
    lists
}

/// Union-find.
struct Forest(Vec<u32>);

impl Forest {
    fn grow(&mut self) -> u32 {
        let node = self.0.len() as u32;
        self.0.push(node);
        node
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.0[node as usize] != node {
            let above = self.0[self.0[node as usize] as usize];
            self.0[node as usize] = above;
            node = above;
        }
        node
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[b as usize] = a;
    }
}
