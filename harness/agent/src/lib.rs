//! The small program that runs on a node: processes, files, network cuts.
