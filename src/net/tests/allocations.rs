//! Sockets, tasks and timers ask nothing of the allocator once they are warm.

use super::*;
use crate::rt::join;
use testbed::{Allocations, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Messages that warm everything up, and those that are counted.
const WARM: usize = 5_000;
const COUNTED: usize = 10_000;
const SERVERS: [&str; 2] = ["10.0.0.1:9000", "[fd00::1]:9000"];
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs `message` until it is warm, and then counts what it allocates.
async fn counted(mut message: impl AsyncFnMut()) -> Allocations {
    for _ in 0..WARM {
        message().await;
    }
    let before = Allocations::so_far();
    for _ in 0..COUNTED {
        message().await;
    }
    before.since()
}

/// Sends to an echo over TCP from both families: what `message` does with the connection is
/// counted.
fn beside_an_echo(message: impl AsyncFn(&mut TcpStream, &Net) + 'static) {
    joined(async move |[server, client]: [Net; 2]| {
        // Addresses of IPv6 are verified, and routers asked for, in the first seconds.
        client.rt().sleep(Duration::from_secs(20)).await;
        let listener = server.listen(9000).unwrap();
        for address in SERVERS {
            let ask = async {
                let mut stream = client.connect(address).await.unwrap();
                let allocations = counted(async || message(&mut stream, &client).await).await;
                assert_eq!(allocations, Allocations::NONE, "{address}");
            };
            let echo = async {
                let mut stream = listener.accept().await.unwrap();
                while let Some(data) = stream.read().await.unwrap() {
                    stream.write(data).await.unwrap();
                }
            };
            join(echo, ask).await;
        }
    });
}

async fn echoed(stream: &mut TcpStream, data: Slice) {
    let mut left = data.len();
    stream.write(data).await.unwrap();
    while left > 0 {
        left -= stream.read().await.unwrap().expect("an answer").len();
    }
}

#[test]
fn a_byte_there_and_back_allocates_nothing() {
    beside_an_echo(async |stream, _| echoed(stream, Slice::from_static(b"x")).await);
}

#[test]
fn a_message_with_a_timeout_allocates_nothing() {
    beside_an_echo(async |stream, net| {
        let answer = net.rt().timeout(PATIENCE, echoed(stream, Slice::from_static(&[1; 700])));
        assert!(answer.await.is_some());
    });
}

#[test]
fn a_message_that_is_copied_and_a_sleep_allocate_nothing() {
    beside_an_echo(async |stream, net| {
        let mut buffer = [0; 300];
        stream.write_all(&buffer).await.unwrap();
        let mut left = buffer.len();
        while left > 0 {
            left -= stream.read_into(&mut buffer).await.unwrap();
        }
        net.rt().sleep(Duration::from_micros(100)).await;
    });
}

#[test]
fn bulk_data_there_and_back_allocates_nothing() {
    static CHUNK: [u8; 40_000] = [7; 40_000];
    beside_an_echo(async |stream, _| echoed(stream, Slice::from_static(&CHUNK)).await);
}

#[test]
fn datagrams_there_and_back_allocate_nothing() {
    joined(async |[server, client]: [Net; 2]| {
        client.rt().sleep(Duration::from_secs(20)).await;
        let (socket, asker) = (server.udp(9000).unwrap(), client.udp(0).unwrap());
        let rt = client.rt().clone();
        rt.scope(async |scope| {
            let echo = scope.spawn(async move {
                for n in 0.. {
                    let datagram = socket.recv().await.unwrap();
                    let copy = |to: &mut [u8]| to.copy_from_slice(&datagram.data[0]);
                    match n % 3 {
                        0 => socket.send(datagram.from, &datagram.data),
                        1 => socket.reply(&datagram, &datagram.data),
                        _ => socket.send_with(datagram.from, datagram.data.bytes(), copy),
                    }
                    .unwrap();
                }
            });
            for address in SERVERS.map(|address| address.parse().unwrap()) {
                for data in [&[1; 64][..], &[2; 1200]].map(Slice::from) {
                    let allocations = counted(async || {
                        let data = core::slice::from_ref(&data);
                        asker.send(Some(address), data).unwrap();
                        let answer = rt.timeout(PATIENCE, asker.recv()).await;
                        assert_eq!(answer.unwrap().unwrap().data.bytes(), data[0].len());
                    });
                    assert_eq!(allocations.await, Allocations::NONE, "{address}");
                }
            }
            echo.cancel();
        })
        .await;
    });
}
