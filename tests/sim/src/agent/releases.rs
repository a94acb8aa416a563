//! What is fetched and kept on an instance's disk.

use evenkeel_agent_core::Release;
use evenkeel_coordinator_core::instance::StageState;
use evenkeel_words::digest::Digest;

use crate::{
    coverage::Sight,
    fleet,
    world::{Event, InstanceIndex, World},
};

impl World {
    fn version_of(&self, index: InstanceIndex, digest: &Digest) -> Option<usize> {
        let component = &self.fleet.components[self.instances[index].component];
        let mut versions = self.fleet.versions.iter();
        versions.position(|version| fleet::release(component, version).digest == *digest)
    }

    pub(crate) fn is_complete(&self, index: InstanceIndex, release: &Release) -> bool {
        let version = self.version_of(index, &release.digest);
        version.is_some_and(|version| self.instances[index].complete.contains(&version))
    }

    /// The manifest of the simulation is the digest of its artifact.
    pub(super) fn fetch(&mut self, index: InstanceIndex, manifest: &[u8]) {
        let text = String::from_utf8_lossy(manifest);
        let digest = text.parse::<Digest>().ok();
        let Some(version) = digest.and_then(|digest| self.version_of(index, &digest)) else {
            self.wrong(format!("a manifest nobody wrote: {text}"));
            return;
        };
        let is_complete = self.instances[index].complete.contains(&version);
        let Some(memory) = &mut self.instances[index].agent else {
            return;
        };
        if memory.wanted.contains_key(&version) {
            return;
        }
        let state = match is_complete {
            true => StageState::Ready,
            false => StageState::Fetching,
        };
        memory.wanted.insert(version, state);
        if !is_complete {
            self.download(index, version);
        }
    }

    fn download(&mut self, index: InstanceIndex, version: usize) {
        let node = self.instances[index].node;
        if let Some(agent) = self.hosts[node].agent {
            let after = self.dice.between(100, 20_000);
            self.later(after, Event::Downloaded(index, agent, version));
        }
    }

    pub(crate) fn downloaded(&mut self, index: InstanceIndex, agent: u64, version: usize) {
        if !self.is_there(index, agent) {
            return;
        }
        let host = &self.hosts[self.instances[index].node];
        let trouble = match (host.disk_is_full, host.is_unfetchable) {
            (true, _) => Some("there is no space for it"),
            (false, true) => Some("the download broke off"),
            (false, false) => None,
        };
        let state = match trouble {
            Some(trouble) => StageState::Failed(trouble.to_owned()),
            None => {
                self.instances[index].complete.insert(version);
                StageState::Ready
            }
        };
        if trouble.is_some() {
            self.see(Sight::DownloadFailed);
            self.download(index, version);
        }
        if let Some(memory) = &mut self.instances[index].agent {
            memory.wanted.insert(version, state);
        }
        self.publish(index);
    }

    /// Somebody deletes a release that nothing needs now.
    pub(crate) fn lose_release(&mut self, index: InstanceIndex) {
        let current = self.instances[index].current.digest;
        let current = self.version_of(index, &current);
        let instance = &mut self.instances[index];
        if instance.is_on_its_way() {
            return;
        }
        instance
            .complete
            .retain(|version| Some(*version) == current);
        let Some(memory) = &mut instance.agent else {
            return;
        };
        let again: Vec<_> = memory.wanted.keys().copied().collect();
        let again = again
            .into_iter()
            .filter(|version| Some(*version) != current);
        for version in again {
            // The store finds out when it looks next.
            self.download(index, version);
        }
    }
}
