# The scripts under shorter names; `just` alone lists them.

_default:
    @just --list

# everything that has to be green
test *ARGS:
    scripts/test {{ARGS}}

# format, unit tests and the rules of the house
fast:
    scripts/test --fast

# three nodes on this machine
demo *ARGS:
    scripts/demo {{ARGS}}

# the full counts: seeds, kills, fuzzing; takes hours
soak *ARGS:
    scripts/soak {{ARGS}}

# every parser against arbitrary bytes
fuzz *ARGS:
    scripts/fuzz {{ARGS}}

# the present build and an older one in one mesh
mixed *ARGS:
    scripts/mixed {{ARGS}}

# cargo with the project's environment
cargo *ARGS:
    scripts/cargo {{ARGS}}

fmt:
    scripts/cargo fmt --all

clippy:
    scripts/cargo clippy --workspace --all-targets -- -D warnings
