//! Where nodes live, and a handle on each of them.
