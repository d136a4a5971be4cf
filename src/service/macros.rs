//! `service!`: the forms in which a service is declared.

/// Declares a service: its devices by name, and its `main`. The image's manifest follows from
/// that; nothing else has to be written.
///
/// A service with one network names it; `main` gets the [`Net`](crate::Net):
///
/// ```
/// # #![no_main]
/// use zerohop::{Net, net::Error, service::Env};
///
/// zerohop::service!(service => main);
///
/// async fn main(net: Net, env: Env) -> Result<(), Error> {
///     let listener = net.listen(9000)?;
/// #   drop((listener, env));
///     Ok(())
/// }
/// ```
///
/// A service with other devices declares a struct of them, which `main` gets:
///
/// ```
/// # #![no_main]
/// use zerohop::{Block, Net, service::Env};
///
/// zerohop::service! {
///     struct Devices { front: Net, back: Net, disk: Block } => main
/// }
///
/// async fn main(devices: Devices, env: Env) {
///     log::info!("{} sectors", devices.disk.sectors());
/// #   drop((devices.front, devices.back, env));
/// }
/// ```
///
/// A service without devices has only a `main`:
///
/// ```
/// # #![no_main]
/// use zerohop::service::Env;
///
/// zerohop::service!(main);
///
/// async fn main(env: Env) {
///     log::info!("{} nanoseconds since 1970", env.rt().wall_clock());
/// }
/// ```
///
/// What is no device, and names that no tender takes, are errors of the compiler's:
///
/// ```compile_fail,E0277
/// # #![no_main]
/// zerohop::service! {
///     struct Devices { service: u32 } => main
/// }
/// # async fn main(_: Devices, _: zerohop::service::Env) {}
/// ```
///
/// ```compile_fail,E0080
/// # #![no_main]
/// zerohop::service!(my_net => main);
/// # async fn main(_: zerohop::Net, _: zerohop::service::Env) {}
/// ```
#[macro_export]
macro_rules! service {
    ($net:ident => $main:path $(;)?) => {
        $crate::__zerohop_start!([$net: $crate::Net], $main, |all| {
            <$crate::Net as $crate::service::Declared>::attach(stringify!($net), all)
        });
    };
    ($(#[$meta:meta])* $vis:vis struct $Devices:ident {
        $($(#[$doc:meta])* $name:ident: $device:ty),+ $(,)?
    } => $main:path $(;)?) => {
        $(#[$meta])*
        $vis struct $Devices { $($(#[$doc])* $vis $name: $device),+ }

        $crate::__zerohop_start!([$($name: $device),+], $main, |all| {
            Ok($Devices {
                $($name: <$device as $crate::service::Declared>::attach(stringify!($name), all)?),+
            })
        });
    };
    ($main:path $(;)?) => {
        $crate::__zerohop_start!([], |(), env| $main(env), |_| Ok(()));
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "a service is declared as `service!(NAME => main)` with one network, \
             `service! { struct Devices { NAME: Net, OTHER: Block } => main }` with any devices, \
             or `service!(main)` with none"
        );
    };
}
