//! The rules of the house, checked: who may import whom, and what no file may contain.

mod layering;
mod tidy;
