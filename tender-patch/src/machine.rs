//! The virtual machine: setting it up and running its vCPU.
#![forbid(unsafe_code)]

use crate::{
    args::{Config, Io},
    block::Block,
    boot::{self, Level},
    capture::Capture,
    confine::{self, Calls, Role},
    crash::{CoreDir, Reporter},
    elf_image,
    hypercall::{self, Argument, Host, Next},
    logger::say,
    manifest::{Device, Manifest},
    memory::Memory,
    rings::Nets,
    signals::Signals,
    stats::Stats,
    tap::{Restore, Tap},
};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_sregs};
use kvm_ioctls::{IoEventAddress, Kvm, NoDatamatch, VcpuExit, VcpuFd, VmFd};
use shmring::abi::port;
use std::{
    fs::File,
    io::Read,
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// Exit status of a guest that crashed.
const CRASHED: u8 = 255;

/// Runs the guest to its end; its exit status.
pub(crate) fn run(config: Config) -> Result<u8, String> {
    let started = Instant::now();
    let size = config.memory_mib << 20;
    let mut image = elf_image::load(&config.kernel, size)?;
    let mut memory = Memory::new(size)?;
    memory.protect(boot::protected(&image));
    let signals = Signals::block();
    let stats = Arc::new(Stats::new(memory.clone(), config.stats.as_deref())?);
    let core = config.dumpcore.as_deref().map(CoreDir::open).transpose()?;
    let rings = image.manifest.rings();
    let level = if rings.is_some() { Level::User } else { Level::Supervisor };
    if let (None, Some(option)) = (rings, config.needs_rings()) {
        return Err(format!("the image does not know shared rings; leave {option} out"));
    }
    let mut nets = Nets::new(memory.clone(), stats.clone(), config.io, config.service)?;
    if let Some(offloads) = config.offloads {
        nets.restrict(offloads);
    }
    let vnet = rings.is_some() && config.io != Io::Hypercall;
    let mut taps = Restore::default();
    let blocks = attach_devices(&config, &mut image.manifest, &mut nets, &mut taps, vnet)?;
    let taps = Arc::new(taps);
    if let Some(handle) = rings {
        image.manifest.offer_rings(handle, &nets.offer());
    }
    let (vm, mut vcpu, tsc_hz) = create(&memory)?;
    boot::prepare(&memory, &image, level, tsc_hz, &config.guest_args)?;
    let failed = |e| format!("KVM refused the vCPU's registers: {e}");
    let sregs = vcpu.get_sregs().map_err(failed)?;
    vcpu.set_sregs(&boot::special_registers(level, sregs)).map_err(failed)?;
    vcpu.set_regs(&boot::registers(&image, size)).map_err(failed)?;
    if vnet {
        let kick = IoEventAddress::Pio(u64::from(port::BASE + port::KICK));
        vm.register_ioevent(nets.kick(), &kick, NoDatamatch)
            .map_err(|e| format!("KVM refused an ioeventfd: {e}"))?;
    }
    memory.populate(0, image.kernel_end);
    memory.populate(
        size - boot::stack_size(size).min(64 << 10),
        boot::stack_size(size).min(64 << 10),
    );
    for segment in image.segments.iter().filter(|segment| !segment.writable) {
        memory.seal(&segment.pages)?;
    }
    let calls = Calls { core_dir: core.as_ref().map(CoreDir::as_raw_fd) };
    let crash = Reporter { image: image.named(&config.kernel), core };
    let entropy = File::open("/dev/urandom").map_err(|e| format!("/dev/urandom: {e}"))?;
    confine::drop_privileges(&config.identity)?;
    signals.serve(stats.clone(), taps.clone())?;
    if vnet {
        nets.start()?;
    }
    confine::install(Role::Vcpu, calls)?;
    let mut host = Host { memory, blocks, nets, stats, entropy };
    host.stats.counters.boot_us.add(started.elapsed().as_micros() as u64);
    let status = run_vcpu(&mut vcpu, &mut host, &crash, level);
    host.stats.write();
    taps.now();
    status
}

fn attach_devices(
    config: &Config,
    manifest: &mut Manifest,
    nets: &mut Nets,
    taps: &mut Restore,
    vnet: bool,
) -> Result<Vec<(u64, Block)>, String> {
    let devices: Vec<_> = manifest
        .devices()
        .map(|(handle, name, device)| (handle, name.to_string(), device))
        .collect();
    let declared = |wanted: Device, name: &str| {
        devices.iter().any(|(_, n, device)| *device == wanted && n == name)
    };
    if let Some(name) = config.nets.keys().find(|name| !declared(Device::Net, name)) {
        return Err(undeclared("network", "net", name, &devices, Device::Net));
    }
    if let Some(name) = config.blocks.keys().find(|name| !declared(Device::Block, name)) {
        return Err(undeclared("block", "block", name, &devices, Device::Block));
    }
    let mut blocks = Vec::new();
    for (handle, name, device) in &devices {
        let unattached = |option: &str, what: &str| {
            format!(
                "device `{name}` is declared by the image but not attached; add --{option}:{name}={what}"
            )
        };
        match device {
            Device::Net => {
                let net = config.nets.get(name).ok_or_else(|| unattached("net", "IFACE"))?;
                let iface = net.iface.as_deref().ok_or_else(|| unattached("net", "IFACE"))?;
                let tap = Tap::open(iface, vnet)?;
                taps.add(&tap)?;
                let mac = net.mac.unwrap_or_else(random_mac);
                manifest.attach_net(*handle, mac, tap.mtu);
                let capture = net.pcap.as_deref().map(Capture::create).transpose()?;
                nets.add(*handle as u64, tap, config.mac_filter.then_some(mac), capture);
            }
            Device::Block => {
                let block = config.blocks.get(name).ok_or_else(|| unattached("block", "PATH"))?;
                let path = block.path.as_deref().ok_or_else(|| unattached("block", "PATH"))?;
                let block = Block::open(path, block.sector_size.unwrap_or(512))?;
                manifest.attach_block(*handle, block.capacity, block.sector);
                blocks.push((*handle as u64, block));
            }
            Device::Rings | Device::Other => {}
        }
    }
    Ok(blocks)
}

fn undeclared(
    what: &str,
    option: &str,
    name: &str,
    devices: &[(usize, String, Device)],
    kind: Device,
) -> String {
    let known: Vec<_> =
        devices.iter().filter(|(.., d)| *d == kind).map(|(_, n, _)| n.as_str()).collect();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    format!("--{option}:{name}: the image declares no {what} device `{name}`; it declares: {known}")
}

/// A locally administered unicast address.
fn random_mac() -> [u8; 6] {
    use std::hash::{BuildHasher, Hasher};
    let [a, b, c, d, e, ..] =
        std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes();
    [0x02, a, b, c, d, e]
}

fn create(memory: &Memory) -> Result<(VmFd, VcpuFd, u64), String> {
    let kvm = Kvm::new().map_err(|e| match e.errno() {
        libc::EACCES => {
            "no permission for /dev/kvm; add yourself to its group (often `kvm`)".into()
        }
        libc::ENOENT => "no /dev/kvm; load the kernel's kvm module or enable virtualisation".into(),
        _ => format!("could not open /dev/kvm: {e}"),
    })?;
    let failed =
        |what: &'static str| move |e: kvm_ioctls::Error| format!("KVM: could not {what}: {e}");
    let vm = kvm.create_vm().map_err(failed("create a virtual machine"))?;
    memory.register(&vm)?;
    let vcpu = vm.create_vcpu(0).map_err(failed("create a vCPU"))?;
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(failed("read CPUID"))?;
    vcpu.set_cpuid2(&cpuid).map_err(failed("set CPUID"))?;
    let khz = vcpu.get_tsc_khz().map_err(failed("read the TSC's frequency"))?;
    Ok((vm, vcpu, u64::from(khz) * 1000))
}

/// An exit of the vCPU, without what borrows from it.
enum Left {
    Port(u16, u32),
    Exception,
    Again,
    Broken(String),
}

fn run_vcpu(
    vcpu: &mut VcpuFd,
    host: &mut Host,
    crash: &Reporter,
    level: Level,
) -> Result<u8, String> {
    loop {
        let left = match vcpu.run() {
            Ok(VcpuExit::IoOut(boot::EXCEPTION_PORT, _)) => Left::Exception,
            Ok(VcpuExit::IoOut(port, data)) => match <[u8; 4]>::try_from(data) {
                Ok(address) => Left::Port(port, u32::from_le_bytes(address)),
                Err(_) => Left::Broken(format!("Invalid guest port access: port={port:#x}")),
            },
            Ok(VcpuExit::IoIn(port, _)) => {
                Left::Broken(format!("Invalid guest port access: port={port:#x}"))
            }
            Ok(VcpuExit::Hlt) => Left::Broken("the guest halted the processor".into()),
            Ok(VcpuExit::Shutdown) => Left::Broken("the guest took a triple fault".into()),
            // Some KVMs take a write to a page that is only read for one to a device.
            Ok(VcpuExit::MmioWrite(at, _)) if at < host.memory.size() => {
                Left::Broken(format!("host/guest translation fault: gpa={at:#x}"))
            }
            Ok(exit) => Left::Broken(format!("unhandled exit: {exit:?}")),
            Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => Left::Again,
            Err(e) if e.errno() == libc::EFAULT => {
                Left::Broken("host/guest translation fault".into())
            }
            Err(e) => Left::Broken(format!("the vCPU could not run: {e}")),
        };
        host.stats.counters.exits.add(1);
        match left {
            Left::Again => host.stats.reasons.count("interrupted"),
            Left::Port(port, address) => match serve(host, port, address) {
                Ok(Next::Continue) => {}
                Ok(Next::Halt(CRASHED)) => {
                    aborted(vcpu, host, crash, level);
                    return Ok(CRASHED);
                }
                Ok(Next::Halt(status)) => return Ok(status),
                Err(problem) => return Err(with_report(problem, vcpu, host, crash)),
            },
            Left::Exception => {
                host.stats.reasons.count("exception");
                match state(vcpu) {
                    Some((regs, sregs)) => say(crash.exception(&host.memory, &regs, &sregs)),
                    None => say("guest exception; its registers cannot be read"),
                }
                return Ok(CRASHED);
            }
            Left::Broken(problem) => {
                return Err(with_report(problem, vcpu, host, crash));
            }
        }
    }
}

/// What the guest did that ends it, and where it was.
fn with_report(problem: String, vcpu: &VcpuFd, host: &Host, crash: &Reporter) -> String {
    match state(vcpu) {
        Some((regs, sregs)) => {
            format!("{problem}\n{}", crash.report(&host.memory, &regs, &sregs))
        }
        None => problem,
    }
}

fn state(vcpu: &VcpuFd) -> Option<(kvm_regs, kvm_sregs)> {
    Some((vcpu.get_regs().ok()?, vcpu.get_sregs().ok()?))
}

/// The guest gave up by itself, and has said why.
fn aborted(vcpu: &VcpuFd, host: &Host, crash: &Reporter, level: Level) {
    let Some((regs, sregs)) = state(vcpu) else { return };
    match level {
        Level::User => {
            let report = crash.report(&host.memory, &regs, &sregs);
            say(format_args!("the guest aborted\n{report}"));
        }
        Level::Supervisor => {
            if let Some(core) = crash.core_file(&host.memory, &regs, &sregs) {
                say(format_args!("the guest aborted\n{core}"));
            }
        }
    }
}

fn serve(host: &mut Host, at: u16, address: u32) -> Result<Next, String> {
    if (hypercall::BASE..hypercall::BASE + 0x100).contains(&at) {
        return host.hypercall(at - hypercall::BASE, address);
    }
    let memory = host.memory.clone();
    match at.checked_sub(port::BASE) {
        Some(port::ATTACH) => {
            host.stats.reasons.count("ring_attach");
            let arg = Argument::new(&memory, address, 32)?;
            let ret = match host.nets.attach(arg.u64(0), arg.u64(8), arg.u64(16)) {
                Ok(()) => 0,
                Err(e) => {
                    host.nets.refused(e);
                    e as i32
                }
            };
            arg.set_i32(24, ret);
        }
        Some(port::WAIT) => {
            host.stats.reasons.count("ring_wait");
            let arg = Argument::new(&memory, address, 24)?;
            let ready = host.nets.wait(Duration::from_nanos(arg.u64(0)));
            arg.set_u64(8, ready);
            arg.set_i32(16, 0);
        }
        Some(port::RESET) => {
            host.stats.reasons.count("ring_reset");
            let arg = Argument::new(&memory, address, 16)?;
            let known = host.nets.reset(arg.u64(0));
            arg.set_i32(8, if known { 0 } else { 2 });
        }
        Some(port::ENTROPY) => {
            host.stats.reasons.count("entropy");
            let arg = Argument::new(&memory, address, 40)?;
            let mut bytes = [0; 32];
            let ret = host.entropy.read_exact(&mut bytes).map_or(3, |()| 0);
            arg.set_bytes(0, &bytes);
            arg.set_i32(32, ret);
        }
        Some(port::KICK) => {}
        _ => return Err(format!("Invalid guest port access: port={at:#x}")),
    }
    Ok(Next::Continue)
}
