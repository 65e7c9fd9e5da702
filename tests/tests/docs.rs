//! What the documentation points at is there.

use std::path::{Path, PathBuf};

/// The Markdown files of the repository.
fn documents(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The text outside of fenced blocks.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect()
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The anchor of a heading, as the usual renderers make it.
fn anchor(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    title.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut paths = Vec::new();
    documents(root, &mut paths);
    let (mut count, mut broken) = (0, Vec::new());
    for path in paths {
        let text = prose(&std::fs::read_to_string(&path).expect("readable text"));
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().expect("a directory").join(file),
            };
            let leads = match heading {
                "" => target.exists(),
                heading => std::fs::read_to_string(&target).is_ok_and(|text| {
                    text.lines().filter(|line| line.starts_with('#')).any(|h| anchor(h) == heading)
                }),
            };
            if !leads {
                broken.push(format!("{}: {link}", path.display()));
            }
            count += 1;
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(count > 30, "only {count} links found");
}

#[test]
fn every_decision_is_in_the_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let dir = root.join("muxado-proto/docs/adr");
    let index = std::fs::read_to_string(dir.join("README.md")).expect("the index");
    let mut paths = Vec::new();
    documents(&dir, &mut paths);
    paths.retain(|path| !path.ends_with("README.md"));
    assert!(paths.len() >= 10, "only {} decisions", paths.len());
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable text");
        let (title, number) = (text.lines().next().unwrap_or_default(), &name[..4]);
        let title = title.strip_prefix(&format!("# {number}. "));
        let title = title.unwrap_or_else(|| panic!("{name}: no title with its number"));
        let row = format!("| [{number}]({name}) | {title} |");
        assert!(index.contains(&row), "{name}: no row `{row}`");
        for part in ["## Context", "## Decision", "## Consequences", "## Instead of"] {
            assert!(text.lines().any(|line| line == part), "{name}: no {part}");
        }
    }
}
