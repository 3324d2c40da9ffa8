//! Workloads with a promise of their own: what is specific to a domain rather than a consistency model.

pub(crate) mod causal_reverse;
pub(crate) mod long_fork;

use crate::workload::Workload;

/// The workloads of this module.
pub(crate) const WORKLOADS: &[Workload] = &[long_fork::WORKLOAD, causal_reverse::WORKLOAD];
