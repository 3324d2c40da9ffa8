//! The process around a protocol: sockets, log file, clock.
