//! picoserve on zerohop's streams and timers.

use crate::{Peers, client};
use alloc::{format, rc::Rc, string::String, vec, vec::Vec};
use picoserve::{
    Config, Error as ServeError, Router, Server, Timeouts, Timer,
    extract::Json,
    io::{BaseWrite, ErrorType, Socket},
    mem::{BorrowedBuffer, BorrowedCursor},
    response::{Content, IntoResponse, Response},
    routing::{get, post},
    time::Duration,
};
use serde::{Deserialize, Serialize};
use zerohop::{
    Net,
    net::{Error, ReadHalf, TcpStream, WriteHalf},
    rt::Rt,
    service::Env,
};

#[derive(Deserialize)]
struct Question {
    numbers: heapless::Vec<i32, 16>,
}

#[derive(Serialize)]
struct Answer {
    count: usize,
    sum: i32,
}

async fn sum(Json(Question { numbers }): Json<Question>) -> impl IntoResponse {
    let sum = numbers.iter().fold(0i32, |sum, n| sum.wrapping_add(*n));
    Json(Answer { count: numbers.len(), sum })
}

/// A page, compressed by miniz_oxide (RFC 1950).
async fn packed() -> impl IntoResponse {
    let page = "There is no operating system under this page.\n".repeat(100);
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(page.as_bytes(), 6);
    Response::ok(Bytes(packed)).with_header("Content-Encoding", "deflate")
}

struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn content_type(&self) -> &'static str {
        "text/plain"
    }

    fn content_length(&self) -> usize {
        self.0.len()
    }

    async fn write_content<W: picoserve::io::Write>(self, mut writer: W) -> Result<(), W::Error> {
        picoserve::io::embedded_io_async::Write::write_all(&mut writer, &self.0).await
    }
}

/// Serves every client until the listener fails.
pub async fn serve(net: &Net, env: &Env, peers: Peers) -> Result<(), Error> {
    let (rt, listener) = (env.rt().clone(), net.listen(80)?);
    let config = Rc::new(
        Config::new(Timeouts {
            start_read_request: Duration::from_secs(10),
            persistent_start_read_request: Duration::from_secs(10),
            read_request: Duration::from_secs(10),
            write: Duration::from_secs(10),
        })
        .keep_connection_alive(),
    );
    rt.try_scope(async |clients| {
        loop {
            let stream = listener.accept().await?;
            let (rt, net, env, config) = (rt.clone(), net.clone(), env.clone(), config.clone());
            clients.spawn(async move {
                let app = router(net, env, peers);
                let mut buffer = vec![0; 4 << 10];
                let server = Server::custom(&app, Clock(rt), &config, &mut buffer);
                if let Err(error) = server.serve(Connection::new(stream)).await {
                    log::debug!("a client left: {error:?}");
                }
            });
        }
    })
    .await
}

fn router(net: Net, env: Env, peers: Peers) -> Router<impl picoserve::routing::PathRouter> {
    let fetching = net.clone();
    Router::new()
        .route("/", get(async || "picoserve on zerohop\n"))
        .route("/sum", post(sum))
        .route("/packed", get(packed))
        .route(
            "/fetch",
            get(move || {
                let net = fetching.clone();
                async move { told(client::fetch(&net, peers.web).await) }
            }),
        )
        .route(
            "/secret",
            get(move || {
                let (net, random) = (net.clone(), env.random());
                async move { told(client::secret(&net, random, peers.tls).await) }
            }),
        )
}

fn told(result: Result<String, impl core::fmt::Debug>) -> String {
    result.unwrap_or_else(|error| format!("error: {error:?}\n"))
}

/// zerohop's timers.
struct Clock(Rt);

/// The mark by which picoserve tells runtimes apart.
enum Zerohop {}

impl Timer<Zerohop> for Clock {
    async fn delay(&self, duration: Duration) {
        self.0.sleep(core::time::Duration::from_millis(duration.as_millis())).await;
    }
}

/// A stream as picoserve wants it: in halves.
struct Connection(ReadHalf, Writer);

struct Writer(WriteHalf);

impl Connection {
    fn new(mut stream: TcpStream) -> Connection {
        stream.set_nodelay(true);
        let (reader, writer) = stream.split();
        Connection(reader, Writer(writer))
    }
}

impl ErrorType for Writer {
    type Error = Error;
}

impl BaseWrite for Writer {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        embedded_io_async::Write::write(&mut self.0, data).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl picoserve::io::Write for Writer {
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(
        &mut self,
        fill: F,
    ) -> Result<R, Error> {
        let mut bytes = [0; 1024];
        let mut buffer = BorrowedBuffer::new(&mut bytes);
        let result = fill(buffer.unfilled());
        self.0.write_all(buffer.filled()).await?;
        Ok(result)
    }
}

impl Socket<Zerohop> for Connection {
    type Error = Error;
    type ReadHalf<'a> = &'a mut ReadHalf;
    type WriteHalf<'a> = &'a mut Writer;

    fn split(&mut self) -> (&mut ReadHalf, &mut Writer) {
        (&mut self.0, &mut self.1)
    }

    async fn abort<T: Timer<Zerohop>>(self, _: &Timeouts, _: &T) -> Result<(), ServeError<Error>> {
        self.1.0.abort();
        Ok(())
    }

    /// What was written is still delivered: halves close in good order when they are dropped.
    async fn shutdown<T: Timer<Zerohop>>(
        self,
        _: &Timeouts,
        _: &T,
    ) -> Result<(), ServeError<Error>> {
        Ok(())
    }
}
