//! One file a fault: inject, verify, heal, verify.
