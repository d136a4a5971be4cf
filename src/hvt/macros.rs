//! The end of `service!` for images.

/// Makes the image's notes and its entry.
#[doc(hidden)]
#[macro_export]
macro_rules! __zerohop_start {
    ([$($name:ident: $device:ty),*], $main:expr, $attach:expr) => {
        const _: () = {
            use $crate::{
                hvt::service::{self, Desc, Note},
                service::{Declared, Device},
            };

            const DEVICES: &[Device] =
                &[$(Device::new(stringify!($name), <$device as Declared>::KIND)),*];

            #[used]
            #[unsafe(link_section = ".note.solo5.abi")]
            static ABI: Note<[u32; 4]> = service::ABI;

            #[used]
            #[unsafe(link_section = ".note.solo5.manifest")]
            static MANIFEST: Note<Desc<{ DEVICES.len() + 2 }>> = service::note(DEVICES);

            #[unsafe(no_mangle)]
            fn zerohop_service() -> i32 {
                service::run(DEVICES, $attach, $main)
            }
        };
    };
}
