//! Where the programs under test are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Path of a program of this workspace, for instance `spad`, built as these tests were.
///
/// `cargo test` does not build the programs of other packages, so the first call does; it costs a moment
/// when they are up to date. With `SPAD_PROGRAMS=FOLDER` the programs of that folder are tested as they are.
///
/// # Panics
/// When the programs do not build.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(prepare).join(name)
}

/// The helper of the laboratory, which `cargo test` builds with the tests.
///
/// # Panics
/// When the test does not lie where cargo puts it.
#[must_use]
pub fn helper() -> PathBuf {
    own_folder().join("lab-helper")
}

/// `target/PROFILE`, from `target/PROFILE/deps/TEST`.
fn own_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_owned()
}

fn prepare() -> PathBuf {
    if let Some(folder) = std::env::var_os("SPAD_PROGRAMS") {
        return folder.into();
    }
    let folder = own_folder();
    // Started by hand rather than by cargo: take what is there.
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "spad", "--package", "spa-client", "--target-dir"]);
        build.arg(folder.parent().expect("target/PROFILE has a parent")).current_dir(repository());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let done = build.output().expect("cargo can be started");
        assert!(
            done.status.success(),
            "the programs do not build:\n{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    folder
}
