//! An instance that the agent does not dare to touch, because it does not know what was done last or what runs.
//!
//! Its process is left alone, and watched as far as that can be done; the coordinator is told why.

use std::sync::Arc;

use evenkeel_agent_core::Status;
use evenkeel_common::limits::{REASON_BYTES_MAX, cut};
use tokio::task::spawn_blocking;

use super::{Surroundings, ended, probed, process_facts};
use crate::{
    config::InstanceSettings,
    probes::{Health, Prober},
    releases::current,
};

pub(super) async fn run(settings: Arc<InstanceSettings>, around: Surroundings, reason: String) {
    tracing::error!(instance = %settings.name, %reason, "this instance is not touched before that is mended and the agent started again");
    let (folder, store) = (around.folder.clone(), Arc::clone(&around.store));
    let component = settings.component.clone();
    let read = spawn_blocking(move || current::read(&folder, &store, &component).ok().flatten());
    let Ok(current) = read.await else {
        return;
    };
    let mut process = around.supervisor.find().await.ok().flatten();
    let mut prober = process
        .as_ref()
        .map(|_| Prober::start(&around.probes(&settings)));
    loop {
        around.reports.update(&settings.name, |facts| {
            let vitality = prober.as_ref().map(Prober::vitality);
            facts.status = Status::Error;
            facts.health = vitality
                .as_ref()
                .map_or(Health::Error, |vitality| vitality.health);
            facts.reason = cut(reason.clone(), REASON_BYTES_MAX);
            facts.current.clone_from(&current);
            facts.process = process.as_ref().map(process_facts);
            if settings.rebuild.is_some() {
                facts.leave.obstacle.clone_from(&facts.reason);
            }
        });
        around.reports.looked_at(&settings.name);
        tokio::select! {
            () = ended(&mut process) => {
                process = None;
                prober = None;
            }
            () = probed(&mut prober) => {}
        }
    }
}
