//! Connecting by name.

use super::{
    Error, Net, TcpStream,
    happy_eyeballs::{Next, Schedule},
    lookup::Wanted,
};
use crate::dns::{self, Name, Type};
use alloc::{boxed::Box, vec::Vec};
use core::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::Poll,
};

/// What can be connected to: a [`SocketAddr`]; an address, or a name, with a port; or both in one
/// text, as `example.com:80` or `[2001:db8::1]:80`.
///
/// A name's addresses are tried as in RFC 8305: those of both families by turns, a further one as
/// soon as one fails, or is not connected after 250 ms; the first that stands is taken.
pub trait Endpoint {
    #[doc(hidden)]
    fn connect(self, net: &Net) -> impl Future<Output = Result<TcpStream, Error>>;
}

impl Endpoint for SocketAddr {
    async fn connect(self, net: &Net) -> Result<TcpStream, Error> {
        TcpStream::connect(net, self).await
    }
}

impl Endpoint for (IpAddr, u16) {
    async fn connect(self, net: &Net) -> Result<TcpStream, Error> {
        TcpStream::connect(net, self.into()).await
    }
}

impl Endpoint for (&str, u16) {
    async fn connect(self, net: &Net) -> Result<TcpStream, Error> {
        connect(net, self.0, self.1).await
    }
}

impl Endpoint for &str {
    async fn connect(self, net: &Net) -> Result<TcpStream, Error> {
        let (name, port) = self.rsplit_once(':').ok_or(dns::Error::InvalidName)?;
        let port = port.parse().map_err(|_| dns::Error::InvalidName)?;
        connect(net, name, port).await
    }
}

type Lookup<'a> = Pin<Box<dyn Future<Output = (bool, Result<Vec<IpAddr>, Error>)> + 'a>>;
type Attempt<'a> = Pin<Box<dyn Future<Output = Result<TcpStream, Error>> + 'a>>;

async fn connect(net: &Net, name: &str, port: u16) -> Result<TcpStream, Error> {
    match Wanted::read(name)? {
        Wanted::Addresses(addresses) => {
            let mut schedule = Schedule::new(false, false);
            schedule.resolved(net.0.rt.now(), true, &addresses, |all| sort(net, all));
            race(net, schedule, Vec::new(), port).await
        }
        Wanted::Name(name) => {
            let (ipv6, ipv4) = net.0.state.borrow().stack.families();
            let lookups = lookups(net, &name, ipv6, ipv4);
            race(net, Schedule::new(ipv6, ipv4), lookups, port).await
        }
    }
}

/// RFC 8305, section 3: both at once, that for IPv6 first.
fn lookups<'a>(net: &'a Net, name: &'a Name, ipv6: bool, ipv4: bool) -> Vec<Lookup<'a>> {
    let lookup = |ipv6: bool| -> Lookup<'a> {
        let kind = if ipv6 { Type::Aaaa } else { Type::A };
        Box::pin(async move { (ipv6, net.addresses_of(name, kind).await) })
    };
    let wanted = [(ipv6, true), (ipv4, false)];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, ipv6)| lookup(ipv6)).collect()
}

fn sort(net: &Net, addresses: &mut [IpAddr]) {
    net.0.state.borrow().stack.sort_destinations(addresses);
}

async fn race(
    net: &Net,
    mut schedule: Schedule,
    mut lookups: Vec<Lookup<'_>>,
    port: u16,
) -> Result<TcpStream, Error> {
    let rt = &net.0.rt;
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    let mut timer: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
    // The first failure of an attempt tells most, or else that of a lookup.
    let (mut failure, mut unresolved) = (None, None);
    poll_fn(move |cx| {
        loop {
            let now = rt.now();
            lookups.retain_mut(|lookup| {
                let Poll::Ready((ipv6, result)) = lookup.as_mut().poll(cx) else { return true };
                let addresses = result.unwrap_or_else(|error| {
                    unresolved = Some(error);
                    Vec::new()
                });
                schedule.resolved(now, ipv6, &addresses, |all| sort(net, all));
                false
            });
            let mut connected = None;
            attempts.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    connected = Some(stream);
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure.get_or_insert(error);
                    schedule.failed();
                    false
                }
            });
            if let Some(stream) = connected.take() {
                return Poll::Ready(Ok(stream));
            }
            match schedule.next(now) {
                Next::Connect(address) => {
                    let remote = SocketAddr::new(address, port);
                    attempts.push(Box::pin(TcpStream::connect(net, remote)));
                }
                Next::Wait(until) => {
                    let Some(until) = until else { return Poll::Pending };
                    let timer = timer.insert(Box::pin(rt.sleep(until - now)));
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Next::Exhausted if attempts.is_empty() => {
                    let error = failure.or(unresolved);
                    return Poll::Ready(Err(error.unwrap_or(dns::Error::NoAddress.into())));
                }
                Next::Exhausted => return Poll::Pending,
            }
        }
    })
    .await
}
