//! `cargo xtask new-op`: the four files of an operator, compiling and tested from the first minute.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// Options of `cargo xtask new-op`.
#[derive(clap::Args)]
pub struct Args {
    /// The operator's name, such as `sort` or `jpeg_huffman`.
    name: String,
    /// The folder under src/, tests/ and benches/ that it belongs to.
    #[arg(long, default_value = "ops")]
    area: Area,
}

/// Where operators live.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Area {
    Ops,
    Image,
    Parquet,
    Infer,
}

impl Area {
    fn folder(self) -> &'static str {
        match self {
            Area::Ops => "ops",
            Area::Image => "image",
            Area::Parquet => "parquet",
            Area::Infer => "infer",
        }
    }
}

/// Writes the files and their `mod` lines; existing files are left alone.
pub fn run(args: &Args) -> Result<()> {
    let (name, area) = (args.name.as_str(), args.area.folder());
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    ensure!(plain, "`{name}`: an operator's name is lower case letters, digits and underscores");

    let root = workspace::root();
    let files = [
        (format!("kernels/{name}.cu"), include_str!("../templates/kernel.cu.tmpl")),
        (format!("src/{area}/{name}.rs"), include_str!("../templates/operator.rs.tmpl")),
        (format!("tests/{area}/{name}.rs"), include_str!("../templates/test.rs.tmpl")),
        (format!("benches/{area}/{name}.rs"), include_str!("../templates/bench.rs.tmpl")),
    ];
    for (path, _) in &files {
        ensure!(!root.join(path).exists(), "{path} exists");
    }
    ensure!(!root.join(format!("src/{area}/{name}")).exists(), "src/{area}/{name}/ exists");
    for (path, template) in &files {
        fs::write(root.join(path), filled(template, name, area)).with_context(|| path.clone())?;
        println!("{path}: written");
    }
    insert_lines(
        &root.join(format!("src/{area}/mod.rs")),
        &[format!("mod {name};"), format!("pub use {name}::{name};")],
    )?;
    insert_lines(&root.join(format!("tests/{area}/mod.rs")), &[format!("mod {name};")])?;
    insert_lines(&root.join(format!("benches/{area}/mod.rs")), &[format!("mod {name};")])?;
    call_bench(&root.join(format!("benches/{area}/mod.rs")), name)?;
    workspace::run(workspace::cargo().arg("fmt"))?;
    println!("next: write the kernel, `cargo xtask ptx`, `cargo xtask test {name}`");
    Ok(())
}

/// The template with its `{name}`, `{Title}` and `{area}` filled in.
fn filled(template: &str, name: &str, area: &str) -> String {
    let words = name.replace('_', " ");
    let title = words[..1].to_uppercase() + &words[1..];
    template.replace("{name}", name).replace("{Title}", &title).replace("{area}", area)
}

/// Puts each line behind the last one that starts alike (`mod`, `pub use`), or else below the module's comment.
fn insert_lines(path: &Path, lines: &[String]) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut kept: Vec<String> = text.lines().map(str::to_string).collect();
    for line in lines {
        let first_word = line.split(' ').next().unwrap_or_default();
        let alike = |other: &String| {
            other.ends_with(';')
                && other.split(' ').next() == Some(first_word)
                && (first_word == "mod" || other.contains(" use "))
        };
        match kept.iter().rposition(alike) {
            Some(at) => kept.insert(at + 1, line.clone()),
            None => {
                let at = kept.iter().position(|l| !l.starts_with("//!")).unwrap_or(kept.len());
                kept.splice(at..at, [String::new(), line.clone()]);
            }
        }
    }
    fs::write(path, kept.join("\n") + "\n").with_context(|| path.display().to_string())
}

/// Lets the area's bench function run the new group.
fn call_bench(path: &Path, name: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let text = text.replace("_criterion: &mut Criterion) {}", "criterion: &mut Criterion) {\n}");
    let head = "pub fn benches(criterion: &mut Criterion) {\n";
    let at = text.find(head).with_context(|| format!("{}: no `{}`", path.display(), head.trim()))? + head.len();
    let (before, after) = text.split_at(at);
    let end = after.find('}').with_context(|| format!("{}: no end of `benches`", path.display()))?;
    let (calls, rest) = after.split_at(end);
    fs::write(path, format!("{before}{calls}    {name}::benches(criterion);\n{rest}"))?;
    Ok(())
}
