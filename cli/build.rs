//! Links the program at a fixed address: every shim is this program again, and a position-independent one writes 640 kB of
//! relocated pages of its own when it starts, which a fixed one shares with all others. docs/adr/0010-memory.md weighs that.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
