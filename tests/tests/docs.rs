//! Links, examples and formulas in the documentation are valid.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use muxado_proto::Config;

/// The Markdown files of the repository.
fn documents(dir: &Path, found: &mut Vec<PathBuf>) {
    files(dir, &[".md"], found);
}

/// The files of the repository with one of these endings.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, endings, found);
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
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

/// crates.io resolves other links by the address of the repository, and the manifests have none.
#[test]
fn the_readme_of_a_crate_has_only_whole_links() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for name in ["muxado-proto", "muxado-tokio", "muxado-smol"] {
        let path = root.join(name).join("README.md");
        let text = prose(&std::fs::read_to_string(path).expect("readable text"));
        let found: Vec<&str> = links(&text).collect();
        assert!(!found.is_empty(), "{name} has no links");
        assert!(found.iter().all(|link| link.starts_with("https://")), "{name}: {found:?}");
    }
}

#[test]
fn every_example_that_is_named_can_be_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut paths = Vec::new();
    documents(root, &mut paths);
    let mut count = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable text").replace('\n', " ");
        for named in text.split("-p ").skip(1) {
            let mut words = named.split(|c: char| c.is_whitespace() || c == '`');
            let (package, option) = (words.next().unwrap_or_default(), words.next());
            let (Some("--example"), Some(example)) = (option, words.next()) else { continue };
            let package = root.join(package);
            let manifest = std::fs::read_to_string(package.join("Cargo.toml")).expect("a package");
            let by_name = manifest.contains(&format!("[[example]]\nname = \"{example}\""));
            let file = format!("examples/{example}.rs");
            let renamed = manifest.contains(&format!("path = \"{file}\""));
            let by_file = package.join(&file).exists() && !renamed;
            let in_directory = package.join(format!("examples/{example}/main.rs")).exists();
            assert!(by_name || by_file || in_directory, "{}: no example {example}", path.display());
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} examples are named");
}

#[test]
fn the_smallest_loop_has_eighty_lines_and_needs_std_alone() {
    let source = include_str!("../../muxado-proto/examples/minimal.rs");
    let code = source.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
    let code: Vec<&str> = code.collect();
    assert!(code.len() <= 80, "{} lines of code", code.len());
    for line in code.iter().filter_map(|line| line.strip_prefix("use ")) {
        // `bytes` is in the interface of the core.
        let known = ["std::", "bytes::", "muxado_proto::"];
        assert!(known.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[test]
fn every_setting_has_a_place_in_the_table_of_config() {
    let source = include_str!("../../muxado-proto/src/config.rs");
    let after = |mark: &str| source.split_once(mark).expect("the settings").1;
    let settings = after("\nsettings! {").split("\n}\n").next().expect("its end");
    let names: BTreeSet<&str> = settings
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.contains('@'))
        .filter_map(|line| line.trim().strip_suffix(';'))
        .map(|line| line.split(':').next().unwrap_or(line))
        .chain(["memory_budget"])
        .collect();
    let table = after("/// | group | settings |").split("/// ```").next().expect("its end");
    let places: Vec<&str> =
        table.split("](Self::").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(names.len() >= 40, "{names:?}");
    assert_eq!(names, places.iter().copied().collect());
    assert_eq!(names.len(), places.len(), "one is there twice");
}

/// The table of CONTRIBUTING.md that says where to find what: names in backticks are files, and what
/// is in the file named before them.
#[test]
fn what_contributing_says_where_to_find_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let document = include_str!("../../CONTRIBUTING.md");
    let section = document.split_once("## Where to find what").expect("the section").1;
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let mut count = 0;
    for row in rows {
        let mut files = BTreeSet::new();
        let mut text = String::new();
        for name in row.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                files.insert(name);
                let path = root.join("muxado-proto/src").join(name);
                text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{name}: {e}"));
                continue;
            }
            let name = name.rsplit("::").next().unwrap_or(name);
            let kinds = ["fn", "struct"].map(|kind| format!("{kind} {name}"));
            assert!(
                kinds.iter().any(|item| text.contains(item)),
                "{name} is not where it was: {row}"
            );
        }
        assert!((1..=3).contains(&files.len()), "takes {} files: {row}", files.len());
        count += 1;
    }
    assert_eq!(count, 8);
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

/// The value of a sum of products such as `2 x (a + b) / 3 + 16 KiB`.
fn evaluate(formula: &str, value: &impl Fn(&str) -> u64) -> u64 {
    let mut depth = 0;
    let terms = formula.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == '+' && depth == 0
    });
    let factor = |factor: &str| match factor.trim() {
        sum if sum.starts_with('(') => evaluate(&sum[1..sum.len() - 1], value),
        kib if kib.ends_with(" KiB") => {
            kib[..kib.len() - 4].parse::<u64>().expect("a number") << 10
        }
        name => name.parse().unwrap_or_else(|_| value(name)),
    };
    let product = |term: &str| term.split(" x ").map(factor).product::<u64>();
    let quotient = |term: &str| match term.split_once(" / ") {
        Some((term, divisor)) => product(term) / product(divisor),
        None => product(term),
    };
    terms.map(quotient).sum()
}

#[test]
fn the_memory_formula_of_security_md_is_that_of_config() {
    let document = include_str!("../../SECURITY.md");
    let block = document.split_once("### Memory of a session").expect("the section").1;
    let block = block.split("```").nth(1).and_then(|block| block.strip_prefix("text\n"));
    let lines = block.expect("the formula").lines();
    // Two spaces separate a term from its description.
    let formula: String = lines.map(|line| line.trim().split("  ").next().unwrap_or("")).collect();
    let config = Config::builder()
        .receive_window(1 << 10)
        .session_receive_buffer(1 << 20)
        .session_send_buffer(3 << 20)
        .max_inbound_streams(11)
        .max_outbound_streams(13)
        .max_heartbeat_responders(17)
        .tombstones(19)
        .pending_resets(23)
        .id_gaps(29)
        .goaway_text(31)
        .max_frame_size(2000)
        .build()
        .expect("valid settings");
    let value = |name: &str| match name {
        "session_receive_buffer" => config.session_receive_buffer(),
        "session_send_buffer" => u64::from(config.session_send_buffer()),
        "max_inbound_streams" => u64::from(config.max_inbound_streams()),
        "max_outbound_streams" => u64::from(config.max_outbound_streams()),
        "max_heartbeat_responders" => u64::from(config.max_heartbeat_responders()),
        "tombstones" => u64::from(config.tombstones()),
        "pending_resets" => u64::from(config.pending_resets()),
        "id_gaps" => u64::from(config.id_gaps()),
        "goaway_text" => u64::from(config.goaway_text()),
        "max_frame_size" => u64::from(config.max_frame_size()),
        name => panic!("SECURITY.md counts `{name}`"),
    };
    assert_eq!(evaluate(&formula, &value), config.max_memory());
}

/// The text of a file in one line, without the marks of comments.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim());
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn prose_is_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut paths = Vec::new();
    files(root, &[".rs", ".md"], &mut paths);
    // Records of decisions are not edited.
    let decisions = root.join("muxado-proto/docs/adr");
    paths.retain(|path| !path.starts_with(&decisions));
    assert!(paths.len() > 100, "only {} files", paths.len());
    let mut found = Vec::new();
    for path in paths {
        let text = one_line(&std::fs::read_to_string(&path).expect("readable text"));
        // In two pieces, so that this file does not contain them.
        for (bad, good) in [
            (concat!("can", " not"), "cannot"),
            (concat!("for", " ever"), "forever"),
            (concat!("of those", " that"), "name the things"),
        ] {
            let mut words = text.match_indices(bad);
            let ends = |at: usize| {
                !text[at + bad.len()..].starts_with(|c: char| c.is_alphanumeric())
                    && !text[..at].ends_with(|c: char| c.is_alphanumeric())
            };
            if words.any(|(at, _)| ends(at)) {
                found.push(format!("{}: `{bad}`: {good}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "not plain English:\n{}", found.join("\n"));
}
