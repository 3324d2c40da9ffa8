//! Nodes that are virtual machines on this machine: each with a kernel, a clock, a memory and a disk of its own.
//!
//! An [`Image`] is made once from Debian's packages; every machine has a copy-on-write disk over it ([`qcow2`]) and is a QEMU process
//! ([`qemu`]), driven over QMP ([`qmp`]). Which accelerator works is tried by booting ([`probe`]). Machines live in the same namespaces
//! as local nodes ([`crate::local::enter`]), on a bridge there: nothing of the host's network is touched, and when the run ends, however, the kernel
//! ends the QEMU processes with it. Machines that stay until they are taken down have a process of ours that holds such namespaces
//! ([`fleet`]); a run joins these.
//!
//! Once a machine answers it is a host like others: [`crate::ssh`] brings the agent there. What only a machine has is a power switch
//! ([`crate::Node::power_off`]): the processor is stopped and everything is reset, so that whatever the guest had not handed to its disk is gone. What it
//! had handed over stays, synced or not: a disk with a write cache that survives. The same switch resets a machine while it runs, and stops
//! it as it is ([`crate::Node::stop_machine`]).
//!
//! Limits: x86-64; one processor a machine; machines share this machine's disk and cores; time goes on in the host while a machine is off.

mod fleet;
mod image;
mod network;
mod probe;
mod qcow2;
mod qemu;
mod qmp;
mod start;

pub use fleet::{Fleet, FleetError};
pub use image::{Image, ImageError, ImageSpec};
pub use probe::{Accelerator, findings};
pub use start::{MEMORY_MIB_DEFAULT, Vm, VmError};
