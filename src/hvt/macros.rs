//! `service!` for images.

/// Declares a service: its devices by name, and its `main`.
///
/// A service with one network names it; `main` gets the [`Net`](crate::Net):
///
/// ```ignore
/// zerohop::service!(service => main);
/// async fn main(net: Net, env: Env) -> Result<(), Error> { .. }
/// ```
///
/// A service with other devices declares a struct of them, which `main` gets:
///
/// ```ignore
/// zerohop::service! {
///     struct Devices { front: Net, back: Net, disk: Block } => main
/// }
/// async fn main(devices: Devices, env: Env) -> Result<(), Error> { .. }
/// ```
///
/// The image's manifest follows from that; nothing else has to be written.
#[macro_export]
macro_rules! service {
    ($net:ident => $main:path) => {
        $crate::service!(@image [$net: $crate::Net], $main, |all| {
            <$crate::Net as $crate::service::Declared>::attach(stringify!($net), all)
        });
    };
    ($(#[$meta:meta])* $vis:vis struct $Devices:ident {
        $($(#[$doc:meta])* $name:ident: $device:ty),+ $(,)?
    } => $main:path $(;)?) => {
        $(#[$meta])*
        $vis struct $Devices { $($(#[$doc])* $vis $name: $device),+ }

        $crate::service!(@image [$($name: $device),+], $main, |all| {
            Ok($Devices {
                $($name: <$device as $crate::service::Declared>::attach(stringify!($name), all)?),+
            })
        });
    };
    (@image [$($name:ident: $device:ty),+], $main:path, $attach:expr) => {
        const _: () = {
            use $crate::{
                hvt::service::{self, Desc, Entry, Note},
                service::{Declared, Kind},
            };

            const DEVICES: &[(&str, Kind)] =
                &[$((stringify!($name), <$device as Declared>::KIND)),+];

            #[used]
            #[unsafe(link_section = ".note.solo5.abi")]
            static ABI: Note<[u32; 4]> = service::ABI;

            #[used]
            #[unsafe(link_section = ".note.solo5.manifest")]
            static MANIFEST: Note<Desc<{ DEVICES.len() + 2 }>> = service::note([
                Entry::FIRST,
                $(Entry::new(stringify!($name), <$device as Declared>::KIND),)+
                Entry::RINGS,
            ]);

            #[unsafe(no_mangle)]
            fn zerohop_service() -> i32 {
                service::run(DEVICES, $attach, $main)
            }
        };
    };
}
