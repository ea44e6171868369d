//! The bridge against real files, real writers and real git repositories.

#[path = "parts/coupling.rs"]
mod coupling;
#[path = "parts/support.rs"]
mod support;
