//! An agent process, and the stream to it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use keelhaul_agent::wire::{Answer, Call, decode, encode, frame, hello};
use keelhaul_agent::{Circumstances, Reply, Request, serve_with};

/// The file in an agent's directory that holds its token, if it is to have one.
const TOKEN: &str = "token";

/// When this process was started as an agent, or by one: its exit code, after serving.
pub fn as_agent() -> Option<i32> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (word, rest) = args.split_first()?;
    if word != "agent" {
        return None;
    }
    let [log_dir] = rest else {
        let done = keelhaul_agent::command(rest);
        return Some(done.map_or_else(
            |error| {
                eprintln!("{error}");
                1
            },
            |()| 0,
        ));
    };
    // On a host all processes of an agent bear a token.
    let token = std::fs::read_to_string(Path::new(log_dir).join(TOKEN)).ok();
    let mark = token.map(|token| ("KH_TOKEN".into(), token));
    let circumstances = Circumstances { log_dir: log_dir.into(), mark, ..Circumstances::default() };
    let served = serve_with(&circumstances, std::io::stdin().lock(), std::io::stdout());
    Some(i32::from(served.is_err()))
}

/// The agent process and the stream to it.
pub struct Agent {
    pub child: Child,
    pub input: ChildStdin,
    output: ChildStdout,
    id_next: u64,
}

impl Agent {
    /// Starts one, and exchanges hellos.
    pub fn start(log_dir: &Path) -> Self {
        let mut process = Process::new(std::env::current_exe().unwrap());
        process.args(["agent", log_dir.to_str().unwrap()]).env("KH_SECRET", "word");
        let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        input.write_all(&frame(&hello()).unwrap()).unwrap();
        assert_eq!(payload(&mut output), hello());
        Self { child, input, output, id_next: 0 }
    }

    /// Sends a request; answers its id.
    pub fn send(&mut self, request: Request) -> u64 {
        self.id_next += 1;
        let call = Call { id: self.id_next, request };
        self.input.write_all(&frame(&encode(&call).unwrap()).unwrap()).unwrap();
        self.id_next
    }

    /// The next answer.
    pub fn receive(&mut self) -> Answer {
        decode(&payload(&mut self.output)).unwrap()
    }

    /// Sends a request and waits for its answer; nothing else may be under way.
    pub fn ask(&mut self, request: Request) -> Reply {
        let id = self.send(request);
        let answer = self.receive();
        assert_eq!(answer.id, id);
        answer.reply
    }
}

fn payload(output: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 4];
    output.read_exact(&mut length).unwrap();
    let mut payload = vec![0; u32::from_le_bytes(length) as usize];
    output.read_exact(&mut payload).unwrap();
    payload
}
