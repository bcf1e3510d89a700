//! Canonical PTX: the same text wherever, and in whatever folder, the pinned nvcc compiled it.
//!
//! nvcc's own output holds absolute paths, hashes of paths inside internal symbols, and a `.debug_str` section whose
//! labels the `.loc` lines refer to. None of that changes what runs. The `.version` line is lowered because nvcc
//! writes its own newest version whatever the code needs, and drivers refuse a version newer than themselves.

/// The PTX version of CUDA 12.0: what drivers from R525 load.
pub const PTX_VERSION: (u32, u32) = (8, 0);

/// Rewrites nvcc's PTX to its canonical form; `kernels` is the folder of the source as nvcc was told it. Fails on instructions whose result is not defined to the bit.
pub fn canonicalize(raw: &str, kernels: &str) -> Result<String, String> {
    let mut out = String::with_capacity(raw.len());
    let mut in_debug_section = false;
    for (number, line) in raw.lines().enumerate() {
        if in_debug_section {
            in_debug_section = line.trim() != "}";
            continue;
        }
        let code = line.trim_start();
        if code.starts_with(".section") && code.contains(".debug_str") {
            in_debug_section = true;
            continue;
        }
        reject_inexact(code).map_err(|why| format!("PTX line {}: {why}", number + 1))?;
        out.push_str(&canonical_line(line, kernels));
        out.push('\n');
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    Ok(out)
}

fn canonical_line(line: &str, kernels: &str) -> String {
    let line = line.trim_end();
    let code = line.trim_start();
    let indent = &line[..line.len() - code.len()];
    if let Some(version) = code.strip_prefix(".version") {
        return format!("{indent}.version {}", lowered_version(version.trim()));
    }
    if code.starts_with(".pragma") && code.contains("used_bytes_mask") {
        // PTX 8.3; a hint about loads, safe to lose.
        return format!("{indent}// {code}");
    }
    if code.starts_with(".loc") {
        return code.split(", function_name").next().map(|kept| format!("{indent}{kept}")).unwrap_or_default();
    }
    if code.starts_with(".file")
        && let [before, path, ..] = code.split('"').collect::<Vec<_>>()[..]
    {
        return format!("{indent}{before}\"{}\"", relative_path(path, kernels));
    }
    with_fixed_hashes(line)
}

/// The lower of this version and [`PTX_VERSION`]; unknown text stays as it is, for ptxas to refuse.
fn lowered_version(text: &str) -> String {
    let parsed = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match parsed {
        Some(version) if version > PTX_VERSION => format!("{}.{}", PTX_VERSION.0, PTX_VERSION.1),
        _ => text.to_string(),
    }
}

/// Our files as `kernels/...`, the toolkit's as `include/...`, anything else by its name.
fn relative_path(path: &str, kernels: &str) -> String {
    if let Some(ours) = path.strip_prefix(kernels) {
        return format!("kernels/{}", ours.trim_start_matches('/'));
    }
    match path.rsplit_once("/include/") {
        Some((_, header)) => format!("include/{header}"),
        None => path.rsplit('/').next().unwrap_or_default().to_string(),
    }
}

/// Internal symbols are `_INTERNAL_<hash>_<length>_<file>_cu_<hash>` and `_GLOBAL__N__<hash>_..._<hash>`; both hashes
/// come from the path of the source. Their eight digits become zeros, so that lengths in mangled names stay true.
fn with_fixed_hashes(line: &str) -> String {
    let mut bytes = line.as_bytes().to_vec();
    for marker in ["_INTERNAL_", "_GLOBAL__N__"] {
        let mut from = 0;
        while let Some(found) = line[from..].find(marker) {
            let first = from + found + marker.len();
            from = first;
            if !is_hash(line, first) {
                continue;
            }
            bytes[first..first + 8].fill(b'0');
            if let Some(found) = line[first..].find("_cu_") {
                let second = first + found + "_cu_".len();
                if is_hash(line, second) {
                    bytes[second..second + 8].fill(b'0');
                }
            }
        }
    }
    String::from_utf8(bytes).expect("ASCII digits replaced by ASCII digits")
}

fn is_hash(line: &str, at: usize) -> bool {
    line.as_bytes().get(at..at + 8).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Approximate and flush-to-zero instructions differ between devices and from the host twin.
fn reject_inexact(code: &str) -> Result<(), String> {
    let mut tokens = code.split_whitespace();
    let mut opcode = tokens.next().unwrap_or_default();
    if opcode.starts_with('@') {
        opcode = tokens.next().unwrap_or_default();
    }
    if opcode.starts_with("//") || !opcode.contains('.') || opcode.starts_with('.') {
        return Ok(());
    }
    match opcode.split('.').skip(1).find(|part| *part == "approx" || *part == "ftz") {
        Some(part) => Err(format!("`{opcode}`: .{part} is not allowed, its result is not exact: {code}")),
        None => Ok(()),
    }
}
