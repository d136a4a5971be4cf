//! A DHCP client whose servers say anything at any time: nothing panics, and it goes on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zerohop::{
    dhcp::{Action, Client},
    time::{Duration, Instant},
    wire::MacAddr,
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// Makes `bytes` a reply to the transaction `xid`, so that what follows is looked at.
fn reply(xid: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![2, 1, 6, 0];
    message.extend(xid);
    message.resize(236, 0);
    message[16..20].copy_from_slice(&[10, 0, 0, 77]);
    message[28..34].copy_from_slice(&MAC.0);
    message.extend([0x63, 0x82, 0x53, 0x63]);
    // The first bytes go into the fields that options may overload, the others are options.
    let (fields, options) = bytes.split_at(bytes.len().min(32));
    message[108..108 + fields.len()].copy_from_slice(fields);
    message.extend(options);
    message
}

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::from_millis(1);
    let mut client = Client::new(MAC, [1, 2], now);
    let mut xid = [0; 4];
    let mut rest = data;
    while let [op, len, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        match op % 4 {
            0 => client.receive(now, &reply(xid, bytes)),
            1 => client.receive(now, bytes),
            2 => now += Duration::from_millis(u64::from(*op) * 250),
            _ => now = now.max(client.poll_at().unwrap_or(now)),
        }
        let mut actions = 0;
        while let Some(action) = client.poll(now) {
            actions += 1;
            assert!(actions < 16, "it never comes to rest");
            match action {
                Action::Send(_, message) => {
                    assert!((300..1000).contains(&message.len()));
                    xid.copy_from_slice(&message[4..8]);
                }
                Action::Check(_) => client.checked(now, op & 4 != 0),
                Action::Bind(lease) => {
                    assert!(lease.routes.len() <= 16 && lease.dns.len() <= 4);
                    assert!(lease.renew <= lease.rebind && lease.rebind <= lease.expiry);
                }
                Action::Unbind(_) => assert!(client.lease().is_none()),
            }
        }
    }
});
