//! Reads the source of a package: which file uses which.
#![allow(unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Meta, UseTree};

/// The modules of a package, each a file, with what they use.
#[derive(Debug, Default)]
pub struct Package {
    /// By their path below the root of the crate: `control::compile::tls`.
    pub modules: BTreeMap<String, Module>,
}

/// A file.
#[derive(Debug, Default)]
pub struct Module {
    /// Where it is, below the package's sources.
    pub file: PathBuf,
    /// What it names by `crate::` and `super::`, outside of its tests.
    pub named: Vec<Named>,
}

/// A path that a file names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Its line.
    pub line: usize,
    /// The names below the root of the crate.
    pub path: Vec<String>,
}

impl Package {
    /// Reads all files below a folder, but no tests.
    pub fn read(folder: &Path) -> Self {
        let mut package = Self::default();
        for (file, source) in files(folder) {
            let path = module_of(&file);
            if path.contains(&"tests".to_owned()) {
                continue;
            }
            let named = named(&source, &path).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            package.modules.insert(path.join("::"), Module { file, named });
        }
        package
    }

    /// The module that a path leads to.
    pub fn find(&self, path: &[String]) -> Option<&str> {
        let prefixes = (1..=path.len()).rev().map(|length| path[..length].join("::"));
        prefixes.into_iter().find_map(|prefix| self.modules.get_key_value(&prefix).map(|(name, _)| name.as_str()))
    }

    /// Files that use each other, be it by way of others. A file and those in its own folder are one unit: a folder has a face.
    pub fn cycles(&self) -> Vec<Vec<&str>> {
        let below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with("::"));
        let uses = |name: &str| -> BTreeSet<&str> {
            let named = self.modules[name].named.iter();
            let found = named.filter_map(|named| self.find(&named.path));
            found.filter(|other| *other != name && !below(name, other) && !below(other, name)).collect()
        };
        let graph: BTreeMap<&str, BTreeSet<&str>> =
            self.modules.keys().map(|name| (name.as_str(), uses(name))).collect();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            graph.keys().map(|name| (*name, reachable(&graph, name))).collect();
        let mut seen = BTreeSet::new();
        let mut cycles = Vec::new();
        for name in graph.keys().copied() {
            let together = |other: &&str| reached[name].contains(other) && reached[other].contains(name);
            let cycle: Vec<&str> = graph.keys().copied().filter(together).collect();
            if cycle.len() > 1 && seen.insert(cycle.clone()) {
                cycles.push(cycle);
            }
        }
        cycles
    }
}

fn reachable<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = graph[from].iter().copied().collect();
    while let Some(name) = next.pop() {
        if found.insert(name) {
            next.extend(&graph[name]);
        }
    }
    found
}

/// Every source file below a folder, with its path in it.
pub fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(folder).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{} has no source", folder.display());
    found.sort();
    found
}

/// The module that a file is: `control/compile/tls.rs` is `[control, compile, tls]`, and `tls_tests.rs` is a `tests` below that.
pub fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match path.last().map(String::as_str) {
        Some("mod") => drop(path.pop()),
        Some(stem) => {
            if let Some(of) = stem.strip_suffix("_tests") {
                let of = of.to_owned();
                path.pop();
                path.extend([of, "tests".to_owned()]);
            }
        }
        None => {}
    }
    path
}

/// Everything that a source text names by `crate::`, `super::` and `self::`, outside of its tests.
pub fn named(source: &str, module: &[String]) -> syn::Result<Vec<Named>> {
    let file = syn::parse_file(source)?;
    let mut reader = Reader { at: module.to_vec(), found: Vec::new() };
    reader.visit_file(&file);
    Ok(reader.found)
}

struct Reader {
    /// The module that the reader is in.
    at: Vec<String>,
    found: Vec<Named>,
}

impl Reader {
    /// A path as it is written, if it leads into this crate.
    fn name(&mut self, line: usize, written: &[String]) {
        let mut base = match written.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("super" | "self") => self.at.clone(),
            Some(_) | None => return,
        };
        let mut rest = written;
        while let [first, more @ ..] = rest {
            match first.as_str() {
                "super" => assert!(base.pop().is_some(), "line {line}: super goes above the crate"),
                "crate" | "self" => {}
                _ => break,
            }
            rest = more;
        }
        base.extend_from_slice(rest);
        self.found.push(Named { line, path: base });
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| [before, &[name]].concat();
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.name(line, &with(name.ident.to_string())),
            UseTree::Rename(rename) => self.name(line, &with(rename.ident.to_string())),
            UseTree::Glob(_) => self.name(line, before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Arguments of macros are not parsed: paths are looked for in them.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            let mut path = Vec::new();
            let line = trees[at].span().start().line;
            while let Some(TokenTree::Ident(name)) = trees.get(at) {
                path.push(name.to_string());
                let colons = trees.get(at + 1..at + 3).is_some_and(|next| {
                    next.iter().all(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ':'))
                });
                at += if colons { 3 } else { 1 };
                if !colons {
                    break;
                }
            }
            if path.len() > 1 {
                self.name(line, &path);
            }
            if path.is_empty() {
                if let TokenTree::Group(group) = &trees[at] {
                    self.tokens(group.stream());
                }
                at += 1;
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !attributes(item).iter().any(is_of_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !variant.attrs.iter().any(is_of_tests) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !arm.attrs.iter().any(is_of_tests) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.at.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(path.span().start().line, &written);
        visit::visit_path(self, path);
    }

    /// Who may see something is no use of it.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }
}

fn attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

fn is_of_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}
