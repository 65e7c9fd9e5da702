//! Where in a file mutants are, and what surrounds them.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, UnOp};

use crate::list::{Genre, Mutant};

/// A place in a file that has mutants.
#[derive(Debug)]
pub struct Site<'a> {
    /// The bytes that are rewritten. Those of two sites are apart, or one is inside the other.
    pub range: Range<usize>,
    /// What is there.
    pub form: Form,
    /// Its mutants.
    pub mutants: Vec<&'a Mutant>,
}

/// What is at a site.
#[derive(Debug)]
pub enum Form {
    /// The beginning of a function's body.
    Body,
    /// A binary operation.
    Binary {
        /// The left operand.
        left: Range<usize>,
        /// The operator.
        operator: String,
        /// The right operand.
        right: Range<usize>,
        /// What kind of operator it is.
        kind: Kind,
    },
    /// A unary operation.
    Unary {
        /// `!` or `-`.
        operator: &'static str,
        /// Its operand.
        operand: Range<usize>,
    },
    /// The place behind the pattern of an arm.
    Arm,
    /// The guard of an arm.
    Guard,
    /// The value of a field.
    Field {
        /// The name of the field.
        name: String,
        /// Whether it is also the value.
        short: bool,
        /// The expression behind `..`.
        base: Range<usize>,
    },
}

/// Kinds of binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `&&` and `||`.
    Lazy,
    /// They compare places, without moving what is there.
    Comparison,
    /// They take values.
    Arithmetic,
    /// They change a place.
    Assignment,
}

/// Finds the sites of all mutants of a file, outer ones first; also returns the mutants without one.
pub fn find<'a>(
    text: &str,
    mutants: &[&'a Mutant],
) -> Result<(Vec<Site<'a>>, Vec<&'a Mutant>), String> {
    let file = syn::parse_file(text).map_err(|error| error.to_string())?;
    let mut by_start: HashMap<(usize, usize), Vec<&'a Mutant>> = HashMap::new();
    for &mutant in mutants {
        by_start.entry(mutant.start).or_default().push(mutant);
    }
    let mut finder = Finder { lines: Lines::new(text), by_start, sites: Vec::new() };
    finder.visit_file(&file);
    let Finder { mut sites, by_start, .. } = finder;
    sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end)));
    Ok((sites, by_start.into_values().flatten().collect()))
}

/// Lines of a file whose mutants are special.
#[derive(Debug, Default)]
pub struct Special {
    /// Those that only the feature `audit` compiles.
    pub audit: Vec<RangeInclusive<usize>>,
    /// Those of constants and of numbered variants, which have no switch: they are computed by the compiler.
    pub constants: Vec<RangeInclusive<usize>>,
}

/// The special lines of a file.
pub fn special(text: &str) -> Result<Special, String> {
    let file = syn::parse_file(text).map_err(|error| error.to_string())?;
    let mut special = Special::default();
    special.visit_file(&file);
    Ok(special)
}

fn lines(item: Span) -> RangeInclusive<usize> {
    item.start().line..=item.end().line
}

impl Special {
    fn note(&mut self, attributes: &[syn::Attribute], item: Span) {
        let condition = |attribute: &syn::Attribute| match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => String::new(),
        };
        let audit = ["feature = \"audit\"", "any (feature = \"audit\" , test)"];
        if attributes.iter().any(|attribute| audit.contains(&&*condition(attribute))) {
            self.audit.push(lines(item));
        }
    }
}

impl<'ast> Visit<'ast> for Special {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.attrs, item.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note(&item.attrs, item.span());
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.attrs, item.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constants.push(lines(item.span()));
    }

    fn visit_variant(&mut self, item: &'ast syn::Variant) {
        if item.discriminant.is_some() {
            self.constants.push(lines(item.span()));
        }
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constants.push(lines(item.span()));
    }
}

/// Where the lines of a file begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let after =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn offset(&self, at: LineColumn) -> usize {
        let start = self.starts[at.line - 1];
        let line = &self.text[start..];
        start + line.char_indices().nth(at.column).map_or(line.len(), |(offset, _)| offset)
    }

    fn range(&self, span: Span) -> Range<usize> {
        self.offset(span.start())..self.offset(span.end())
    }
}

struct Finder<'t, 'a> {
    lines: Lines<'t>,
    by_start: HashMap<(usize, usize), Vec<&'a Mutant>>,
    sites: Vec<Site<'a>>,
}

impl<'a> Finder<'_, 'a> {
    /// Takes the mutants of these genres that begin where `span` does.
    fn take(&mut self, span: Span, genres: &[Genre]) -> Vec<&'a Mutant> {
        let at = (span.start().line, span.start().column + 1);
        let Some(all) = self.by_start.get_mut(&at) else { return Vec::new() };
        let (taken, left) = all.drain(..).partition(|mutant| genres.contains(&mutant.genre));
        *all = left;
        taken
    }

    fn add(&mut self, range: Range<usize>, form: Form, mutants: Vec<&'a Mutant>) {
        if !mutants.is_empty() {
            self.sites.push(Site { range, form, mutants });
        }
    }

    fn body(&mut self, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        let mutants = self.take(first.span(), &[Genre::FnValue]);
        let start = self.lines.range(block.span()).start + 1;
        self.add(start..start, Form::Body, mutants);
    }
}

impl<'ast> Visit<'ast> for Finder<'_, '_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        let mutants = self.take(expr.op.span(), &[Genre::BinaryOperator]);
        let form = Form::Binary {
            left: self.lines.range(expr.left.span()),
            operator: self.lines.text[self.lines.range(expr.op.span())].to_owned(),
            right: self.lines.range(expr.right.span()),
            kind: kind(&expr.op),
        };
        self.add(self.lines.range(expr.span()), form, mutants);
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        let operator = match expr.op {
            UnOp::Not(_) => "!",
            UnOp::Neg(_) => "-",
            _ => return visit::visit_expr_unary(self, expr),
        };
        let mutants = self.take(expr.op.span(), &[Genre::UnaryOperator]);
        let operand = self.lines.range(expr.expr.span());
        self.add(self.lines.range(expr.span()), Form::Unary { operator, operand }, mutants);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let mutants = self.take(arm.span(), &[Genre::MatchArm]);
        let behind = self.lines.range(arm.pat.span()).end;
        self.add(behind..behind, Form::Arm, mutants);
        if let Some((_, guard)) = &arm.guard {
            let mutants = self.take(guard.span(), &[Genre::MatchArmGuard]);
            self.add(self.lines.range(guard.span()), Form::Guard, mutants);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        if let Some(base) = &expr.rest {
            for field in &expr.fields {
                let mutants = self.take(field.span(), &[Genre::StructField]);
                let syn::Member::Named(name) = &field.member else { continue };
                let form = Form::Field {
                    name: name.to_string(),
                    short: field.colon_token.is_none(),
                    base: self.lines.range(base.span()),
                };
                self.add(self.lines.range(field.expr.span()), form, mutants);
            }
        }
        visit::visit_expr_struct(self, expr);
    }
}

fn kind(operator: &BinOp) -> Kind {
    match operator {
        BinOp::And(_) | BinOp::Or(_) => Kind::Lazy,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
            Kind::Comparison
        }
        BinOp::Add(_)
        | BinOp::Sub(_)
        | BinOp::Mul(_)
        | BinOp::Div(_)
        | BinOp::Rem(_)
        | BinOp::BitXor(_)
        | BinOp::BitAnd(_)
        | BinOp::BitOr(_)
        | BinOp::Shl(_)
        | BinOp::Shr(_) => Kind::Arithmetic,
        _ => Kind::Assignment,
    }
}
