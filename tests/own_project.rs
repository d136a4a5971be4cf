//! Projects of one's own: copies of `template/` outside the workspace.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
        // Projects share what they have built; each has a name of its own.
        project.replace("Cargo.toml", "name = \"hello\"", &format!("name = \"{name}\""));
        project
    }

    /// The program as a process.
    fn program(&self) -> PathBuf {
        self.cargo(&["build", "--quiet"]).unwrap();
        let name = self.0.file_name().unwrap().to_str().unwrap();
        root().join("target/projects/debug").join(name.split('-').nth(1).unwrap())
    }

    fn image(&self) -> PathBuf {
        self.cargo(&["image"]).unwrap();
        let files = fs::read_dir(self.0.join("target")).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        files.find(|file| file.extension().is_some_and(|kind| kind == "hvt")).unwrap()
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
    Network::with_tap().unwrap()
}

fn size(image: &Path) -> u64 {
    fs::metadata(image).unwrap().len() >> 10
}

#[test]
fn a_copy_of_the_template_is_tested_runs_as_a_process_and_boots() {
    need!(testbed::taps());
    let project = Project::new("own");
    project.cargo(&["test", "--quiet"]).unwrap();
    let program = project.program();
    let _network = network();
    greets(Guest::process(&program, &["--tap=tap0"]).unwrap());

    let image = project.image();
    // Both families, DHCP and fragments are in every image; see "Images" in docs/decisions.md.
    assert!(size(&image) <= 305, "{} KiB", size(&image));
    need!(testbed::kvm());
    let tender = testbed::tender().unwrap();
    let options = ["--mem=16", "--net:service=tap0"];
    greets(Guest::boot(&tender, &options, &image, &[]).unwrap());
}

#[test]
fn what_a_service_leaves_alive_is_named_and_fails_it() {
    need!(testbed::taps());
    let project = Project::new("left");
    project.replace(
        "src/main.rs",
        "    let listener = net.listen(9000)?;\n",
        "    core::mem::forget(net.listen(81)?);\n\
         \u{20}   core::mem::forget(env.rt().daemon(\"ticker\", core::future::pending()));\n\
         \u{20}   if env.args().next().is_some() { return Ok(()); }\n\
         \u{20}   let listener = net.listen(9000)?;\n",
    );
    let program = project.program();
    let _network = network();
    let fails = |guest: Guest| {
        let ended = guest.wait().unwrap();
        assert_eq!(ended.code, Some(1), "{}", ended.output);
        for name in ["daemon `ticker` started at src/main.rs:", "TCP listener at [::]:81"] {
            assert!(ended.output.contains(name), "no `{name}` in: {}", ended.output);
        }
    };
    fails(Guest::process(&program, &["--tap=tap0", "--", "end"]).unwrap());
    need!(testbed::kvm());
    let (tender, image) = (testbed::tender().unwrap(), project.image());
    fails(Guest::boot(&tender, &["--net:service=tap0"], &image, &["--", "end"]).unwrap());
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

/// The first block of `language` in a chapter of the tutorial.
fn block(chapter: &str, language: &str) -> String {
    let text = fs::read_to_string(root().join("docs/tutorial").join(chapter)).unwrap();
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```\n").unwrap().0.into()
}

fn chapter(name: &str, chapter: &str) -> Project {
    let project = Project::new(name);
    fs::write(project.0.join("src/main.rs"), block(chapter, "rust")).unwrap();
    project
}

#[test]
fn the_tutorials_hello_says_hello_and_ends() {
    let project = chapter("hello", "1-hello.md");
    let program = project.program();
    let ended = Guest::process(&program, &["--run"]).unwrap().wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("Hello, World!"), "{}", ended.output);
    let manifest = Guest::process(&program, &[]).unwrap().wait().unwrap().output;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["devices"].as_array().unwrap().len(), 0);
    need!(testbed::kvm());
    let tender = testbed::tender().unwrap();
    let ended = Guest::boot(&tender, &[], &project.image(), &[]).unwrap().wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("Hello, World!"), "{}", ended.output);
}

#[test]
fn the_tutorials_echo_echoes() {
    need!(testbed::taps());
    let program = chapter("echo", "2-echo.md").program();
    let _network = network();
    let mut guest = Guest::process(&program, &["--tap=tap0"]).unwrap();
    let mut stream = guest.wait_for(SocketAddr::new([10, 0, 0, 2].into(), 9000)).unwrap();
    stream.write_all(b"Hello, World!").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    assert_eq!(back, "Hello, World!");
}

#[test]
fn the_tutorials_web_server_takes_uploads_larger_than_its_memory() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("curl"));
    let project = chapter("web", "3-web.md");
    project.replace(
        "Cargo.toml",
        "[dependencies]",
        "[dependencies]\nhttparse = { version = \"1\", default-features = false }",
    );
    for (file, language) in [("index.html", "html"), ("style.css", "css")] {
        fs::write(project.0.join("src").join(file), block("3-web.md", language)).unwrap();
    }
    project.cargo(&["test", "--quiet"]).unwrap();
    let image = project.image();
    let tender = testbed::tender().unwrap();
    let _network = network();
    let options = ["--mem=8", "--net:service=tap0"];
    let mut guest = Guest::boot(&tender, &options, &image, &[]).unwrap();
    guest.wait_for(SocketAddr::new([10, 0, 0, 2].into(), 80)).unwrap();
    let curl = |args: &[&str], body: &[u8]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30"]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(curl(&["http://10.0.0.2/style.css"], &[]), block("3-web.md", "css"));
    let said = curl(&["--data-binary", "@-", "http://10.0.0.2/upload"], &vec![0; 100_000_000]);
    assert_eq!(said, "100000000 bytes\n");
}
