//! The storage process of the agent's tests: answers `GET /health` on the address that it is given.
//!
//! Each release of it is this one program with a line of its own at the end of the file, which it reads itself:
//! `release=<version> mode=<mode>`. The modes are what a release may be like: `good`, `sick` (never healthy),
//! `broken` (ends at once), `forking` (leaves a child behind), `escaping` (leaves
//! one behind in a session of its own), `stubborn` (does not heed SIGTERM, nor does its child), `foreign` (ends on data
//! that another release wrote).
//!
//! Where the environment names a folder as `STORE_DATA`, it leaves a file there that bears the release's version.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, ExitCode},
    sync::mpsc,
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(address) = arguments.next() else {
        return ExitCode::FAILURE;
    };
    let (release, mode) = stamp();
    if mode == "stubborn" {
        heed_no_sigterm();
    }
    if address == "wait-for-ever" {
        loop {
            thread::park();
        }
    }
    eprintln!(
        "release {release}, which is {mode}, of process {}",
        std::process::id()
    );
    if mode == "broken" {
        eprintln!("this release is broken");
        return ExitCode::from(3);
    }
    if let Some(data) = env::var_os("STORE_DATA") {
        let own = format!("written-by-{release}");
        let names = fs::read_dir(&data).into_iter().flatten().flatten();
        if mode == "foreign"
            && names
                .map(|entry| entry.file_name())
                .any(|name| *name != *own)
        {
            eprintln!("this release cannot read the data that is there");
            return ExitCode::from(5);
        }
        if fs::write(Path::new(&data).join(own), "").is_err() {
            return ExitCode::from(6);
        }
    }
    if mode == "forking" || mode == "stubborn" {
        let Ok(_child) = Command::new("/proc/self/exe").arg("wait-for-ever").spawn() else {
            return ExitCode::FAILURE;
        };
    }
    if mode == "escaping" {
        let own = fs::read_link("/proc/self/exe").unwrap_or_default();
        let Ok(_child) = Command::new("setsid").arg(own).arg("wait-for-ever").spawn() else {
            return ExitCode::FAILURE;
        };
    }
    let Ok(listener) = TcpListener::bind(&address) else {
        eprintln!("cannot listen on {address}");
        return ExitCode::from(4);
    };
    for stream in listener.incoming().flatten() {
        answer(&stream, &release, &mode);
    }
    ExitCode::SUCCESS
}

/// A signal that somebody listens for does not end the process, and this one listens for ever.
fn heed_no_sigterm() {
    let (listens, does_listen) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return;
        };
        runtime.block_on(async {
            let signals = signal(SignalKind::terminate());
            let _ = listens.send(());
            if let Ok(mut signals) = signals {
                while signals.recv().await.is_some() {}
            }
        });
    });
    let _ = does_listen.recv();
}

fn answer(mut stream: &TcpStream, release: &str, mode: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let status = if mode == "sick" {
        "503 Service Unavailable"
    } else {
        "200 OK"
    };
    let body = format!("release {release}");
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}

/// The version and the mode in the last line of this very file.
fn stamp() -> (String, String) {
    let program = fs::read("/proc/self/exe").unwrap_or_default();
    let last = program
        .rsplit(|byte| *byte == b'\n')
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let line = String::from_utf8_lossy(last).into_owned();
    let value = |key: &str| {
        let word = line.split(' ').find_map(|word| word.strip_prefix(key));
        word.unwrap_or("unknown").to_owned()
    };
    (value("release="), value("mode="))
}
