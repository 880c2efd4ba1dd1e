//! The `skein` program: hands its arguments to the library and leaves with the code it returns.
//! Everything else is in the library, so that tests can run commands in their own process.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a shim starts with one thread and nothing open, or not at all.
    if std::env::args_os().nth(1).is_some_and(|word| word == skein_runtime::shim::COMMAND) {
        return skein_runtime::shim::main();
    }
    let code = skein::run(std::env::args_os());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
