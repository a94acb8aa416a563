//! What is said of the host.

use std::fs;

use crate::support::{Agent, Coordinator, Place};

#[test]
fn how_host_and_data_folders_are_is_said_when_it_changes() {
    let place = Place::new();
    let data = place.root.join("data");
    fs::create_dir(&data).unwrap();
    let coordinator = Coordinator::start(&place, 1);
    // The table of the host's comes after all that is the instance's own.
    let extra = "start_alone_after = \"0s\"\ndata_dirs = [\"data\"]\n\
                 [vitals]\ninterval = \"50ms\"\ncheck_interval = \"50ms\"";
    place.configure(coordinator.address, extra);
    let _agent = Agent::start(&place);
    coordinator.wait_until_healthy("1.0.0");
    let well = coordinator.wait_for_vitals(|vitals| {
        let folder = vitals.folders.first();
        vitals.host.is_some() && folder.is_some_and(|folder| folder.check_us > 0)
    });
    let folder = &well.last().unwrap().folders[0];
    assert_eq!((folder.instance.as_str(), folder.index), ("s1", 0));
    assert!(folder.bytes > 0 && folder.trouble.is_empty(), "{folder:?}");
    for pair in well.windows(2) {
        assert_ne!(pair[0], pair[1], "it is said again though nothing changed");
    }
    fs::rename(&data, place.root.join("elsewhere")).unwrap();
    let trouble = |vitals: &evenkeel_proto::v1::NodeVitals| {
        let folder = vitals.folders.first();
        folder.is_some_and(|folder| folder.trouble.contains("No such file"))
    };
    coordinator.wait_for_vitals(trouble);
    assert_eq!(
        fs::read_dir(place.root.join("elsewhere")).unwrap().count(),
        0
    );
}
