//! The process that carries faults out.

use std::rc::Rc;
use std::time::Duration;

use keelhaul_engine::{Client, Invocation, LocalFuture, Outcome};
use keelhaul_history::{Process, Value};
use tokio::time::Instant;

use crate::cuts::Manner;
use crate::env::{Env, FaultError};
use crate::schedule::{Schedule, ScheduledFault, Spec};
use crate::{
    clock, damage, disk, group, is_gradual, kill, links, machine, member, partition, pause, power,
    process,
};

/// How long the store may take to become well once everything is healed.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at whether it is.
const RECOVERY_POLL: Duration = Duration::from_millis(200);

const NOT_LIVE: &str = "requests of the kind membership are made in virtual time only";

/// Performs the operations of the process `nemesis`. An operation ends ok if it did what it says, fail if it was
/// seen not to (`verify` of a fault that is not in effect), and info if nobody knows.
pub struct Nemesis {
    env: Rc<Env>,
    schedule: Rc<Schedule>,
}

impl Nemesis {
    /// A nemesis for the faults of one schedule.
    #[must_use]
    pub fn new(env: Rc<Env>, schedule: Rc<Schedule>) -> Self {
        Self { env, schedule }
    }

    async fn perform(&self, op: &Invocation) -> Outcome {
        match op.f.as_str() {
            "leader" => self.leader().await,
            "await-healthy" => self.await_healthy().await,
            step => match self.fault_of(op) {
                Some(fault) => self.fault_step(step, fault).await,
                None => Outcome::Fail("the schedule has no such fault".into()),
            },
        }
    }

    fn fault_of(&self, op: &Invocation) -> Option<&ScheduledFault> {
        let id = op.value.get("fault")?.as_int()?;
        self.schedule.faults.iter().find(|fault| i64::try_from(fault.id) == Ok(id))
    }

    async fn fault_step(&self, step: &str, fault: &ScheduledFault) -> Outcome {
        let result = match step {
            "inject" => return self.inject(fault).await,
            "verify" => self.verify(fault).await,
            "heal" => self.heal(fault).await,
            "verify-healed" => self.verify_healed(fault).await,
            other => {
                return Outcome::Fail(format!("the nemesis knows no operation {other}").into());
            }
        };
        match result {
            Ok(()) => Outcome::Ok(reference(fault)),
            Err(error @ (FaultError::NotInEffect(_) | FaultError::NotHealed(_))) => {
                Outcome::Fail(error.to_string().into())
            }
            Err(error) => Outcome::Info(error.to_string().into()),
        }
    }

    async fn inject(&self, fault: &ScheduledFault) -> Outcome {
        let (env, order) = (&self.env, fault.order());
        let injected = match &fault.spec {
            Spec::Partition { shape, direction } => {
                partition::inject(env, fault.id, *shape, *direction, Manner::Drop, &order).await
            }
            Spec::Kill { target } => kill::inject(env, fault.id, *target, &order).await,
            Spec::Pause { target } => pause::inject(env, fault.id, *target, &order).await,
            Spec::Power { target, torn } => {
                power::inject(env, fault.id, *target, *torn, &order).await
            }
            Spec::PowerStall { target, stall_ms } => {
                let stall = Duration::from_millis(*stall_ms);
                power::inject_stalled(env, fault.id, *target, stall, &order).await
            }
            Spec::DiskSlow { .. }
            | Spec::DiskError { .. }
            | Spec::DiskFull { .. }
            | Spec::Plight(_) => {
                let (target, trouble) = fault.spec.trouble().expect("it is a fault of a disk");
                disk::inject(env, fault.id, target, trouble, &order).await
            }
            Spec::Damage(spec) => damage::inject(env, fault.id, *spec, &order).await,
            Spec::Process(spec) => process::inject(env, fault.id, *spec, &order).await,
            Spec::Links(spec) => links::inject(env, fault.id, *spec, &order).await,
            Spec::Membership { .. } => return Outcome::Fail(NOT_LIVE.into()),
            Spec::Clock(spec) => clock::inject(env, fault.id, *spec, &order).await,
            Spec::Member(spec) => member::inject(env, fault.id, *spec, &order).await,
            Spec::Group(spec) => group::inject(env, fault.id, *spec).await,
            Spec::Machine(spec) => machine::inject(env, fault.id, *spec, &order).await,
        };
        match injected {
            Ok(injected) => {
                let nodes: Vec<_> = injected.nodes.iter().map(ToString::to_string).collect();
                Outcome::Ok(Value::map([
                    ("fault", Value::Int(fault.id.cast_signed())),
                    ("kind", fault.spec.kind().into()),
                    ("label", injected.label.into()),
                    ("nodes", nodes.into()),
                    ("gradual", is_gradual(fault.spec.kind()).into()),
                ]))
            }
            Err(error @ FaultError::NothingToStrike) => Outcome::Fail(error.to_string().into()),
            Err(error) => Outcome::Info(error.to_string().into()),
        }
    }

    async fn verify(&self, fault: &ScheduledFault) -> Result<(), FaultError> {
        match &fault.spec {
            Spec::Partition { .. } => partition::verify(&self.env, fault.id).await,
            Spec::Kill { .. } => kill::verify(&self.env, fault.id).await,
            Spec::Pause { .. } => pause::verify(&self.env, fault.id).await,
            Spec::Power { .. } => power::verify(&self.env, fault.id).await,
            Spec::PowerStall { .. } => power::verify_disk(&self.env, fault.id).await,
            Spec::DiskSlow { .. }
            | Spec::DiskError { .. }
            | Spec::DiskFull { .. }
            | Spec::Plight(_) => {
                let (_, trouble) = fault.spec.trouble().expect("it is a fault of a disk");
                disk::verify(&self.env, fault.id, trouble).await
            }
            Spec::Damage(spec) => damage::verify(&self.env, fault.id, spec.damage).await,
            Spec::Process(spec) => process::verify(&self.env, fault.id, *spec).await,
            Spec::Links(spec) => links::verify(&self.env, fault.id, spec.effect).await,
            Spec::Membership { .. } => Err(FaultError::NotInEffect(NOT_LIVE.into())),
            Spec::Clock(spec) => clock::verify(&self.env, fault.id, *spec).await,
            Spec::Member(_) => member::verify(&self.env, fault.id).await,
            Spec::Group(_) => group::verify(&self.env, fault.id).await,
            Spec::Machine(spec) => machine::verify(&self.env, fault.id, spec.machine).await,
        }
    }

    async fn heal(&self, fault: &ScheduledFault) -> Result<(), FaultError> {
        match &fault.spec {
            Spec::Partition { .. } => partition::heal(&self.env, fault.id).await,
            Spec::Kill { .. } | Spec::PowerStall { .. } => kill::heal(&self.env, fault.id).await,
            Spec::Pause { .. } => pause::heal(&self.env, fault.id).await,
            Spec::Power { .. } => power::heal(&self.env, fault.id).await,
            Spec::DiskSlow { .. }
            | Spec::DiskError { .. }
            | Spec::DiskFull { .. }
            | Spec::Plight(_) => {
                let (_, trouble) = fault.spec.trouble().expect("it is a fault of a disk");
                disk::heal(&self.env, fault.id, trouble).await
            }
            Spec::Damage(_) => damage::heal(&self.env, fault.id).await,
            Spec::Process(spec) => process::heal(&self.env, fault.id, *spec).await,
            Spec::Links(spec) => links::heal(&self.env, fault.id, spec.effect).await,
            Spec::Membership { .. } => Ok(()),
            Spec::Clock(spec) => clock::heal(&self.env, fault.id, *spec).await,
            Spec::Member(_) => member::heal(&self.env, fault.id).await,
            Spec::Group(_) => group::heal(&self.env, fault.id).await,
            Spec::Machine(spec) => machine::heal(&self.env, fault.id, spec.machine).await,
        }
    }

    async fn verify_healed(&self, fault: &ScheduledFault) -> Result<(), FaultError> {
        match &fault.spec {
            Spec::Partition { .. } => partition::verify_healed(&self.env).await,
            Spec::Kill { .. } | Spec::PowerStall { .. } => {
                kill::verify_healed(&self.env, fault.id).await
            }
            Spec::Pause { .. } => pause::verify_healed(&self.env, fault.id).await,
            Spec::Power { .. } => power::verify_healed(&self.env, fault.id).await,
            Spec::DiskSlow { .. }
            | Spec::DiskError { .. }
            | Spec::DiskFull { .. }
            | Spec::Plight(_) => disk::verify_healed(&self.env, fault.id).await,
            Spec::Damage(_) => damage::verify_healed(&self.env, fault.id).await,
            Spec::Process(spec) => process::verify_healed(&self.env, fault.id, *spec).await,
            Spec::Links(spec) => links::verify_healed(&self.env, fault.id, spec.effect).await,
            Spec::Membership { .. } => Ok(()),
            Spec::Clock(spec) => clock::verify_healed(&self.env, fault.id, *spec).await,
            Spec::Member(_) => member::verify_healed(&self.env, fault.id).await,
            Spec::Group(_) => group::verify_healed(&self.env, fault.id).await,
            Spec::Machine(spec) => machine::verify_healed(&self.env, fault.id, spec.machine).await,
        }
    }

    async fn leader(&self) -> Outcome {
        let seen = self.env.store.leadership(self.env.cluster.nodes()).await;
        Outcome::Ok(Value::map([
            ("leader", seen.leader.map(|node| node.to_string()).into()),
            ("term", Value::Int(seen.term.cast_signed())),
        ]))
    }

    async fn await_healthy(&self) -> Outcome {
        let started = Instant::now();
        loop {
            match self.well().await {
                Ok(()) => return Outcome::Ok(Value::Null),
                Err(error) if started.elapsed() > self.env.patience(RECOVERY_LIMIT) => {
                    return Outcome::Fail(error.to_string().into());
                }
                Err(_) => tokio::time::sleep(RECOVERY_POLL).await,
            }
        }
    }

    /// Whether all that could not be undone before is, and the store serves.
    async fn well(&self) -> Result<(), FaultError> {
        group::undo_rest(&self.env).await?;
        Ok(self.env.store.ready(self.env.cluster.nodes()).await?)
    }
}

/// The value that names a fault in the history.
pub fn reference(fault: &ScheduledFault) -> Value {
    Value::map([("fault", Value::Int(fault.id.cast_signed())), ("kind", fault.spec.kind().into())])
}

impl Client for Nemesis {
    fn invoke<'a>(&'a mut self, _process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(self.perform(op))
    }
}
