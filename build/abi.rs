//! What a launch must know about a kernel, read from the PTX itself: the PTX is the ABI.

/// One `.entry` of a PTX module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryAbi {
    /// Its name.
    pub name: String,
    /// Size in bytes of each parameter, in order.
    pub params: Vec<u32>,
    /// Threads that a block may have, from `__launch_bounds__`.
    pub max_threads: u32,
    /// Bytes of statically declared shared memory.
    pub static_shared: u32,
}

/// Every entry of a PTX module, in the order of the text.
pub fn parse_entries(ptx: &str) -> Result<Vec<EntryAbi>, String> {
    let module_shared = shared_variables(ptx.lines().scan(0i32, |depth, line| {
        let outside = *depth == 0;
        *depth += braces(line);
        Some(if outside { line } else { "" })
    }))?;

    let mut entries = Vec::new();
    let mut lines = ptx.lines();
    while let Some(line) = lines.next() {
        let Some(at) = line.find(".entry ") else { continue };
        if line.trim_start().starts_with("//") {
            continue;
        }
        let mut header = line[at + ".entry ".len()..].to_string();
        for line in lines.by_ref() {
            if line.trim() == "{" {
                break;
            }
            header.push('\n');
            header.push_str(line);
        }
        let mut body = Vec::new();
        let mut depth = 1;
        for line in lines.by_ref() {
            depth += braces(line);
            if depth == 0 {
                break;
            }
            body.push(line);
        }
        entries.push(entry(&header, &body, &module_shared)?);
    }
    Ok(entries)
}

fn entry(header: &str, body: &[&str], module_shared: &[(String, u32, u32)]) -> Result<EntryAbi, String> {
    let name_end = header.find(['(', '\n']).unwrap_or(header.len());
    let name = header[..name_end].trim().to_string();
    let (params, directives) = match (header.find('('), header.rfind(')')) {
        (Some(open), Some(close)) => (&header[open + 1..close], &header[close + 1..]),
        _ => ("", &header[name_end..]),
    };
    let params = params
        .split(',')
        .map(str::trim)
        .filter(|param| !param.is_empty())
        .map(|param| variable(param).map(|(_, bytes, _)| bytes).map_err(|why| format!("{name}: {why}")))
        .collect::<Result<_, _>>()?;

    let mut shared = shared_variables(body.iter().copied())?;
    shared.extend(
        module_shared.iter().filter(|(name, ..)| body.iter().any(|line| line.contains(name.as_str()))).cloned(),
    );
    // Dynamic ones begin where the static ones end, which ptxas counts up to their alignment.
    let (dynamic, shared): (Vec<_>, Vec<_>) = shared.into_iter().partition(|(_, bytes, _)| *bytes == 0);
    let end = shared.iter().fold(0u32, |end, (_, bytes, align)| end.next_multiple_of(*align) + bytes);
    let static_shared = dynamic.iter().fold(end, |end, (_, _, align)| end.next_multiple_of(*align));

    let max_threads = directives
        .lines()
        .map(str::trim)
        .find_map(|line| line.strip_prefix(".maxntid").or_else(|| line.strip_prefix(".reqntid")))
        .ok_or_else(|| format!("{name}: no __launch_bounds__"))?
        .split(',')
        .map(|n| n.trim().parse::<u32>().map_err(|e| format!("{name}: block bounds: {e}")))
        .product::<Result<u32, _>>()?;
    Ok(EntryAbi { name, params, max_threads, static_shared })
}

/// The `.shared` variables declared in these lines, as name, bytes and alignment; dynamic ones count nothing.
fn shared_variables<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, u32, u32)>, String> {
    lines
        .map(|line| line.trim().trim_start_matches(".visible ").trim_start_matches(".weak "))
        .filter(|line| line.starts_with(".shared ") || line.starts_with(".extern .shared "))
        .map(|line| variable(line.trim_end_matches(';').trim_start_matches(".extern ")))
        .collect()
}

/// Parses `.param .u64 name` or `.shared .align 8 .b8 name[16]` into name, bytes and alignment.
fn variable(text: &str) -> Result<(String, u32, u32), String> {
    let bad = |what: &str| format!("{what} in `{text}`");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut align, mut width) = (None, None);
    for (i, word) in words.iter().enumerate() {
        match *word {
            ".align" => align = words.get(i + 1).and_then(|n| n.parse().ok()),
            ".param" | ".shared" | ".ptr" | ".global" => {}
            _ if word.starts_with('.') && width.is_none() => {
                let bits: u32 =
                    word.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().map_err(|_| bad("type"))?;
                width = Some(bits / 8);
            }
            _ => {}
        }
    }
    let width = width.ok_or_else(|| bad("no type"))?;
    let declared = words.last().ok_or_else(|| bad("no name"))?;
    let (name, count) = match declared.split_once('[') {
        // `name[]` is dynamic shared memory: its bytes are the launch's.
        Some((name, count)) if count.starts_with(']') => (name, 0),
        Some((name, count)) => (name, count.trim_end_matches(']').parse().map_err(|_| bad("length"))?),
        None => (*declared, 1),
    };
    Ok((name.to_string(), width * count, align.unwrap_or(width).max(1)))
}

/// Braces opened less braces closed.
fn braces(line: &str) -> i32 {
    let line = line.split("//").next().unwrap_or_default();
    line.chars().map(|c| i32::from(c == '{') - i32::from(c == '}')).sum()
}
