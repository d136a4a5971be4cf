//! A relay between two taps that delays, limits and loses frames, as a path does.

use nix::sched::{CloneFlags, setns};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    fs::OFlags,
    io::{read, write},
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};
use smoltcp::phy::{Medium, TunTapInterface};
use std::{
    collections::VecDeque,
    fs::File,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What a direction of the path does to frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Impairment {
    /// How long a frame takes beside its time on the line.
    pub delay: Duration,
    /// The line's bytes a second; zero is unlimited.
    pub rate: u64,
    /// Bytes that wait for the line, at most; what comes then is lost.
    pub queue: u64,
    /// Frames of a million that are lost. ARP is spared: what is lost is the path's, not the link's.
    pub loss_ppm: u32,
}

/// Frames of one direction.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames that went through.
    pub passed: AtomicU64,
    /// Frames lost at random.
    pub lost: AtomicU64,
    /// Frames that found the queue full.
    pub overflowed: AtomicU64,
}

/// A tap to relay: the network namespace that it is in, and its name.
pub type End<'a> = (File, &'a str);

/// A running relay; it ends when it is dropped.
pub struct Relay {
    counts: Arc<[Counts; 2]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Relays between the taps `a` and `b`, which must exist: `how[0]` is done to what the kernel
    /// at `a` sends. The same `seed` loses the same frames of each direction's order.
    ///
    /// # Errors
    /// A tap that cannot be opened.
    pub fn start(a: End<'_>, b: End<'_>, how: [Impairment; 2], seed: u64) -> Result<Relay, String> {
        let counts = Arc::<[Counts; 2]>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (said, ready) = mpsc::channel();
        let ends = [a, b].map(|(namespace, tap)| (namespace, tap.to_string()));
        let (shared, stopped) = (counts.clone(), stop.clone());
        let thread = std::thread::spawn(move || match open_both(&ends) {
            Ok(taps) => {
                let _ = said.send(Ok(()));
                let lanes = [0, 1].map(|i| Lane::new(how[i], seed.wrapping_mul(2) + i as u64));
                serve(&taps, lanes, &shared, &stopped);
            }
            Err(why) => {
                let _ = said.send(Err(why));
            }
        });
        ready.recv().map_err(|_| String::from("the relay did not start"))??;
        Ok(Relay { counts, stop, thread: Some(thread) })
    }

    /// What happened to the frames of each direction.
    pub fn counts(&self) -> &[Counts; 2] {
        &self.counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open_both([a, b]: &[(File, String); 2]) -> Result<[OwnedFd; 2], String> {
    Ok([open(&a.0, &a.1)?, open(&b.0, &b.1)?])
}

/// Attaches to the tap `name` in a namespace; the calling thread stays in that.
fn open(namespace: &File, name: &str) -> Result<OwnedFd, String> {
    let failed = |e: &dyn std::fmt::Display| format!("the relay's tap {name}: {e}");
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|e| failed(&e))?;
    let tap = TunTapInterface::new(name, Medium::Ethernet).map_err(|e| failed(&e))?;
    // A descriptor of our own: smoltcp lends a bare number only.
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|e| failed(&e))?;
    let fd = pidfd_getfd(own, tap.as_raw_fd(), PidfdGetfdFlags::empty()).map_err(|e| failed(&e))?;
    rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK).map_err(|e| failed(&e))?;
    Ok(fd)
}

/// The frames on the way in one direction.
struct Lane {
    how: Impairment,
    random: u64,
    busy_until: Option<Instant>,
    /// In order: the delay is the same for all.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl Lane {
    fn new(how: Impairment, seed: u64) -> Lane {
        Lane { how, random: seed, busy_until: None, waiting: VecDeque::new(), spare: Vec::new() }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn accept(&mut self, frame: &[u8], now: Instant, counts: &Counts) {
        let is_arp = frame.get(12..14) == Some(&[8, 6]);
        if !is_arp && self.draw() % 1_000_000 < u64::from(self.how.loss_ppm) {
            counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut at = now;
        if self.how.rate > 0 {
            let start = self.busy_until.map_or(now, |busy| busy.max(now));
            let backlog = (start - now).as_nanos() * u128::from(self.how.rate) / 1_000_000_000;
            if backlog + frame.len() as u128 > u128::from(self.how.queue) {
                counts.overflowed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let time = frame.len() as u64 * 1_000_000_000 / self.how.rate;
            at = start + Duration::from_nanos(time);
            self.busy_until = Some(at);
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(frame);
        self.waiting.push_back((at + self.how.delay, kept));
    }

    /// Passes on what is due.
    fn release(&mut self, now: Instant, to: &OwnedFd, counts: &Counts) {
        while let Some((at, _)) = self.waiting.front()
            && *at <= now
        {
            let Some((_, frame)) = self.waiting.pop_front() else { return };
            match write(to, &frame) {
                Ok(_) => counts.passed.fetch_add(1, Ordering::Relaxed),
                Err(_) => counts.overflowed.fetch_add(1, Ordering::Relaxed),
            };
            self.spare.push(frame);
        }
    }
}

fn serve(taps: &[OwnedFd; 2], mut lanes: [Lane; 2], counts: &[Counts; 2], stop: &AtomicBool) {
    /// Frames read from one tap before the other has its turn.
    const BATCH: usize = 64;
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        for from in 0..2 {
            for _ in 0..BATCH {
                let Ok(n) = read(&taps[from], &mut buffer[..]) else { break };
                lanes[from].accept(&buffer[..n], Instant::now(), &counts[from]);
            }
            lanes[from].release(Instant::now(), &taps[1 - from], &counts[from]);
        }
        let next = lanes.iter().filter_map(|lane| Some(lane.waiting.front()?.0)).min();
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(Duration::MAX).min(Duration::from_millis(20));
        let time = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [0, 1].map(|i| PollFd::new(&taps[i], PollFlags::IN));
        // Interrupted or not: the taps are looked at.
        let _ = poll(&mut fds, Some(&time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: usize) -> Vec<u8> {
        let mut frame = vec![0; n];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame
    }

    #[test]
    fn loss_has_its_rate_and_spares_arp() {
        let counts = Counts::default();
        let mut lane = Lane::new(Impairment { loss_ppm: 10_000, ..Impairment::default() }, 1);
        let now = Instant::now();
        (0..100_000).for_each(|_| lane.accept(&frame(60), now, &counts));
        let lost = counts.lost.load(Ordering::Relaxed);
        assert!((900..1100).contains(&lost), "{lost}");
        let mut lane = Lane::new(Impairment { loss_ppm: 1_000_000, ..Impairment::default() }, 1);
        let mut arp = frame(60);
        arp[13] = 6;
        lane.accept(&arp, now, &counts);
        assert_eq!(lane.waiting.len(), 1);
    }

    #[test]
    fn line_takes_its_time_and_its_queue_is_bounded() {
        let counts = Counts::default();
        let delay = Duration::from_millis(5);
        let how = Impairment { delay, rate: 1_000_000, queue: 10_000, loss_ppm: 0 };
        let mut lane = Lane::new(how, 1);
        let now = Instant::now();
        (0..20).for_each(|_| lane.accept(&frame(1000), now, &counts));
        assert_eq!(lane.waiting.len(), 10);
        assert_eq!(counts.overflowed.load(Ordering::Relaxed), 10);
        // A millisecond a frame, and the delay.
        assert_eq!(lane.waiting[9].0, now + Duration::from_millis(15));
    }
}
