//! With the presets, between two of our ends.

use std::time::Duration;

use muxado_proto::Config;
use muxado_tests::honest::{Load, Pair, fast};

#[test]
fn each_preset_opens_all_streams_in_one_burst() {
    for preset in [Config::for_go(), Config::for_ngrok()] {
        let config = preset.build().expect("a preset is valid");
        let mut pair = Pair::new([config.clone(), config], fast(), Load::small(1000), true);
        assert_eq!(pair.run(Duration::from_secs(1)), Ok(()));
        assert_eq!([0, 1].map(|side| pair.session(side).stats().streams_refused), [0; 2]);
    }
}
