//! The `nines` program.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    nines::cli::main()
}
