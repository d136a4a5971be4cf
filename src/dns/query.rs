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
    /// Send [`Query::message`] to this server by UDP, from a fresh random port (RFC 5452, section
    /// 9.2), and take what it answers until then.
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
    question: Question,
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
        let question = Question::new(0, &name, kind, 0, false);
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
            question,
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
        // RFC 5452, section 9.2: a fresh identifier for each attempt.
        let case = if self.mixed_case { random.next_u64() } else { 0 };
        let id = random.next_u32() as u16;
        self.question = Question::new(id, &self.name, self.kind, case, self.extended);
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
        self.question.message()
    }

    /// Takes a message of the server of this step; whether the step ends. One that is no answer to
    /// the question is ignored.
    pub fn receive(&mut self, message: &[u8]) -> bool {
        match Response::read(message, &self.question, &self.name, self.kind) {
            Response::Foreign => return false,
            Response::Answer(answer) => self.answer = Some(answer),
            Response::Truncated if self.transport == Transport::Udp => {
                self.again = Some(Transport::Tcp);
            }
            // Nothing of it is believed: the same server is asked in lower case.
            Response::WrongCase if self.mixed_case => {
                self.mixed_case = false;
                self.again = Some(self.transport);
            }
            Response::NotExtended if self.extended => {
                self.extended = false;
                self.again = Some(self.transport);
            }
            _ => self.fail(),
        }
        true
    }

    /// The server of this step cannot be reached, or breaks off: it is asked no more.
    pub fn fail(&mut self) {
        if let Some(server) = self.servers.iter().position(|server| *server == self.current) {
            self.failed |= 1 << server;
        }
    }
}
