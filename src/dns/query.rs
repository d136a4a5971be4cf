//! One question, asked until somebody answers it (RFC 1035, section 7; RFC 5452).

use super::{Answer, Error, Name, Type, answer::Response, message::Question};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::IpAddr;
use rand_core::RngCore;

/// How long the first round of servers gets to answer, each; doubled for each further round.
const PATIENCE: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;
/// How long an exchange by TCP may take.
const TCP_PATIENCE: Duration = Duration::from_secs(5);
/// Servers that one question is asked at most.
const MAX_SERVERS: usize = 8;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send [`Query::message`] to this server by UDP, from a random port of the question's own
    /// (RFC 5452, section 9.2), and take what it and those before it answer until then.
    Udp(IpAddr, Instant),
    /// Likewise over TCP, with its length in front (RFC 7766).
    Tcp(IpAddr, Instant),
    /// That is all.
    Done(Result<Answer, Error>),
}

/// A question and what became of it so far.
#[derive(Debug)]
pub struct Query {
    name: Name,
    kind: Type,
    servers: Vec<IpAddr>,
    /// Servers whose answer is that they cannot tell: asked no more.
    failed: u8,
    /// Which attempt is next: a server of a round.
    attempt: usize,
    current: IpAddr,
    /// How the next attempt goes to the same server.
    again: Option<Transport>,
    transport: Transport,
    mixed_case: bool,
    extended: bool,
    /// The same for all attempts, so that a late answer is one to the next attempt as well, and a
    /// forger has one identifier to guess.
    question: Option<Question>,
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

impl Query {
    /// Asks `servers` in turn for `kind` of `name`.
    pub fn new(name: Name, kind: Type, mut servers: Vec<IpAddr>) -> Query {
        servers.truncate(MAX_SERVERS);
        Query {
            name,
            kind,
            failed: 0,
            attempt: 0,
            current: servers.first().copied().unwrap_or(IpAddr::from([0; 4])),
            servers,
            again: None,
            transport: Transport::Udp,
            mixed_case: true,
            extended: true,
            question: None,
            answer: None,
        }
    }

    /// What to do next: at first, when [`Query::receive`] says so, and when the time is over.
    pub fn next(&mut self, now: Instant, random: &mut impl RngCore) -> Step {
        if let Some(answer) = self.answer.take() {
            return Step::Done(Ok(answer));
        }
        if self.servers.is_empty() {
            return Step::Done(Err(Error::NoServers));
        }
        let count = self.servers.len();
        self.transport = match self.again.take() {
            Some(transport) => transport,
            None => {
                let end = count * ROUNDS;
                let willing = |attempt: &usize| self.failed >> (attempt % count) & 1 == 0;
                let Some(attempt) = (self.attempt..end).find(willing) else {
                    let error =
                        if self.failed == 0 { Error::TimedOut } else { Error::ServerFailure };
                    return Step::Done(Err(error));
                };
                (self.attempt, self.current) = (attempt + 1, self.servers[attempt % count]);
                Transport::Udp
            }
        };
        self.question.get_or_insert_with(|| {
            // RFC 5452, section 9.2.
            let id = random.next_u32() as u16;
            let case = if self.mixed_case { random.next_u64() } else { 0 };
            Question::new(id, &self.name, self.kind, case, self.extended)
        });
        match self.transport {
            Transport::Udp => {
                let round = (self.attempt - 1) / count;
                Step::Udp(self.current, now + PATIENCE * (1 << round))
            }
            Transport::Tcp => Step::Tcp(self.current, now + TCP_PATIENCE),
        }
    }

    /// The message of this step.
    pub fn message(&self) -> &[u8] {
        self.question.as_ref().map_or(&[], Question::message)
    }

    /// Takes a message of a server that was asked; whether the step ends. One that is no answer to
    /// the question is ignored.
    pub fn receive(&mut self, server: IpAddr, message: &[u8]) -> bool {
        let Some(question) = &self.question else { return false };
        match Response::read(message, question, &self.name, self.kind) {
            Response::Foreign => return false,
            Response::Answer(answer) => self.answer = Some(answer),
            Response::Truncated if self.transport == Transport::Udp => {
                (self.current, self.again) = (server, Some(Transport::Tcp));
            }
            // Nothing of it is believed: the same server is asked in lower case.
            Response::WrongCase if self.mixed_case => {
                self.mixed_case = false;
                self.ask_anew(server);
            }
            Response::NotExtended if self.extended => {
                self.extended = false;
                self.ask_anew(server);
            }
            _ => return self.fail(server),
        }
        true
    }

    /// The same server is asked in another way.
    fn ask_anew(&mut self, server: IpAddr) {
        (self.current, self.again, self.question) = (server, Some(self.transport), None);
    }

    /// A server cannot be reached, or cannot tell: it is asked no more. Whether the step ends.
    pub fn fail(&mut self, server: IpAddr) -> bool {
        if let Some(server) = self.servers.iter().position(|known| *known == server) {
            self.failed |= 1 << server;
        }
        server == self.current
    }
}
