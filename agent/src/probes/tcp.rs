//! Whether a process takes connections.

use std::net::SocketAddr;

use tokio::net::TcpStream;

pub(super) async fn ask(address: SocketAddr) -> Result<(), String> {
    match TcpStream::connect(address).await {
        // A reset instead of a goodbye, so that no port of ours stays in TIME_WAIT.
        Ok(stream) => stream.set_zero_linger().map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_is_good_and_a_closed_port_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(ask(address).await, Ok(()));
        drop(listener);
        assert!(ask(address).await.unwrap_err().contains("refused"));
    }
}
