//! Tells the linker how to build a Node-API addon; does nothing for the plain Rust crate.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
