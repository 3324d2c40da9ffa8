//! Faults of links between nodes: refused, flapping, slow, lossy.
//!
//! The links are those that a partition of the same shape would cut. What happens to them is said here; how it is done and seen, in
//! [`partition`], [`flap`] and [`shaping`].

use std::rc::Rc;

use keelhaul_cluster::{MILLION, Shaping};
use keelhaul_history::NodeId;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::cuts::Manner;
use crate::env::{Env, FaultError, Injected};
use crate::partition::{self, Direction, Shape};
use crate::target::weighted;
use crate::{flap, shaping};

/// Parts of a million in a percent.
const PERCENT: u32 = MILLION / 100;

/// What happens to packets, and to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// What happens.
    #[serde(flatten)]
    pub effect: Effect,
    /// Between whom.
    pub shape: Shape,
    /// In which direction.
    #[serde(default)]
    pub direction: Direction,
}

/// What happens to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Effect {
    /// They are answered by resets and errors.
    Reject,
    /// They meet silence now and then.
    Flap {
        /// After how many milliseconds that changes.
        period_ms: u64,
    },
    /// Each arrives so many milliseconds later, give or take.
    Delay {
        /// By how much.
        delay_ms: u32,
        /// Give or take.
        #[serde(default)]
        jitter_ms: u32,
    },
    /// Some are lost.
    Loss {
        /// How many of a hundred.
        percent: u32,
    },
    /// Some arrive twice.
    Duplicate {
        /// How many of a hundred.
        percent: u32,
    },
    /// Some overtake the others, which arrive later.
    Reorder {
        /// How many of a hundred.
        percent: u32,
        /// By how much the others are later.
        delay_ms: u32,
    },
    /// Some have a bit flipped.
    Corrupt {
        /// How many of a hundred.
        percent: u32,
    },
    /// Few go through.
    Bandwidth {
        /// Kilobits a second.
        kbit: u32,
    },
}

impl LinkSpec {
    /// A fault of this kind that leaves a majority alone, and the leader with it.
    pub(crate) fn survivable(kind: &str) -> Option<Self> {
        let (effect, _) = *Effect::choices(kind)?.first()?;
        Some(Self { effect, shape: Shape::Followers, direction: Direction::Both })
    }

    /// Any fault of this kind.
    pub(crate) fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        let choices = Effect::choices(kind)?;
        Some(Self {
            effect: weighted(&choices, rng),
            shape: match kind {
                "reject" | "flap" => weighted(&Shape::WEIGHTED, rng),
                _ => weighted(&Shape::WEIGHTED_USABLE, rng),
            },
            direction: weighted(&Direction::WEIGHTED, rng),
        })
    }
}

impl Effect {
    /// The name in [`KINDS`](crate::KINDS).
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Flap { .. } => "flap",
            Self::Delay { .. } => "delay",
            Self::Loss { .. } => "loss",
            Self::Duplicate { .. } => "duplicate",
            Self::Reorder { .. } => "reorder",
            Self::Corrupt { .. } => "corrupt",
            Self::Bandwidth { .. } => "bandwidth",
        }
    }

    /// What a fault of this kind may do, with weights, the middling first: from what a busy network does to what makes a store doubt
    /// its peers.
    pub(crate) fn choices(kind: &str) -> Option<Vec<(Self, u32)>> {
        let delay = |delay_ms, jitter_ms| Self::Delay { delay_ms, jitter_ms };
        let reorder = |percent, delay_ms| Self::Reorder { percent, delay_ms };
        let choices = match kind {
            "reject" => vec![(Self::Reject, 1)],
            // Shorter than an election takes, and longer.
            "flap" => [(500, 2), (200, 1), (1_000, 2)]
                .map(|(period_ms, weight)| (Self::Flap { period_ms }, weight))
                .to_vec(),
            "delay" => vec![(delay(50, 10), 3), (delay(10, 0), 1), (delay(200, 100), 3)],
            "loss" => vec![
                (Self::Loss { percent: 20 }, 3),
                (Self::Loss { percent: 5 }, 1),
                (Self::Loss { percent: 50 }, 2),
            ],
            "duplicate" => {
                vec![(Self::Duplicate { percent: 25 }, 2), (Self::Duplicate { percent: 75 }, 1)]
            }
            "reorder" => vec![(reorder(25, 20), 2), (reorder(50, 100), 1)],
            "corrupt" => {
                vec![(Self::Corrupt { percent: 10 }, 2), (Self::Corrupt { percent: 30 }, 1)]
            }
            "bandwidth" => [(1_000, 2), (250, 1), (5_000, 1)]
                .map(|(kbit, weight)| (Self::Bandwidth { kbit }, weight))
                .to_vec(),
            _ => return None,
        };
        Some(choices)
    }

    /// What it is to the agents that let packets through.
    #[must_use]
    pub fn shaping(self) -> Shaping {
        let none = Shaping::default();
        match self {
            Self::Reject | Self::Flap { .. } => none,
            Self::Delay { delay_ms, jitter_ms } => {
                Shaping { delay_us: delay_ms * 1_000, jitter_us: jitter_ms * 1_000, ..none }
            }
            Self::Loss { percent } => Shaping { loss_ppm: percent * PERCENT, ..none },
            Self::Duplicate { percent } => Shaping { duplicate_ppm: percent * PERCENT, ..none },
            Self::Reorder { percent, delay_ms } => {
                Shaping { reorder_ppm: percent * PERCENT, delay_us: delay_ms * 1_000, ..none }
            }
            Self::Corrupt { percent } => Shaping { corrupt_ppm: percent * PERCENT, ..none },
            Self::Bandwidth { kbit } => Shaping { rate_kbit: kbit, ..none },
        }
    }

    /// For people.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            Self::Reject => "reject".into(),
            Self::Flap { period_ms } => format!("flap, every {period_ms} ms"),
            Self::Delay { delay_ms, jitter_ms: 0 } => format!("{delay_ms} ms later"),
            Self::Delay { delay_ms, jitter_ms } => format!("{delay_ms} ± {jitter_ms} ms later"),
            Self::Loss { percent } => format!("{percent} % lost"),
            Self::Duplicate { percent } => format!("{percent} % twice"),
            Self::Reorder { percent, delay_ms } => {
                format!("{percent} % overtake the others by {delay_ms} ms")
            }
            Self::Corrupt { percent } => format!("{percent} % damaged"),
            Self::Bandwidth { kbit } => format!("{kbit} kbit/s"),
        }
    }
}

/// Lets the links be so.
pub(crate) async fn inject(
    env: &Rc<Env>,
    fault: u64,
    spec: LinkSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let LinkSpec { effect, shape, direction } = spec;
    let injected = match effect {
        Effect::Reject => {
            partition::inject(env, fault, shape, direction, Manner::Refuse, order).await?
        }
        Effect::Flap { period_ms } => {
            let injected =
                partition::inject(env, fault, shape, direction, Manner::Flap, order).await?;
            flap::begin(env, fault, period_ms);
            injected
        }
        _ => shaping::inject(env, fault, spec, order).await?,
    };
    Ok(Injected { label: format!("{}: {}", effect.in_words(), injected.label), ..injected })
}

/// Packets must be seen to meet it.
pub(crate) async fn verify(env: &Env, fault: u64, effect: Effect) -> Result<(), FaultError> {
    match effect {
        Effect::Reject => partition::verify_refused(env, fault).await,
        Effect::Flap { period_ms } => flap::verify(env, fault, period_ms).await,
        _ => shaping::verify(env, fault, effect).await,
    }
}

/// Lets the links be, but for what other faults do.
pub(crate) async fn heal(env: &Env, fault: u64, effect: Effect) -> Result<(), FaultError> {
    match effect {
        Effect::Reject => partition::heal(env, fault).await,
        Effect::Flap { .. } => flap::heal(env, fault).await,
        _ => shaping::heal(env, fault).await,
    }
}

/// Packets must be seen to meet it no more.
pub(crate) async fn verify_healed(env: &Env, fault: u64, effect: Effect) -> Result<(), FaultError> {
    match effect {
        Effect::Reject | Effect::Flap { .. } => partition::verify_healed(env).await,
        _ => shaping::verify_healed(env, fault, effect).await,
    }
}
