//! The same seed gives the same bytes in two processes, not only twice in one.
//! The histories themselves are lived by `cargo sim`; see docs/simulator.md.

use std::process::Command;

fn lived(seed: &str) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(["--seed", seed]).output();
    let run = run.expect("the simulator starts");
    let text = String::from_utf8(run.stdout).expect("a trace is text");
    assert!(run.status.success(), "seed {seed} fails: cargo sim --seed {seed}");
    text
}

#[test]
fn same_seed_gives_the_same_bytes_in_another_process() {
    for seed in ["1", "4"] {
        let (one, other) = (lived(seed), lived(seed));
        assert!(one.lines().count() > 50, "a history is longer than that");
        let differs = one.lines().zip(other.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert!(one.ends_with("1 passed, 0 failed\n"));
    }
}
