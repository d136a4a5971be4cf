//! The end of `service!` for processes.

/// Makes the process's `main`.
#[doc(hidden)]
#[macro_export]
macro_rules! __zerohop_start {
    ([$($name:ident: $device:ty),*], $main:expr, $attach:expr) => {
        const _: () = {
            use $crate::service::{Declared, Device};

            const DEVICES: &[Device] =
                &[$(Device::new(stringify!($name), <$device as Declared>::KIND)),*];

            // Under test, the harness has the process's `main`.
            #[cfg_attr(not(test), unsafe(export_name = "main"))]
            #[cfg_attr(test, expect(dead_code))]
            extern "C" fn zerohop_process(_: i32, _: *const *const u8) -> i32 {
                $crate::host::service::run(DEVICES, $attach, $main)
            }
        };
    };
}
