//! Projects of one's own: copies of `template/` outside the workspace.

use std::{
    fs,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use testbed::{Guest, Network, cargo_in, need, root};

const GREETING: &str = "Hello, 10.0.0.1!\n";

/// A copy of the template as somebody makes it; removed when it is dropped.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Project {
        let dir = std::env::temp_dir().join(format!("zerohop-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let template = root().join("template");
        for file in ["Cargo.toml", "src/main.rs", ".cargo/config.toml"] {
            let to = dir.join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(template.join(file), to).unwrap();
        }
        // The versions that the workspace has, so that nothing has to be fetched.
        fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
        let project = Project(dir);
        let path = format!("path = \"{}\"", root().display());
        project.replace("Cargo.toml", "path = \"..\"", &path);
        project
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "no `{old}` in {file}");
        fs::write(path, text.replace(old, new)).unwrap();
    }

    fn cargo(&self, args: &[&str]) -> Result<(), String> {
        cargo_in(&self.0, &[args, &["--offline"]].concat())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn greets(mut guest: Guest) {
    let mut stream = guest.wait_for(SocketAddr::new([10, 0, 0, 2].into(), 9000)).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, GREETING);
}

fn network() -> Network {
    let network = Network::enter().unwrap();
    network.tap("tap0", "10.0.0.1/24").unwrap();
    network
}

fn size(image: &Path) -> u64 {
    fs::metadata(image).unwrap().len() >> 10
}

#[test]
fn a_copy_of_the_template_is_tested_runs_as_a_process_and_boots() {
    need!(testbed::taps());
    let project = Project::new("own");
    project.cargo(&["test", "--quiet"]).unwrap();
    project.cargo(&["build", "--quiet"]).unwrap();
    let _network = network();
    let program = root().join("target/projects/debug/hello");
    greets(Guest::process(&program, &["--tap=tap0"]).unwrap());

    project.cargo(&["image"]).unwrap();
    let image = project.0.join("target/hello.hvt");
    assert!(size(&image) < 400, "{} KiB", size(&image));
    need!(testbed::kvm());
    let tender = testbed::tender().unwrap();
    let options = ["--mem=16", "--net:service=tap0"];
    greets(Guest::boot(&tender, &options, &image, &[]).unwrap());
}

#[test]
fn a_wrong_declaration_is_explained_by_the_compiler() {
    let project = Project::new("wrong");
    let declaration = "zerohop::service!(service => main);";
    let main = "async fn main(net: Net, env: Env) -> Result<(), Error> {";
    for (old, new, words) in [
        (declaration, "zerohop::service!(my_net => main);", "has only letters and digits"),
        (
            declaration,
            "zerohop::service!(net: Net => main);",
            "a service is declared as `service!(NAME => main)` with one network",
        ),
        (
            declaration,
            "zerohop::service! { struct Devices { service: u32 } => main }",
            "`u32` is no device that a service can declare",
        ),
        (declaration, "zerohop::service!(main);", "of type `zerohop::Net` is missing"),
        (
            main,
            "async fn main(net: Net, env: Env) -> Result<u8, Error> {",
            "it returns `()` or `Result<(), E>`",
        ),
    ] {
        let path = project.0.join("src/main.rs");
        let right = fs::read_to_string(&path).unwrap();
        project.replace("src/main.rs", old, new);
        let said = project.cargo(&["check", "--quiet"]).unwrap_err();
        assert!(said.contains(words), "{new}: no `{words}` in: {said}");
        fs::write(path, right).unwrap();
    }
}
