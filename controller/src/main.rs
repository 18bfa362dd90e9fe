//! hudson
fn main() {}
