//! The agent under a service manager.

use std::{collections::BTreeSet, os::unix::net::UnixDatagram, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, agent::command};

#[test]
fn the_service_manager_hears_that_it_is_ready_that_it_lives_and_that_it_stops() {
    let place = Place::new();
    let config = place.configure(place.address, "");
    let socket = place.root.join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let hear = || {
        let mut said = [0; 256];
        let length = manager.recv(&mut said).unwrap();
        String::from_utf8_lossy(&said[..length]).trim().to_owned()
    };
    let mut agent = command(&config)
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000")
        .spawn()
        .unwrap();

    // Ready comes once, and alive again and again, whichever is said first.
    let mut heard = BTreeSet::new();
    let mut lives = 0;
    while lives < 3 {
        let said = hear();
        lives += u32::from(said == "WATCHDOG=1");
        heard.insert(said);
    }
    assert!(heard.contains("READY=1"), "{heard:?}");
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    while hear() != "STOPPING=1" {}
    assert!(agent.wait().unwrap().success());
}
