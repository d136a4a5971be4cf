//! Dropping privileges. Call it while the process has one thread: capabilities are a thread's.
#![forbid(unsafe_code)]

use caps::{CapSet, Capability};
use nix::{
    sys::prctl,
    unistd::{Gid, Group, Uid, User, setgroups, setresgid, setresuid},
};

/// Who the tender becomes once its devices are open, as names or numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
}

impl Identity {
    fn group(&self, user: Option<&User>) -> Result<Option<Gid>, String> {
        let Some(name) = &self.group else { return Ok(user.map(|user| user.gid)) };
        if let Ok(number) = name.parse() {
            return Ok(Some(Gid::from_raw(number)));
        }
        let group = Group::from_name(name).ok().flatten();
        Ok(Some(group.ok_or_else(|| format!("--group={name}: there is no such group"))?.gid))
    }

    fn user(&self) -> Result<Option<User>, String> {
        let Some(name) = &self.user else { return Ok(None) };
        let found = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        let found = found.ok().flatten();
        Ok(Some(found.ok_or_else(|| format!("--user={name}: there is no such user"))?))
    }
}

/// Becomes `identity`, drops every capability, and makes sure that no program run from here could
/// gain any.
pub(crate) fn drop_privileges(identity: &Identity) -> Result<(), String> {
    let refused = |what: &'static str| {
        move |e: nix::Error| format!("could not {what}: {e}; --user and --group need root")
    };
    let user = identity.user()?;
    if let Some(gid) = identity.group(user.as_ref())? {
        setgroups(&[gid]).map_err(refused("leave the supplementary groups"))?;
        setresgid(gid, gid, gid).map_err(refused("change the group"))?;
    }
    let bounded = caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false);
    let clear =
        |set| caps::clear(None, set).map_err(|e| format!("could not drop capabilities: {e}"));
    if bounded {
        clear(CapSet::Bounding)?;
    }
    if let Some(User { uid, .. }) = user {
        setresuid(uid, uid, uid).map_err(refused("change the user"))?;
    }
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        clear(set)?;
    }
    prctl::set_no_new_privs().map_err(|e| format!("could not give up new privileges: {e}"))
}
