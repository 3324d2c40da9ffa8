//! Real TCP traffic between nodes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Any port of a node's own.
pub const PORT: u16 = 7000;
const PATIENCE: Duration = Duration::from_millis(700);

/// Answers every connection with a word, for ever.
pub fn serve() -> u8 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        // A client that has given up meanwhile is none of the server's business.
        let _ = stream.and_then(|mut stream| stream.write_all(b"hello"));
    }
    0
}

/// Ends with 0 when the word came back.
pub fn ask(address: &str) -> u8 {
    let address: SocketAddr = format!("{address}:{PORT}").parse().unwrap();
    let answer = TcpStream::connect_timeout(&address, PATIENCE).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    match answer {
        Ok(text) if text == "hello" => 0,
        Ok(_) => 2,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}
