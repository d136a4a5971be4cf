//! Names made into addresses: drives [`Query`] over sockets.

use super::{Error, Net, TcpStream, UdpSocket};
use crate::{
    dns::{self, Answer, Name, PORT, Query, Record, Step, Type},
    rt::join,
    time::Instant,
    udp::Datagram,
};
use alloc::{string::String, vec, vec::Vec};
use core::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::Poll,
};

/// Aliases that are followed over several questions.
const MAX_ALIASES: usize = 8;

/// What a name stands for: addresses already, or something to ask servers for.
pub(super) enum Wanted {
    Addresses(Vec<IpAddr>),
    Name(Name),
}

impl Wanted {
    pub(super) fn read(text: &str) -> Result<Wanted, Error> {
        let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = inside.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Wanted::Addresses(vec![address]));
        }
        let name: Name = text.parse()?;
        match name.special() {
            Some(result) => Ok(Wanted::Addresses(result?.to_vec())),
            None => Ok(Wanted::Name(name)),
        }
    }
}

impl Net {
    /// The addresses of `name`, which may be one itself; those to be tried first come first
    /// (RFC 6724).
    ///
    /// # Errors
    /// [`Error::Dns`] that tells a name that does not exist from servers that do not answer.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let mut addresses = match Wanted::read(name)? {
            Wanted::Addresses(addresses) => addresses,
            Wanted::Name(name) => {
                let (v6, v4) =
                    join(self.addresses_of(&name, Type::Aaaa), self.addresses_of(&name, Type::A))
                        .await;
                match (v6, v4) {
                    (Ok(v6), Ok(v4)) => [v6, v4].concat(),
                    (Ok(some), Err(_)) | (Err(_), Ok(some)) => some,
                    (Err(_), Err(error)) => return Err(error),
                }
            }
        };
        self.0.state.borrow().stack.sort_destinations(&mut addresses);
        Ok(addresses)
    }

    /// The name of `address`.
    ///
    /// # Errors
    /// As [`Net::lookup`].
    pub async fn lookup_name(&self, address: IpAddr) -> Result<String, Error> {
        let records = self.resolve(Name::reverse(address), Type::Ptr).await?;
        let name = records.into_iter().find_map(|record| match record {
            Record::Name(name) => Some(alloc::format!("{name}")),
            Record::Address(_) => None,
        });
        name.ok_or(Error::Dns(dns::Error::NotFound))
    }

    pub(super) async fn addresses_of(&self, name: &Name, kind: Type) -> Result<Vec<IpAddr>, Error> {
        let records = self.resolve(name.clone(), kind).await?;
        let address = |record| match record {
            Record::Address(address) => Some(address),
            Record::Name(_) => None,
        };
        Ok(records.into_iter().filter_map(address).collect())
    }

    /// What there is of `kind` at `name`, or where its aliases lead.
    async fn resolve(&self, mut name: Name, kind: Type) -> Result<Vec<Record>, Error> {
        for _ in 0..=MAX_ALIASES {
            match self.ask(&name, kind).await? {
                Answer::Records(records, _) => return Ok(records),
                Answer::Alias(target, _) => name = target,
                Answer::NoData(_) => return Err(Error::Dns(dns::Error::NoAddress)),
                Answer::NoName(_) => return Err(Error::Dns(dns::Error::NotFound)),
            }
        }
        Err(Error::Dns(dns::Error::AliasLoop))
    }

    /// Asks the cache, then the servers.
    async fn ask(&self, name: &Name, kind: Type) -> Result<Answer, Error> {
        let now = self.0.rt.now();
        let mut query = {
            let state = &*self.0.state.borrow();
            if let Some(answer) = state.names.get(name, kind, now) {
                return Ok(answer.clone());
            }
            Query::new(name.clone(), kind, state.stack.dns.list(now))
        };
        let mut sockets = Sockets(Vec::new());
        loop {
            let step = query.next(self.0.rt.now(), &mut self.0.rt.random());
            let (server, until) = match step {
                Step::Udp(server, until) | Step::Tcp(server, until) => (server, until),
                Step::Done(result) => {
                    let answer = result.map_err(Error::Dns)?;
                    let state = &mut *self.0.state.borrow_mut();
                    state.names.put(name.clone(), kind, answer.clone(), self.0.rt.now());
                    return Ok(answer);
                }
            };
            let by_tcp = matches!(step, Step::Tcp(..));
            let exchange = async {
                match by_tcp {
                    true => self.ask_by_tcp(&mut query, server).await,
                    false => self.ask_by_udp(&mut query, &mut sockets, server).await,
                }
            };
            let answered = match self.until(until, exchange).await {
                Some(Ok(())) => true,
                None => false,
                Some(Err(error)) => {
                    log::debug!("the name server {server}: {error}");
                    query.fail(server);
                    false
                }
            };
            let now = self.0.rt.now();
            self.0.state.borrow_mut().stack.dns.report(server, answered, now);
        }
    }

    async fn until<T>(&self, until: Instant, future: impl Future<Output = T>) -> Option<T> {
        self.0.rt.timeout(until - self.0.rt.now(), future).await
    }

    /// Sends the question, and waits for a datagram that answers it.
    async fn ask_by_udp(
        &self,
        query: &mut Query,
        sockets: &mut Sockets,
        server: IpAddr,
    ) -> Result<(), Error> {
        let socket = sockets.open(self, server)?;
        let message = query.message();
        socket.send_with(None, message.len(), |buffer| buffer.copy_from_slice(message))?;
        loop {
            let over = match sockets.recv().await {
                (from, Ok(datagram)) => query.receive(from, &datagram.data.to_vec()),
                (from, Err(error)) if from == server => return Err(error),
                (from, Err(_)) => query.fail(from),
            };
            if over {
                return Ok(());
            }
        }
    }

    /// RFC 7766: one question on a connection, each message behind its length.
    async fn ask_by_tcp(&self, query: &mut Query, server: IpAddr) -> Result<(), Error> {
        let mut stream = TcpStream::connect(self, SocketAddr::new(server, PORT)).await?;
        let message = query.message();
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        stream.write(framed).await?;
        let mut received = Vec::new();
        loop {
            let whole = received.first_chunk().map(|len| 2 + usize::from(u16::from_be_bytes(*len)));
            if let Some(message) = whole.and_then(|end| received.get(2..end)) {
                if query.receive(server, message) {
                    return Ok(());
                }
                // It answers another question.
                return Err(Error::Tcp(crate::tcp::Error::Closed));
            }
            match stream.read().await? {
                Some(part) => received.extend_from_slice(&part),
                None => return Err(Error::Tcp(crate::tcp::Error::Closed)),
            }
        }
    }
}

/// A socket for each server that was asked: what comes late counts as well. RFC 5452, section 9:
/// each has a random port, and takes answers only from where the question went.
struct Sockets(Vec<(IpAddr, UdpSocket)>);

impl Sockets {
    fn open(&mut self, net: &Net, server: IpAddr) -> Result<&UdpSocket, Error> {
        let at = match self.0.iter().position(|(known, _)| *known == server) {
            Some(at) => at,
            None => {
                let any = match server {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                let (local, peer) = (SocketAddr::new(any, 0), SocketAddr::new(server, PORT));
                self.0.push((server, UdpSocket::open(net, local, Some(peer))?));
                self.0.len() - 1
            }
        };
        Ok(&self.0[at].1)
    }

    /// The next datagram or error of any of them.
    async fn recv(&self) -> (IpAddr, Result<Datagram, Error>) {
        poll_fn(|cx| {
            for (server, socket) in &self.0 {
                if let Poll::Ready(result) = socket.poll_recv(cx) {
                    return Poll::Ready((*server, result));
                }
            }
            Poll::Pending
        })
        .await
    }
}
