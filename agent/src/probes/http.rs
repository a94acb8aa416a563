//! Whether a process answers a GET as expected. HTTP/1.1, with or without TLS, a connection each time.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{Target, tls::ProbeTls};

/// As much of an answer as is read and searched, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What HTTP/1.1 is called where TLS agrees on a protocol.
const HTTP1: &[u8] = b"http/1.1";

/// A GET and what is expected of its answer.
#[derive(Debug, Clone)]
pub struct HttpProbe {
    target: Target,
    expect_status: u16,
    contains: Option<String>,
}

impl HttpProbe {
    /// A probe of this URL; over TLS if and only if that begins with `https`.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub fn new(
        url: &str,
        expect_status: u16,
        contains: Option<String>,
        tls: Option<ProbeTls>,
    ) -> Result<Self, String> {
        Ok(Self {
            target: Target::new(url, tls)?,
            expect_status,
            contains,
        })
    }

    pub(super) async fn ask(&self) -> Result<(), String> {
        let stream = TcpStream::connect(&self.target.address)
            .await
            .map_err(|error| error.to_string())?;
        match &self.target.tls {
            None => self.exchange(stream).await,
            Some(tls) => {
                let stream = tls.connect(stream, self.target.host(), HTTP1).await?;
                self.exchange(stream).await
            }
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), String> {
        let host = self
            .target
            .url
            .authority()
            .map_or("", http::uri::Authority::as_str);
        let path = self.target.path();
        let request = Request::get(path)
            .header(http::header::HOST, host)
            .header(http::header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            if status != self.expect_status {
                return Err(format!(
                    "answered with status {status}, expected {}",
                    self.expect_status
                ));
            }
            let Some(wanted) = &self.contains else {
                return Ok(());
            };
            let body = Limited::new(answer.into_body(), BODY_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            if body
                .windows(wanted.len().max(1))
                .any(|window| window == wanted.as_bytes())
            {
                Ok(())
            } else {
                Err(format!("the answer does not contain {wanted:?}"))
            }
        };
        // The connection only moves while it is polled; whichever ends first, both are dropped here.
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl fmt::Display for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http {}", self.target.url)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Asks a server that answers with exactly these bytes.
    async fn ask(
        answer: &'static str,
        expect_status: u16,
        contains: Option<&str>,
    ) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/health?a=b", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            assert!(
                request.starts_with("get /health?a=b http/1.1\r\nhost: 127.0.0.1:"),
                "{request}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let contains = contains.map(str::to_owned);
        let probe = HttpProbe::new(&url, expect_status, contains, None).unwrap();
        probe.ask().await
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"health\":\"true\"}";

    #[tokio::test]
    async fn status_and_body_decide() {
        assert_eq!(ask(OK, 200, None).await, Ok(()));
        assert_eq!(ask(OK, 200, Some("\"true\"")).await, Ok(()));
        assert!(
            ask(OK, 200, Some("\"false\""))
                .await
                .unwrap_err()
                .contains("does not contain")
        );
        assert!(
            ask(OK, 204, None)
                .await
                .unwrap_err()
                .contains("status 200, expected 204")
        );
    }

    #[tokio::test]
    async fn rubbish_and_silence_are_bad_answers() {
        assert!(
            ask("220 mail.example.org ESMTP\r\n\r\n", 200, None)
                .await
                .is_err()
        );
        assert!(ask("", 200, None).await.is_err());
    }

    #[test]
    fn only_urls_whose_host_can_be_trusted_for_what_it_is_are_taken() {
        let tls = || ProbeTls {
            ca: "/ca.pem".into(),
            own: None,
        };
        for url in ["", "/health", "ftp://a/", "http://user@a/", "127.0.0.1:80"] {
            assert!(HttpProbe::new(url, 200, None, None).is_err(), "{url}");
            assert!(
                HttpProbe::new(url, 200, None, Some(tls())).is_err(),
                "{url}"
            );
        }
        assert!(HttpProbe::new("https://a/", 200, None, None).is_err());
        assert!(HttpProbe::new("http://a/", 200, None, Some(tls())).is_err());
        let address = |url, tls| HttpProbe::new(url, 200, None, tls).unwrap().target.address;
        assert_eq!(address("http://a/x", None), "a:80");
        assert_eq!(address("https://a/x", Some(tls())), "a:443");
        assert_eq!(address("https://[::1]:7/x", Some(tls())), "[::1]:7");
    }
}
