//! All figures at once, under each congestion control: tables, plots, and the table for a README.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    campaign,
    cli::PublishArgs,
    congestion::{self, Congestion},
    plot, readme,
    record::Record,
    report::{self, Style},
};

/// Takes the samples, writes the files, and prints the tables for a README.
pub(crate) fn run(args: &PublishArgs) -> io::Result<()> {
    let mut tables = String::new();
    for &congestion in &args.under {
        congestion::choose(congestion);
        let record = campaign::run(&args.run.clone().under(congestion).settled())?;
        tables += &files(&record, congestion, &args.into)?;
    }
    let file = args.into.join("TABLES.md");
    fs::write(&file, &tables)?;
    print!("{tables}");
    println!("These tables are in {}.", file.display());
    Ok(())
}

/// Writes what belongs to one record, and returns its table for a README.
fn files(record: &Record, congestion: Congestion, into: &Path) -> io::Result<String> {
    fs::create_dir_all(into)?;
    let name = congestion.to_string();
    let results = into.join(format!("RESULTS-{}.md", name.to_uppercase()));
    let title = format!("# Results of the benchmark, {}\n\n", name.to_uppercase());
    fs::write(&results, title + &report::render(record, Style::Markdown))?;
    let plots: PathBuf = into.join(&name);
    println!("{}", results.display());
    for file in plot::draw(record, &plots)? {
        println!("{}", file.display());
    }
    record.write(&into.join(format!("{name}.json")))?;
    Ok(readme::render(record))
}
