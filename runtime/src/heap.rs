//! The memory of this process.

/// Gives the kernel back the pages that are free in the middle of the heap. glibc by itself gives back only what lies at
/// its end, and something that is kept always lies there. Takes some milliseconds for 50 MiB; does nothing elsewhere.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) has no preconditions and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of the pages of the program's code. Those that are needed again, a part of what a start needs, come back from
/// the kernel's page cache at once; of the others the process no longer has a share. Does nothing where it cannot tell.
pub fn give_back_code() {
    advise_code(libc::MADV_DONTNEED);
}

fn advise_code(advice: libc::c_int) {
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (begin, end) in maps.lines().filter_map(|line| code_of(line, program.to_str()?)) {
        // SAFETY: the range is a private mapping of a file that this process cannot write to and never could: what
        // comes back when it is touched again is what was there.
        unsafe {
            libc::madvise(begin as *mut libc::c_void, end - begin, advice);
        }
    }
}

/// Where a line of proc_pid_maps(5) says that code of the program lies.
fn code_of(line: &str, program: &str) -> Option<(usize, usize)> {
    let (head, path) = line.split_at(line.find('/')?);
    let mut words = head.split_ascii_whitespace();
    let (range, kind) = (words.next()?, words.next()?);
    let (begin, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    (kind == "r-xp" && path == program).then_some((address(begin)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_let_go() {
        let line =
            |kind: &str, path: &str| format!("00400000-0215a000 {kind} 00001000 fe:00 17 {path}");
        let program = "/usr/local/bin/skein (deleted)";
        assert_eq!(code_of(&line("r-xp", program), program), Some((0x40_0000, 0x215_a000)));
        for (kind, path) in [
            // Relocated once, and read-only since: the file has not what is there.
            ("r--p", program),
            ("rw-p", program),
            ("r-xp", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
            ("r-xp", "[vdso]"),
            ("r-xp", ""),
        ] {
            assert_eq!(code_of(&line(kind, path), program), None, "{kind} {path}");
        }
    }

    #[test]
    fn the_program_goes_on_without_its_code_in_memory() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss_File:")).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap()
        };
        advise_code(libc::MADV_POPULATE_READ);
        let before = resident();
        give_back_code();
        let after = resident();
        assert!(after < before / 2, "{before} kB before, {after} after");
    }
}
