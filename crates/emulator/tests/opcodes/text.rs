//! The parser.

use proptest::prelude::*;
use warpline_emulator::ptx::parse;

use crate::harness::config;

proptest! {
    #![proptest_config(config(48))]

    /// No text makes the parser fail in another way than by an error.
    #[test]
    fn parser_takes_any_text(cut in 0usize..20_000, with in "[ -~\n]{0,8}") {
        let text = include_str!("../data/basic.ptx");
        let cut = cut.min(text.len());
        let _ = parse(&format!("{}{with}{}", &text[..cut], &text[(cut + with.len()).min(text.len())..]));
        let _ = parse(&format!(".version 8.0\n.target sm_75\n.address_size 64\n{with}"));
    }

}
