//! The least that a storage process can be: it listens, and ends when it is told to. What a benchmark of
//! everything around it restarts.

use std::{io, net::TcpListener};

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    for connection in listener.incoming() {
        drop(connection);
    }
    Ok(())
}
