//! One JSON of what a run of the bundle wrote into its folder.

use std::path::Path;

use serde_json::{Map, Value, json};

/// Reads `bundle.json`, `calibration.json`, `tests.jsonl`, `peers.jsonl` and criterion's folder; writes one file.
pub fn run(folder: &Path, file: &Path) {
    let whole = json!({
        "bundle": read(&folder.join("bundle.json")),
        "run": read(&folder.join("run.json")),
        "calibration": read(&folder.join("calibration.json")),
        "tests": lines(&folder.join("tests.jsonl")),
        "benches": benches(&folder.join("criterion")),
        "peers": lines(&folder.join("peers.jsonl")),
    });
    std::fs::write(file, serde_json::to_string_pretty(&whole).expect("JSON")).expect("the file is written");
}

fn read(path: &Path) -> Value {
    std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
}

/// A JSON value on each line; a line that is none is kept as a string, so that nothing is lost.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}

/// Every benchmark that criterion measured: its name, throughput and median, sorted by name.
fn benches(folder: &Path) -> Vec<Value> {
    let mut found = Map::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(listing) = std::fs::read_dir(&folder) else { continue };
        open.extend(listing.filter_map(|e| e.ok()).map(|e| e.path()).filter(|p| p.is_dir()));
        if folder.ends_with("new") {
            let (about, times) = (read(&folder.join("benchmark.json")), read(&folder.join("estimates.json")));
            let interval = &times["median"]["confidence_interval"];
            let bench = json!({
                "group": about["group_id"],
                "function": about["function_id"],
                "value": about["value_str"],
                "throughput": about["throughput"],
                "median_ns": times["median"]["point_estimate"],
                "low_ns": interval["lower_bound"],
                "high_ns": interval["upper_bound"],
            });
            found.insert(about["full_id"].as_str().unwrap_or_default().to_owned(), bench);
        }
    }
    found.into_iter().map(|(_, bench)| bench).collect()
}
