//! Compiles the ring service as the C tender would, but with every warning an error. With
//! `SHMRING_SANITIZE=1` its memory accesses and arithmetic are checked at run time.

fn main() {
    let mut build = cc::Build::new();
    for flag in ["-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wcast-qual", "-Wconversion"] {
        build.flag(flag);
    }
    build.flag("-Werror").flag("-pedantic").opt_level(2).include("..");
    for file in ["../shmring_service.c", "src/shim.c"] {
        build.file(file);
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-changed=../shmring_service.h");
    println!("cargo:rerun-if-env-changed=SHMRING_SANITIZE");
    if std::env::var_os("SHMRING_SANITIZE").is_some_and(|value| value == "1") {
        for flag in ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"] {
            build.flag(flag);
        }
        for library in ["asan", "ubsan"] {
            println!("cargo:rustc-link-lib=dylib={library}");
        }
    }
    build.compile("shmring_service");
}
