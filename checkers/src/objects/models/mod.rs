//! The objects that are known by name, a file each.

pub mod bag;
pub mod container;
pub mod counter;
pub mod counts;
pub mod fenced;
pub mod fifo;
pub mod kv;
mod leaving;
pub mod multi_register;
pub mod mutex;
pub mod priority;
pub mod register;
pub mod set;
pub mod stack;
mod texts;
mod texts_ahead;
