//! Golden files: what programs wrote so far is still read, as what it said, and written the same.
//!
//! `golden/GROUP/NAME/CASE.json` holds the bytes of one value of one format and what they say. A file is never changed:
//! a new value, or a new version of a format, is a new sample (`samples/`) under a new case, and
//! `TOWNMESH_BLESS=1 cargo test -p townmesh-formats` writes the files that are missing, never one that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod golden;
mod samples;
mod shells;
mod steps;
