//! `smart-colab`: see the library for the map of the house.

fn main() -> std::process::ExitCode {
    smart_colab::cli::main()
}
