//! Clients: HTTP by reqwless, TLS by embedded-tls.

use alloc::{format, string::String, vec};
use core::net::SocketAddr;
use embedded_io_async::{Read, Write};
use embedded_tls::{Aes128GcmSha256, TlsConfig, TlsConnection, TlsContext, UnsecureProvider};
use rand_core::RngCore;
use reqwless::{client::HttpClient, request::Method};
use zerohop::{Net, rt::Random};

/// What the web server at `server` answers to `GET /`.
pub async fn fetch(net: &Net, server: SocketAddr) -> Result<String, reqwless::Error> {
    let mut client = HttpClient::new(net, net);
    let url = format!("http://{server}/");
    let mut request = client.request(Method::GET, &url).await?;
    let mut buffer = vec![0; 8 << 10];
    let body = request.send(&mut buffer).await?.body().read_to_end().await?;
    Ok(String::from_utf8_lossy(body).into())
}

/// The key that both ends of the TLS connection know, and its name. It proves both to each other.
const KEY: (&[u8], &[u8]) = (&[0x5a; 16], b"zerohop");

/// Sends a line through TLS 1.3, and receives one.
pub async fn secret(net: &Net, random: Random, server: SocketAddr) -> Result<String, String> {
    let failed = |error| format!("{error:?}");
    let stream = net.connect(server).await.map_err(|error| format!("{error}"))?;
    let (mut read, mut write) = (vec![0; 16640], vec![0; 16640]);
    let config = TlsConfig::new().with_psk(KEY.0, &[KEY.1]).with_server_name("service");
    let mut tls = TlsConnection::new(stream, &mut read, &mut write);
    let provider = UnsecureProvider::new::<Aes128GcmSha256>(Generator(random));
    tls.open(TlsContext::new(&config, provider)).await.map_err(failed)?;
    tls.write_all(b"a line from a unikernel\n").await.map_err(failed)?;
    tls.flush().await.map_err(failed)?;
    let mut answer = [0; 100];
    let len = Read::read(&mut tls, &mut answer).await.map_err(failed)?;
    // A closed connection has said all it had to say.
    let _ = tls.close().await;
    Ok(String::from_utf8_lossy(&answer[..len]).into())
}

/// The service's generator for a crate that asks for an earlier version of the trait.
struct Generator(Random);

impl rand_core_06::RngCore for Generator {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Generator {}
