//! Configurations to be read by tests.

use std::fs;

use camino::Utf8Path;

use super::Settings;

/// A short file that is good.
pub(super) const GOOD: &str = r#"
node = "n1"
coordinator = "127.0.0.1:7600"
data_dir = "state"
trusted_release_keys = []
[tls]
ca = "ca.pem"
certificate = "agent.pem"
key = "agent.key"
[[instance]]
name = "etcd"
component = "etcd"
command = ["{release}/etcd", "--name", "n1"]
[[instance.probe]]
type = "http"
url = "http://127.0.0.1:2379/health"
"#;

/// What is made of a file, or what is said of it; paths are without the folder that it is in.
pub(super) fn load(text: &str) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("agent.toml");
    fs::write(&path, text).unwrap();
    Settings::load(&path)
        .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), ""))
}
