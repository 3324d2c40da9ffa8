//! Counters, locks, sets, several registers, keys with texts.

use std::sync::Arc;

use keelhaul_history::Value;

use super::*;
use crate::objects::models::counter::{Counter, CounterOp};
use crate::objects::models::fenced::{Fenced, FencedOp};
use crate::objects::models::kv::{Kv, KvOp, Words};
use crate::objects::models::multi_register::{Access, MultiRegister, NULL};
use crate::objects::models::mutex::{Mutex, MutexOp};
use crate::objects::models::set::{GrowSet, SetOp};
use crate::objects::vocabulary::Vocabulary;

impl Player for Counter {
    fn new(_rng: &mut ChaCha8Rng) -> Self {
        Self
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, _fresh: &mut u32) -> CounterOp {
        match rng.random_range(0..2) {
            0 => CounterOp::Read(None),
            _ => CounterOp::Add(rng.random_range(-1..=2)),
        }
    }

    fn resolve(&self, state: &i128, op: &CounterOp, _rng: &mut ChaCha8Rng) -> Option<CounterOp> {
        match op {
            CounterOp::Read(_) => Some(CounterOp::Read(i64::try_from(*state).ok())),
            CounterOp::Add(_) => Some(*op),
        }
    }

    fn guess(&self, op: &CounterOp, rng: &mut ChaCha8Rng, _fresh: u32) -> CounterOp {
        match op {
            CounterOp::Read(_) => CounterOp::Read(Some(rng.random_range(-1..=4))),
            CounterOp::Add(_) => *op,
        }
    }
}

impl Player for Mutex {
    fn new(_rng: &mut ChaCha8Rng) -> Self {
        Self
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, _fresh: &mut u32) -> MutexOp {
        if rng.random_range(0..2) == 0 { MutexOp::Acquire } else { MutexOp::Release }
    }

    fn resolve(&self, held: &bool, op: &MutexOp, _rng: &mut ChaCha8Rng) -> Option<MutexOp> {
        (self.step(held, op) != Next::Impossible).then_some(*op)
    }

    fn guess(&self, op: &MutexOp, _rng: &mut ChaCha8Rng, _fresh: u32) -> MutexOp {
        *op
    }
}

impl Player for Fenced {
    fn new(_rng: &mut ChaCha8Rng) -> Self {
        Self
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, _fresh: &mut u32) -> FencedOp {
        if rng.random_range(0..2) == 0 { FencedOp::Acquire(None) } else { FencedOp::Release }
    }

    fn resolve(
        &self,
        state: &Self::State,
        op: &FencedOp,
        rng: &mut ChaCha8Rng,
    ) -> Option<FencedOp> {
        let tokens = (-1..40).filter(|token| {
            let op = FencedOp::Acquire(Some(*token));
            self.step(state, &op) != Next::Impossible
        });
        match op {
            // One of the next tokens, whichever they are.
            FencedOp::Acquire(_) => {
                let token = tokens.take(1 + rng.random_range(0..2)).last()?;
                Some(FencedOp::Acquire(Some(token)))
            }
            FencedOp::Release => (self.step(state, op) != Next::Impossible).then_some(*op),
        }
    }

    fn guess(&self, op: &FencedOp, rng: &mut ChaCha8Rng, _fresh: u32) -> FencedOp {
        match op {
            FencedOp::Acquire(_) => FencedOp::Acquire(Some(rng.random_range(0..5))),
            FencedOp::Release => *op,
        }
    }
}

impl Player for GrowSet {
    fn new(_rng: &mut ChaCha8Rng) -> Self {
        Self::new((0..16).map(Value::Int).collect())
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, fresh: &mut u32) -> SetOp {
        if rng.random_range(0..2) == 0 {
            return SetOp::Read(None);
        }
        // Some elements are added again.
        *fresh += u32::from(rng.random_range(0..5) > 0);
        SetOp::Add(*fresh)
    }

    fn resolve(&self, state: &Vec<u32>, op: &SetOp, _rng: &mut ChaCha8Rng) -> Option<SetOp> {
        match op {
            SetOp::Read(_) => Some(SetOp::Read(Some(state[..].into()))),
            SetOp::Add(_) => Some(op.clone()),
        }
    }

    fn guess(&self, op: &SetOp, rng: &mut ChaCha8Rng, fresh: u32) -> SetOp {
        match op {
            SetOp::Read(_) => {
                let all = (0..=fresh.min(15)).filter(|_| rng.random_range(0..3) > 0);
                SetOp::Read(Some(all.collect::<Vec<u32>>().into()))
            }
            SetOp::Add(_) => op.clone(),
        }
    }
}

impl Player for MultiRegister {
    fn new(_rng: &mut ChaCha8Rng) -> Self {
        let values = std::iter::once(Value::Null).chain((1..4).map(Value::Int));
        Self::new((0..4).map(Value::Int).collect(), values.collect())
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, _fresh: &mut u32) -> Arc<[Access]> {
        let accesses = rng.random_range(1..3);
        let begin = rng.random_range(0..4);
        // Neighbours only, so that some registers are never touched together.
        let access = |at: u32| {
            let key = (begin & !1) | (begin + at) & 1;
            if rng.random_range(0..2) == 0 {
                Access::Read(key, None)
            } else {
                Access::Write(key, rng.random_range(0..3))
            }
        };
        (0..accesses).map(access).collect::<Vec<Access>>().into()
    }

    fn resolve(
        &self,
        state: &Self::State,
        op: &Self::Op,
        _rng: &mut ChaCha8Rng,
    ) -> Option<Self::Op> {
        let mut held = [NULL; 4];
        for (key, value) in state {
            held[*key as usize] = *value;
        }
        let resolved = op.iter().map(|access| match *access {
            Access::Read(key, _) => Access::Read(key, Some(held[key as usize])),
            Access::Write(key, value) => {
                held[key as usize] = value;
                Access::Write(key, value)
            }
        });
        Some(resolved.collect::<Vec<Access>>().into())
    }

    fn guess(&self, op: &Self::Op, rng: &mut ChaCha8Rng, _fresh: u32) -> Self::Op {
        let guessed = op.iter().map(|access| match *access {
            Access::Read(key, _) => Access::Read(key, Some(rng.random_range(0..3))),
            write @ Access::Write(..) => write,
        });
        guessed.collect::<Vec<Access>>().into()
    }
}

/// A key whose state is simply its text; to make histories, and to see that places in a tree do as well.
struct PlainText(Vec<String>);

impl Model for PlainText {
    type State = String;
    type Op = KvOp;

    fn initial(&self) -> String {
        String::new()
    }
    fn step(&self, state: &String, op: &KvOp) -> Next<String> {
        let text = |id: u32| self.0[id as usize].clone();
        match *op {
            KvOp::Put(id) => Next::To(text(id)),
            KvOp::Get(found) => Next::same_if(found.is_none_or(|found| text(found) == *state)),
            KvOp::Append(id) => Next::To(state.clone() + &text(id)),
        }
    }
    fn forget(&self, op: &KvOp) -> KvOp {
        match op {
            KvOp::Get(_) => KvOp::Get(None),
            _ => *op,
        }
    }
    fn is_pure(&self, op: &KvOp) -> bool {
        matches!(op, KvOp::Get(_))
    }
    fn describe(&self, op: &KvOp) -> String {
        format!("{op:?}")
    }
}

/// All texts of a few letters, by length.
const TEXTS: usize = 127;

impl Player for PlainText {
    fn new(_rng: &mut ChaCha8Rng) -> Self {
        let mut texts = vec![String::new()];
        for at in 0.. {
            if texts.len() == TEXTS {
                break;
            }
            for letter in ["a", "b"] {
                texts.push(format!("{}{letter}", texts[at]));
            }
        }
        Self(texts)
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, _fresh: &mut u32) -> KvOp {
        match rng.random_range(0..8) {
            0 => KvOp::Put(rng.random_range(0..4)),
            1..4 => KvOp::Append(rng.random_range(0..4)),
            _ => KvOp::Get(None),
        }
    }

    fn resolve(&self, state: &String, op: &KvOp, _rng: &mut ChaCha8Rng) -> Option<KvOp> {
        match op {
            KvOp::Get(_) => {
                let found = self.0.iter().position(|text| text == state)?;
                Some(KvOp::Get(Some(found as u32)))
            }
            _ => Some(*op),
        }
    }

    fn guess(&self, op: &KvOp, rng: &mut ChaCha8Rng, _fresh: u32) -> KvOp {
        match op {
            KvOp::Get(_) => KvOp::Get(Some(rng.random_range(0..9))),
            _ => *op,
        }
    }
}

/// As [`play`], but the object that is tested comes of the history, and the oracle knows plain texts only.
#[test]
fn texts_agree_with_the_oracle() {
    let mut seen = [0_u32; 2];
    for seed in 900_000..900_000 + 2 * SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let plain = PlainText::new(&mut rng);
        let (ops, _) = history(&plain, &mut rng);
        let legal = oracle(&plain, &ops);
        let values = plain.0.iter().map(|text| Value::from(text.as_str())).collect();
        let kv = Kv::new(values, ops.iter().map(|operation| &operation.op));
        let expected = if legal { Answer::Legal } else { Answer::Illegal };
        for record in [false, true] {
            let (answer, reached) = Problem::new(&kv, &ops).search(record, &mut Free);
            assert_eq!(answer, expected, "seed {seed}: {ops:?}");
            if record {
                replay(&plain, &ops, &reached.order, legal, seed);
            }
        }
        seen[usize::from(legal)] += 1;
        let object = Object { key: None, model: kv, ops };
        let check = Words::answer(vec![object], &["linearizable"], &Unlimited).checks.remove(0);
        assert_eq!(check.verdict == Verdict::Valid, legal, "seed {seed}: {check:?}");
    }
    assert!(seen.iter().all(|n| *n > 1_000), "both answers must be common: {seen:?}");
}

fn test<P: Player>(seeds: Range<u64>) -> Seen {
    let seen = play::<P>(seeds);
    assert!(seen.legal > 400 && seen.illegal > 400, "both answers must be common: {seen:?}");
    seen
}

const SEEDS: u64 = 3_000;

#[test]
fn counters_agree_with_the_oracle() {
    test::<Counter>(400_000..400_000 + SEEDS);
}

#[test]
fn locks_agree_with_the_oracle() {
    test::<Mutex>(500_000..500_000 + SEEDS);
}

#[test]
fn fenced_locks_agree_with_the_oracle() {
    test::<Fenced>(600_000..600_000 + SEEDS);
}

#[test]
fn sets_are_always_decided_and_agree_with_the_oracle() {
    let seen = test::<GrowSet>(700_000..700_000 + 2 * SEEDS);
    assert_eq!(seen.shortcut_legal, seen.legal);
    assert_eq!(seen.shortcut_illegal, seen.illegal);
}

#[test]
fn several_registers_agree_with_the_oracle() {
    test::<MultiRegister>(800_000..800_000 + SEEDS);
}
