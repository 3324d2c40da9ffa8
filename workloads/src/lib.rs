//! One file a workload: generator, final reads, checker.
