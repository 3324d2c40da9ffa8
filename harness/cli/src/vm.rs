//! `keelhaul vm`: images, and machines that stay until they are taken down.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use keelhaul_cluster::local::{Entered, enter};
use keelhaul_cluster::vm::{
    Fleet, FleetError, Image, ImageError, ImageSpec, MEMORY_MIB_DEFAULT, Vm, VmError,
};

use crate::exit::{Exit, Failure};
use crate::{run, units};

/// The hidden command that holds machines.
pub const HOLD: &str = "vm-hold";
/// The Debian release of images unless another is named: one whose packages hold the stores that we know.
const SUITE: &str = "bookworm";

/// What can be done with virtual machines.
#[derive(Clone, Debug, Subcommand)]
pub enum VmCommand {
    /// What machines boot
    Image {
        /// What to do with images
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// Boot machines that stay; runs with --env vm use them
    Up(UpArgs),
    /// Log in to a machine, or run a command there
    Ssh {
        /// Which: n1, n2, …
        node: String,
        /// The command and its words
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show which machines are up
    List,
    /// End all machines, and remove their disks
    Down,
}

/// What can be done with images.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// Make a Debian image from packages, unless it is there
    Build {
        /// Packages to install beside those that machines need, separated by commas, e.g. etcd-server
        #[arg(long, value_name = "PACKAGES", value_delimiter = ',')]
        with: Vec<String>,
        /// The Debian release
        #[arg(long, default_value = SUITE)]
        suite: String,
        /// Make it again with today's packages
        #[arg(long)]
        again: bool,
    },
    /// Show the images that are there
    List,
}

/// Flags of `vm up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// How many, 1 to 9
    pub count: String,
    /// The memory of each, in MiB
    #[arg(long, value_name = "MIB")]
    pub memory: Option<String>,
    /// Packages that the image must have, separated by commas
    #[arg(long, value_name = "PACKAGES", value_delimiter = ',')]
    pub with: Vec<String>,
}

/// Carries it out.
pub fn vm(command: &VmCommand) -> Result<Exit, Failure> {
    match command {
        VmCommand::Image { command: ImageCommand::Build { with, suite, again } } => {
            build(suite, with, *again)
        }
        VmCommand::Image { command: ImageCommand::List } => Ok(images()),
        VmCommand::Up(args) => up(args),
        VmCommand::Ssh { node, command } => ssh(node, command),
        VmCommand::List => list(),
        VmCommand::Down => down(),
    }
}

/// What can go wrong with machines is the environment's, but for names that the user chose.
fn failure(error: FleetError) -> Failure {
    match error {
        FleetError::NoSuch { .. } => Failure::usage(error),
        other => Failure::new(Exit::Infrastructure, other),
    }
}

/// An image's trouble.
pub fn image_failure(error: ImageError) -> Failure {
    match error {
        ImageError::Name(_) => Failure::usage(error),
        other => Failure::new(Exit::Infrastructure, other),
    }
}

fn build(suite: &str, with: &[String], again: bool) -> Result<Exit, Failure> {
    let spec = ImageSpec::new(suite, with).map_err(image_failure)?;
    let image = match spec.find().filter(|_| !again) {
        Some(image) => image,
        None => spec.build().map_err(image_failure)?,
    };
    println!("{}", line(&image));
    Ok(Exit::Valid)
}

fn images() -> Exit {
    for image in Image::all() {
        println!("{}", line(&image));
    }
    Exit::Valid
}

fn line(image: &Image) -> String {
    let spec = image.spec().map(|spec| [vec![spec.suite], spec.with].concat().join(" "));
    format!("{}  {}  {} MiB", image.dir().display(), spec.unwrap_or_default(), image.bytes() >> 20)
}

fn up(args: &UpArgs) -> Result<Exit, Failure> {
    let count = units::number("vm up", &args.count, 1, 9)?;
    let memory = match &args.memory {
        Some(text) => units::number("--memory", text, 128, 1 << 20)?,
        None => MEMORY_MIB_DEFAULT.into(),
    };
    let machines = Vm {
        image: Image::having(&args.with).map_err(image_failure)?,
        count: u16::try_from(count).expect("it is at most nine"),
        memory_mib: u32::try_from(memory).expect("it is at most a million"),
    };
    machines.check().map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    Fleet::up(&machines, &mut |line| println!("{line}")).map_err(failure)?;
    println!("up until `keelhaul vm down`; log in with `keelhaul vm ssh n1`");
    Ok(Exit::Valid)
}

fn ssh(node: &str, words: &[String]) -> Result<Exit, Failure> {
    let fleet = Fleet::expect().map_err(failure)?;
    let mut ssh = fleet.ssh(node, words).map_err(failure)?;
    fleet.join().map_err(failure)?;
    let status = ssh.status().map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    // What the command meant by its code is its own business; ours tells whether it went well.
    Ok(if status.success() { Exit::Valid } else { Exit::Infrastructure })
}

fn list() -> Result<Exit, Failure> {
    let Some(fleet) = Fleet::find().map_err(failure)? else {
        println!("no machines are up");
        return Ok(Exit::Valid);
    };
    fleet.join().map_err(failure)?;
    for line in run::runtime()?.block_on(fleet.status()) {
        println!("{line}");
    }
    Ok(Exit::Valid)
}

fn down() -> Result<Exit, Failure> {
    match Fleet::find().map_err(failure)? {
        Some(fleet) => {
            let incomplete = |error| Failure::new(Exit::CleanupIncomplete, error);
            fleet.down().map_err(incomplete)?;
            println!("n1 to n{} are down", fleet.count);
        }
        None => println!("{}", clean()?.unwrap_or_else(|| "no machines are up".into())),
    }
    Ok(Exit::Valid)
}

/// Removes what machines left whose holder was killed; a sentence if there was anything.
pub fn clean() -> Result<Option<String>, Failure> {
    let found = Fleet::clean().map_err(|error| Failure::new(Exit::CleanupIncomplete, error))?;
    Ok(found.then(|| "the disks of machines that had ended were removed".into()))
}

/// The hidden command: `vm-hold COUNT MEMORY IMAGE`.
pub fn hold(words: &[String]) -> ExitCode {
    let result = match enter() {
        Ok(Entered::Inside) => hold_inside(words),
        Ok(Entered::Done(code)) => return ExitCode::from(code),
        Err(error) => Err(Failure::new(Exit::Infrastructure, error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

fn hold_inside(words: &[String]) -> Result<(), Failure> {
    let [count, memory, image] = words else {
        return Err(Failure::usage(format!("{HOLD} needs a count, a memory and an image")));
    };
    let machines = Vm {
        image: Image::at(image.into()),
        count: count.parse().map_err(|error| Failure::new(Exit::Usage, error))?,
        memory_mib: memory.parse().map_err(|error| Failure::new(Exit::Usage, error))?,
    };
    let held: Result<(), VmError> = run::runtime()?.block_on(Fleet::hold(&machines));
    held.map_err(|error| Failure::new(Exit::Infrastructure, error))
}

/// What a store needs to be on the image.
pub fn packages(store: &str) -> Vec<String> {
    let packages: &[&str] = match store {
        "etcd" => &["etcd-server"],
        "zookeeper" => &["default-jre-headless", "libzookeeper-java"],
        _ => &[],
    };
    packages.iter().map(ToString::to_string).collect()
}
