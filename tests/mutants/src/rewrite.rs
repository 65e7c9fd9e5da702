//! Writes a file of the core with all its mutants, each behind a switch.
//!
//! Comments mark what belongs to a site and to a mutant, so that an error of the compiler leads to
//! the mutants that cause it.

use std::collections::HashSet;
use std::fmt::Write;
use std::ops::Range;

use crate::list::Mutant;
use crate::sites::{Form, Kind, Site};

/// What the compiler did not take so far.
#[derive(Debug, Default)]
pub struct Refused {
    /// Mutants that do not compile.
    pub mutants: HashSet<u32>,
    /// Sites, by their first mutant, whose operands have to be written once for each mutant.
    /// Elsewhere they are written once and bound to names; types and borrows rarely forbid that.
    pub plain: HashSet<u32>,
}

/// The text with all mutants that are not refused. The sites are those of this text.
pub fn rewrite(text: &str, sites: &[Site<'_>], refused: &Refused) -> String {
    Writer { text, sites, refused }.write(0..text.len(), 0)
}

struct Writer<'a> {
    text: &'a str,
    sites: &'a [Site<'a>],
    refused: &'a Refused,
}

impl Writer<'_> {
    /// The text of a range, with the sites in it rewritten; those before `first` are under way.
    fn write(&self, range: Range<usize>, first: usize) -> String {
        let mut out = String::new();
        let mut at = range.start;
        for (index, site) in self.sites.iter().enumerate().skip(first) {
            if site.range.start < at || site.range.end > range.end {
                continue;
            }
            out.push_str(&self.text[at..site.range.start]);
            out.push_str(&self.site(index, site));
            at = site.range.end;
        }
        out.push_str(&self.text[at..range.end]);
        out
    }

    fn site(&self, index: usize, site: &Site<'_>) -> String {
        let inner = |range: &Range<usize>| self.write(range.clone(), index + 1);
        let kept: Vec<&Mutant> = site
            .mutants
            .iter()
            .copied()
            .filter(|mutant| !self.refused.mutants.contains(&mutant.number))
            .collect();
        if kept.is_empty() {
            return inner(&site.range);
        }
        let name = site.mutants[0].number;
        let plain = self.refused.plain.contains(&name);
        let text = match &site.form {
            Form::Body => kept.iter().fold(String::new(), |mut out, mutant| {
                let value = marked(mutant.number, &mutant.replacement);
                let _ = write!(out, " if {} {{ return {value}; }} ", switch(mutant));
                out
            }),
            Form::Binary { left, operator, right, kind } => {
                binary(&kept, &inner(left), operator, &inner(right), *kind, plain)
            }
            Form::Unary { operator, operand } => {
                let (operand, switch) = (inner(operand), switch(kept[0]));
                let taken = marked(kept[0].number, if plain { &operand } else { "x" });
                if plain {
                    format!("(if {switch} {{ {taken} }} else {{ {operator}({operand}) }})")
                } else {
                    format!(
                        "({{ let x = {operand}; if {switch} {{ {taken} }} else {{ {operator}x }} }})"
                    )
                }
            }
            Form::Arm => format!(" if !{}", marked(kept[0].number, &switch(kept[0]))),
            Form::Guard => kept.iter().fold(format!("({})", inner(&site.range)), |out, mutant| {
                let on = switch(mutant);
                if mutant.replacement == "true" {
                    format!("({on} || {out})")
                } else {
                    format!("(!{on} && {out})")
                }
            }),
            Form::Field { name, short, base } => {
                let base = marked(kept[0].number, &format!("({}).{name}", inner(base)));
                let field = if *short { format!("{name}: ") } else { String::new() };
                let (switch, value) = (switch(kept[0]), inner(&site.range));
                format!("{field}(if {switch} {{ {base} }} else {{ {value} }})")
            }
        };
        format!("/*[s{name}*/{text}/*s{name}]*/")
    }
}

/// Whether the mutant is active, in the rewritten core.
pub fn switch(mutant: &Mutant) -> String {
    format!("crate::switch::mutant({})", mutant.number)
}

fn marked(number: u32, text: &str) -> String {
    format!("/*[m{number}*/{text}/*m{number}]*/")
}

fn binary(
    mutants: &[&Mutant],
    left: &str,
    operator: &str,
    right: &str,
    kind: Kind,
    plain: bool,
) -> String {
    let choose = |left: &str, right: &str| {
        let mut out = String::new();
        for mutant in mutants {
            let changed = format!("{left} {} {right}", mutant.replacement);
            let changed = marked(mutant.number, &changed);
            let _ = write!(out, "if {} {{ {changed} }} else ", switch(mutant));
        }
        let _ = write!(out, "{{ {left} {operator} {right} }}");
        out
    };
    match kind {
        Kind::Assignment => {
            let out = choose(left, right);
            format!("{{ {out} }}")
        }
        Kind::Lazy if !plain => {
            // `a && b` and `a || b` are `if a { b } else { a }` and its reverse.
            let on = marked(mutants[0].number, &switch(mutants[0]));
            let all = if operator == "&&" { "!=" } else { "==" };
            format!("({{ let x = {left}; if x {all} {on} {{ {right} }} else {{ x }} }})")
        }
        Kind::Comparison if !plain => {
            let out = choose("*x", "*y");
            format!("(match (&({left}), &({right})) {{ (x, y) => {out} }})")
        }
        Kind::Arithmetic if !plain => {
            let out = choose("x", "y");
            format!("(match ({left}, {right}) {{ (x, y) => {out} }})")
        }
        _ => {
            let out = choose(&format!("({left})"), &format!("({right})"));
            format!("({out})")
        }
    }
}
