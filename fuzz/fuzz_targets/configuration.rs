//! The configuration: any text is compiled, or has a problem that says where and what to do.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolegate::control::compile::compile;
use rolegate::control::config::{Problems, parse};

fuzz_target!(|text: &str| {
    let mut problems = Problems::new();
    let config = parse(text, &mut problems);
    let compiled = compile(&config, &mut problems);
    assert_eq!(compiled.is_none(), problems.is_fatal(), "refused without a reason, or in spite of one");
    let rendered = problems.render("rolegate.toml", text, false);
    assert_eq!(rendered.is_empty(), problems.is_empty());
    let _ = problems.render("rolegate.toml", text, true);
    for record in problems.json("rolegate.toml", text) {
        assert!(!record.message.is_empty() && !record.help.is_empty(), "{record:?}");
        assert!(record.line >= 1 && record.line <= text.lines().count().max(1) + 1, "{record:?}");
    }
});
