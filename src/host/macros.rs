//! `service!` for processes.

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
        const _: () = {
            use $crate::service::{Declared, Kind};

            #[unsafe(export_name = "main")]
            extern "C" fn zerohop_process(_: i32, _: *const *const u8) -> i32 {
                const NAME: &str = stringify!($net);
                $crate::host::service::run(
                    &[(NAME, Kind::Net)],
                    |all| <$crate::Net as Declared>::attach(NAME, all),
                    $main,
                )
            }
        };
    };
    ($(#[$meta:meta])* $vis:vis struct $Devices:ident {
        $($(#[$doc:meta])* $name:ident: $device:ty),+ $(,)?
    } => $main:path $(;)?) => {
        $(#[$meta])*
        $vis struct $Devices { $($(#[$doc])* $vis $name: $device),+ }

        const _: () = {
            use $crate::service::Declared;

            #[unsafe(export_name = "main")]
            extern "C" fn zerohop_process(_: i32, _: *const *const u8) -> i32 {
                $crate::host::service::run(
                    &[$((stringify!($name), <$device as Declared>::KIND)),+],
                    |all| Ok($Devices {
                        $($name: <$device as Declared>::attach(stringify!($name), all)?),+
                    }),
                    $main,
                )
            }
        };
    };
}
