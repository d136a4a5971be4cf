//! Questions and answers in one datagram each.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use zerohop::{Slice, net::UdpSocket};

/// A question, and an answer: a name and numbers.
#[derive(Debug, Deserialize, Serialize, minicbor::Decode, minicbor::Encode)]
struct Numbers<'a> {
    #[serde(borrow)]
    #[b(0)]
    name: &'a str,
    #[n(1)]
    numbers: Vec<u32>,
}

impl Numbers<'_> {
    fn doubled(mut self) -> Self {
        self.numbers.iter_mut().for_each(|n| *n = n.wrapping_mul(2));
        self
    }
}

/// Answers each datagram that `answer` understands.
pub async fn serve(socket: UdpSocket, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    while let Ok(datagram) = socket.recv().await {
        let [data] = &datagram.data[..] else { continue };
        if let Some(answer) = answer(data)
            && let Err(error) = socket.send(datagram.from, &[Slice::from(answer)])
        {
            log::warn!("no answer to {}: {error}", datagram.from);
        }
    }
}

pub fn postcard(question: &[u8]) -> Option<Vec<u8>> {
    let numbers: Numbers = postcard::from_bytes(question).ok()?;
    postcard::to_allocvec(&numbers.doubled()).ok()
}

pub fn cbor(question: &[u8]) -> Option<Vec<u8>> {
    let numbers: Numbers = minicbor::decode(question).ok()?;
    minicbor::to_vec(numbers.doubled()).ok()
}
