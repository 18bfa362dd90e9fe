//! Makes one text of the rules that come with Hudson: each with its file and line, in a form that is read in a millisecond.
//! The YAML files stay the only place where a rule is written; a test keeps both the same.

use serde::Serialize;
use serde_saphyr::Spanned;
use std::error::Error;
use std::path::Path;

#[derive(Serialize)]
struct Placed<'a> {
    file: &'a str,
    line: u64,
    rule: serde_json::Value,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules");
    let mut files = std::fs::read_dir("rules")?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut lines = Vec::new();
    for entry in files {
        let name = entry.file_name().to_string_lossy().into_owned();
        println!("cargo::rerun-if-changed=rules/{name}");
        let text = std::fs::read_to_string(entry.path())?;
        let rules: Vec<Spanned<serde_json::Value>> =
            serde_saphyr::from_str(&text).map_err(|error| format!("rules/{name}: {error}"))?;
        for rule in rules {
            let placed = Placed { file: &name, line: rule.referenced.line(), rule: rule.value };
            lines.push(serde_json::to_string(&placed)?);
        }
    }
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("rules.json"), format!("[{}]", lines.join(",\n")))?;
    Ok(())
}
