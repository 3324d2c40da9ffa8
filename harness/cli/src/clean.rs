//! `keelhaul clean`: what a run left on hosts, when everything of it was killed; and what machines left that `vm up` had started.

use keelhaul_cluster::ssh::{Ssh, SshError};

use crate::args::HostsArgs;
use crate::exit::{Exit, Failure};
use crate::plan::inventory;
use crate::{run, vm};

/// Cleans every host and says what was found there.
pub fn clean(args: &HostsArgs) -> Result<Exit, Failure> {
    if args.nodes.is_none() && args.nodes_file.is_none() {
        println!("{}", vm::clean()?.unwrap_or_else(|| "nothing was left behind".into()));
        return Ok(Exit::Valid);
    }
    let hosts = inventory(args.nodes.as_deref(), args.nodes_file.as_deref())?;
    let cleaned =
        run::runtime()?.block_on(Ssh::clean(&hosts, args.transport)).map_err(|error| {
            let exit = match error {
                SshError::Clean { .. } => Exit::CleanupIncomplete,
                _ => Exit::Infrastructure,
            };
            Failure::new(exit, error)
        })?;
    for sentence in cleaned {
        println!("{sentence}");
    }
    Ok(Exit::Valid)
}
