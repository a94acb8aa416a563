//! A storage process that does as the end of its own executable says: it answers HTTP, after some time or at once, for as
//! long as it is told. What tests change by publishing a release; see `evenkeel_tests::systems::trivial`.
//!
//! ```text
//! <the program> … conduct: answer_after_ms=20 sicken_after_ms=1500
//! ```

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// What stands before the conduct.
const MARK: &str = "conduct:";

/// No conduct is longer.
const CONDUCT_BYTES_MAX: u64 = 200;

/// How long somebody may take to say what they want.
const REQUEST_WITHIN: Duration = Duration::from_secs(1);

/// How often it is looked whether it is time to sicken.
const LOOK_EVERY: Duration = Duration::from_millis(5);

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let conduct = conduct()?;
    let told = |name: &str| {
        let word = conduct
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name));
        word.and_then(|number| number.strip_prefix('=')?.parse().ok())
            .map(Duration::from_millis)
    };
    let answer_after = told("answer_after_ms").unwrap_or_default();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    if let Some(sicken_after) = told("sicken_after_ms") {
        listener.set_nonblocking(true)?;
        let sick_at = Instant::now() + sicken_after;
        while Instant::now() < sick_at {
            match listener.accept() {
                Ok((connection, _)) => answer(connection, answer_after),
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
        drop(listener);
        loop {
            thread::park();
        }
    }
    for connection in listener.incoming() {
        answer(connection?, answer_after);
    }
    Ok(())
}

/// The end of this program's own executable, behind the mark.
fn conduct() -> io::Result<String> {
    let mut file = std::fs::File::open("/proc/self/exe")?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(CONDUCT_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    Ok(end
        .rsplit_once(MARK)
        .map(|(_, conduct)| conduct.to_owned())
        .unwrap_or_default())
}

fn answer(mut connection: TcpStream, after: Duration) {
    let mut request = [0; 1024];
    let asked = connection
        .set_nonblocking(false)
        .and_then(|()| connection.set_read_timeout(Some(REQUEST_WITHIN)))
        .and_then(|()| connection.read(&mut request));
    if asked.is_ok_and(|bytes| bytes > 0) {
        thread::sleep(after);
        // Whoever does not wait for the answer does not get one.
        let _ = connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n");
    }
}
