//! The command: it becomes what it runs, with the emulator first among the libraries.

use std::path::PathBuf;
use std::process::{Command, Output};

fn emulate(cache: &std::path::Path, args: &[&str]) -> Output {
    let deps = std::env::current_exe().expect("the test binary has a path");
    let deps = deps.parent().expect("it lies in a folder");
    let found = [deps.join("libwarpline_emulator.so"), deps.join("../libwarpline_emulator.so")];
    let library: PathBuf = found.into_iter().find(|p| p.exists()).expect("cargo has built the shared library");
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpline-emulate"));
    command.args(args).env("WARPLINE_EMULATOR_LIBRARY", library).env("WARPLINE_EMULATOR_CACHE", cache);
    command.env("LD_LIBRARY_PATH", "/some/where").output().expect("the command runs")
}

#[test]
fn a_command_finds_the_emulator_first() {
    let cache = tempfile::tempdir().expect("a folder");
    let ran = emulate(cache.path(), &["--", "sh", "-c", "echo $LD_LIBRARY_PATH; ls ${LD_LIBRARY_PATH%%:*}; exit 7"]);
    assert_eq!(ran.status.code(), Some(7), "the command's own status");
    let text = String::from_utf8_lossy(&ran.stdout);
    let (path, rest) = text.split_once('\n').expect("two parts");
    assert!(path.starts_with(cache.path().to_str().expect("UTF-8")) && path.ends_with(":/some/where"), "{path}");
    assert_eq!(rest, "libcuda.so\nlibcuda.so.1\n");
    let folder = emulate(cache.path(), &["--folder"]);
    assert_eq!(String::from_utf8_lossy(&folder.stdout).trim_end(), path.split(':').next().expect("a path"));
}

#[test]
fn wrong_use_is_told() {
    let cache = tempfile::tempdir().expect("a folder");
    assert_eq!(emulate(cache.path(), &[]).status.code(), Some(2));
    let missing = emulate(cache.path(), &["/no/such/program"]);
    assert_eq!(missing.status.code(), Some(126));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot run /no/such/program"));
    let version = emulate(cache.path(), &["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("warpline-emulate 0."));
}
