//! Real TCP traffic between nodes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Any port of a node's own.
pub const PORT: u16 = 7000;
/// Another.
pub const ECHO_PORT: u16 = 7001;
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

/// Sends back what comes, every byte of it, for ever.
pub fn echo() -> u8 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, ECHO_PORT)).unwrap();
    println!("listening");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let mut answers = stream.try_clone().unwrap();
            answers.set_nodelay(true).unwrap();
            // A client that goes away is none of the server's business.
            let _ = std::io::copy(&mut &stream, &mut answers);
        });
    }
    0
}

fn connect(address: &str) -> TcpStream {
    let address: SocketAddr = format!("{address}:{ECHO_PORT}").parse().unwrap();
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Prints how long a byte and its echo take, in microseconds: the least of many, since a busy machine adds to it and never takes away.
pub fn times(address: &str) -> u8 {
    let mut stream = connect(address);
    let times = (0..15).map(|_| {
        let begun = Instant::now();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        begun.elapsed().as_micros()
    });
    println!("{}", times.min().unwrap());
    0
}

/// Prints how long so many bytes take to come back, in microseconds.
pub fn pour(address: &str, bytes: &str) -> u8 {
    let bytes: usize = bytes.parse().unwrap();
    let stream = connect(address);
    let mut back = stream.try_clone().unwrap();
    let begun = Instant::now();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let read = back.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended, {left} bytes to go");
            assert!(
                buffer[..read].iter().all(|byte| *byte == b'p'),
                "what comes back is what was sent"
            );
            left -= read;
        }
    });
    (&stream).write_all(&vec![b'p'; bytes]).unwrap();
    reader.join().unwrap();
    println!("{}", begun.elapsed().as_micros());
    0
}
