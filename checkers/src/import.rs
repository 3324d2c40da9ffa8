//! Register histories from other tools' logs.

pub mod porcupine;
