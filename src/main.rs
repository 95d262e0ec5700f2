//! The `topicwire` program.

fn main() -> std::process::ExitCode {
    topicwire::cli::main()
}
