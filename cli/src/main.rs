//! The `skein` program: hands its arguments to the library and leaves with the code it returns.
//! Everything else is in the library, so that tests can run commands in their own process.

fn main() {
    std::process::exit(skein::run(std::env::args_os()));
}
