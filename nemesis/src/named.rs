//! Things by the names that they have in a plan.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

/// What is written so in a plan, if anything is.
pub(crate) fn named<'de, T: Deserialize<'de>>(name: &'de str) -> Option<T> {
    let name: StrDeserializer<'de, Error> = name.into_deserializer();
    T::deserialize(name).ok()
}
